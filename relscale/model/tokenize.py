"""Tokenizing: RelBench 3 folders to a token store, resumably."""

import hashlib
import io
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relscale.model.arrays import database_content
from relscale.model.checksums import file_digest
from relscale.model.config import TextConfig
from relscale.model.mapping import write_arrays
from relscale.model.source import database_name, read_database, source_digest
from relscale.model.store import (
    FORMAT,
    TRAINABLE,
    TokenStore,
    check_format,
    read_meta,
    store_fingerprint,
)
from relscale.model.text import TextEncoder
from relscale.platform import remote, storage
from relscale.platform.dataflow import Receipt, Run, map_keys, map_keys_here
from relscale.platform.errors import DataError, ResumeError

STRINGS_PER_PART = 8192
"""Strings embedded between two saved states, about half a minute on one core."""

Progress = Callable[[str, int, int], None]
"""Called with the stage ("databases" or "strings"), how much is done and how much there is."""


def tokenize_folders(
    folders: Sequence[Path],
    out: Path,
    text: TextConfig,
    *,
    run: Run | None = None,
    progress: Progress | None = None,
) -> TokenStore:
    """Tokenize RelBench 3 databases, with their task tables, into the token store `out`.

    Work that an earlier, interrupted call finished is kept, and a finished store may be given more
    databases. The result does not depend on interruptions or on `run`. Folders may be images of storage URIs:
    a task brings its database here and sends its tokens there, and this process what is shared.

    Parameters
    ----------
    folders : RelBench 3 folders with different database names; the store keeps their order.
    run : how the databases are spread; None is Ray Data (`map_keys` on the connected Ray) for several
        and this process for one. Called with no key when all are done.
    progress : told about finished databases and embedded strings.

    Raises
    ------
    DataError : a folder is not a sound RelBench 3 database (see `read_database`), or two share a name.
    ResumeError : `out` holds another encoder's or format's store, other content under the same database
        name, or databases that `folders` lacks.
    """
    # Workers have working folders of their own.
    folders, out = [Path(folder).absolute() for folder in folders], Path(out).absolute()
    names = _names(folders)
    encoder = TextEncoder(text)
    _check_earlier(out, names, encoder)
    for folder in (out, out / "databases", out / "shared"):
        storage.sweep_drafts(folder)
    receipts = _tokenize_each(folders, names, out, run, progress)
    manifest = {
        "format": FORMAT,
        "encoder": {"name": encoder.name, "fingerprint": encoder.fingerprint},
        "databases": receipts,
    }
    shared = out / "shared" / store_fingerprint(manifest)
    if not remote.committed(shared):
        _write_shared(out, shared, names, encoder, progress)
        remote.publish(shared)
    manifest["files"] = remote.digests(shared)
    if not (out / "store.json").is_file() or storage.read_json(out / "store.json") != manifest:
        storage.write_json(out / "store.json", manifest)
        remote.publish(out / "store.json")
    for old in {*remote.names(out / "shared")} - {shared.name}:
        remote.remove(out / "shared" / old)
    shutil.rmtree(out / "parts", ignore_errors=True)
    return TokenStore.open(out)


def _names(folders: Sequence[Path]) -> list[str]:
    with ThreadPoolExecutor(remote.AT_ONCE) as threads:
        names = list(threads.map(database_name, folders))
    for place, name in enumerate(names):
        if name in names[:place]:
            first = folders[names.index(name)]
            raise DataError(
                f"'{first}' and '{folders[place]}' are both named '{name}'; rename one in its manifest."
            )
    if not names:
        raise DataError("there is no database to tokenize; give at least one RelBench 3 folder.")
    return names


def _check_earlier(out: Path, names: Sequence[str], encoder: TextEncoder) -> None:
    """ResumeError if `out` holds a finished store that this call would not merely extend."""
    if not remote.stage_file(out / "store.json"):
        return
    manifest = storage.read_json(out / "store.json")
    check_format(out, manifest)
    if manifest["encoder"]["fingerprint"] != encoder.fingerprint:
        earlier = "'{name}' ({fingerprint})".format(**manifest["encoder"])
        raise ResumeError(
            f"'{out}' was made with text encoder {earlier}, now it is '{encoder.name}' "
            f"({encoder.fingerprint}); tokenize into a new folder."
        )
    lost = [entry["name"] for entry in manifest["databases"] if entry["name"] not in names]
    if lost:
        raise ResumeError(
            f"'{out}' holds database '{lost[0]}', which the sources lack; tokenize into a new folder."
        )


def _tokenize_each(
    folders: Sequence[Path], names: Sequence[str], out: Path, run: Run | None, progress: Progress | None
) -> list[Receipt]:
    """Receipts in the order of `folders`; databases that are done are only compared with their source."""
    work = partial(_tokenize_one, [str(folder) for folder in folders], str(out))
    tokenized = {*remote.names(out / "databases")}
    done = [key for key, name in enumerate(names) if name in tokenized]
    todo = sorted(set(range(len(folders))) - set(done))
    run = run or (map_keys_here if len(todo) <= 1 else map_keys)
    receipts = {}
    with ThreadPoolExecutor(remote.AT_ONCE) as threads:
        for key, receipt in chain(zip(done, threads.map(work, done), strict=True), run(work, todo)):
            receipts[key] = receipt
            if progress is not None:
                progress("databases", len(receipts), len(folders))
    return [receipts[key] for key in range(len(folders))]


def _tokenize_one(folders: Sequence[str], out: str, key: int) -> Receipt:
    return _database_receipt(Path(folders[key]), Path(out))


def _database_receipt(folder: Path, out: Path) -> Receipt:
    name, digest = database_name(folder), source_digest(folder)
    final = out / "databases" / name
    receipt = remote.about(final)
    if receipt is None:
        remote.drop(final)  # of a process that was killed before it had sent it
        was_here = folder.is_dir()
        if not final.is_dir():
            _write_database(folder, digest, final)
        receipt = _read_receipt(name, final)
        remote.publish(final, about=receipt)
        remote.drop(final)
        if not was_here:
            remote.drop(folder)
    check_format(final, receipt)
    if receipt["digest"] != digest:
        raise ResumeError(
            f"'{final}' was made from other content than '{folder}' has now; tokenize into a new folder."
        )
    return {key: value for key, value in receipt.items() if key != "format"}


def _write_database(folder: Path, digest: str, final: Path) -> None:
    remote.stage(folder)
    content = database_content(read_database(folder))
    with storage.new_folder(final) as draft:
        pq.write_table(pa.table({"string": content.strings}), draft / "strings.parquet")
        layout = write_arrays(draft / "arrays.bin", content.arrays)
        meta = {"format": FORMAT, "digest": digest, **content.meta, "arrays": layout}
        storage.write_json(draft / "meta.json", {**meta, "files": _digests(draft)})


def _read_receipt(name: str, final: Path) -> Receipt:
    """What the store's manifest says of a tokenized database, and its format."""
    meta = read_meta(final)
    check_format(final, meta)
    # Hashes of the arrays are those of when they were written: damage since then is found.
    files = {**meta["files"], "meta.json": file_digest(final / "meta.json")}
    counts = {"n_strings": meta["n_strings"], "n_cells": meta["n_cells"]}
    return {"format": FORMAT, "name": name, "digest": meta["digest"], **counts, "files": files}


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in sorted(folder.iterdir())}


def _write_shared(
    out: Path, final: Path, names: Sequence[str], encoder: TextEncoder, progress: Progress | None
) -> None:
    """Write the union of the databases' strings, their vectors, each database's place in it, and all
    trainable columns."""
    stage = partial(remote.stage, only=("strings.parquet", "meta.json"))
    with ThreadPoolExecutor(remote.AT_ONCE) as threads:
        list(threads.map(stage, [out / "databases" / name for name in names]))
    local = [pq.read_table(out / "databases" / name / "strings.parquet")["string"] for name in names]
    strings = pc.unique(pa.chunked_array([chunk for column in local for chunk in column.chunks]))
    strings = strings.take(pc.sort_indices(strings))
    embeddings = _embed(strings.to_pylist(), out / "parts", encoder, progress)
    with storage.new_folder(final) as draft:
        pq.write_table(pa.table({"string": strings}), draft / "strings.parquet")
        np.save(draft / "embeddings.npy", embeddings)
        rows = [pc.index_in(column, strings).to_numpy() for column in local]
        np.save(draft / "rows.npy", np.concatenate(rows).astype(np.int32))
        np.save(draft / "trainable.npy", _trainable([out / "databases" / name for name in names]))


def _trainable(folders: Sequence[Path]) -> np.ndarray:
    """TRAINABLE [n]: of each database in order the trainable feature columns, then the labels of forecast
    tasks."""
    records = []
    for place, meta in enumerate(map(read_meta, folders)):
        width = {table["name"]: table["row_width"] for table in meta["tables"] if table["kind"] == "db"}
        records += [
            (place, number, column["n_cells"], width[column["table"]], -1)
            for number, column in enumerate(meta["columns"])
            if column["trainable"]
        ]
        train = {table["name"]: table for table in meta["tables"] if table["kind"] == "train"}
        asked = {
            (task["name"], task["target_col"])
            for task in meta["tasks"]
            if task["name"] in train and task["name"] not in meta["skipped_tasks"]
        }
        for number, column in enumerate(meta["columns"]):
            if (column["table"], column["name"]) in asked and (table := train[column["table"]])["n_rows"]:
                records.append((place, number, table["n_rows"], table["row_width"], table["offset"]))
    return np.array(records, TRAINABLE)


def _embed(strings: list[str], parts: Path, encoder: TextEncoder, progress: Progress | None) -> np.ndarray:
    """Encode part by part; a part that an interrupted call saved is not encoded again."""

    def report(n_before: int, n_done: int) -> None:
        if progress is not None:
            progress("strings", n_before + n_done, len(strings))

    vectors = []
    for start in range(0, len(strings), STRINGS_PER_PART):
        block = strings[start : start + STRINGS_PER_PART]
        content = "\0".join([encoder.fingerprint, *block])
        path = parts / f"{hashlib.sha256(content.encode()).hexdigest()}.npy"
        if not path.is_file():
            _save(path, encoder.encode(block, on_batch=partial(report, start)))
        vectors.append(np.load(path))
        report(start, len(block))
    return np.concatenate(vectors)


def _save(path: Path, vectors: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, vectors)
    storage.write_bytes(path, buffer.getvalue())
