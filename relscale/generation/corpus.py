"""A corpus: many databases of one prior, generated on a cluster and kept as folders with an index."""

import functools
import hashlib
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relscale.generation.making import finished_receipt, make_database
from relscale.generation.priors import Prior
from relscale.platform import dataflow, metrics, remote, storage
from relscale.platform.config import Config
from relscale.platform.dataflow import Receipt, Run
from relscale.platform.errors import ConfigError, DataError, ResumeError
from relscale.platform.progress import Advance, human_bytes

FORMAT_VERSION = 2
"""Raised whenever admission, the offered tasks or the files of a database change."""

WANTED = "wanted.json"
"""File that says how many databases a corpus is to have, from before the first one on."""

MAX_ATTEMPTS_PER_DATABASE = 20
"""Seeds tried for each database asked for (and a hundred more) before the configuration is given up."""

CHECKED_HERE = 2000
"""Up to so many databases of an earlier run are checked in this process, more of them by the cluster."""

INDEX = pa.schema(
    [
        ("name", pa.string()),
        ("seed", pa.int64()),
        ("prior", pa.string()),
        ("preset", pa.string()),
        ("config_fingerprint", pa.string()),
        ("digest", pa.string()),
        ("tables", pa.int64()),
        ("rows", pa.int64()),
        ("cells", pa.int64()),
        ("n_number", pa.int64()),
        ("n_boolean", pa.int64()),
        ("n_text", pa.int64()),
        ("n_time", pa.int64()),
        ("n_tasks", pa.int64()),
        ("bytes", pa.int64()),
        ("seconds", pa.float64()),
        ("write_seconds", pa.float64()),
        ("peak_mb", pa.float64()),
        ("admitted", pa.bool_()),
        ("reason", pa.string()),
    ]
)
"""Columns of index.parquet.

cells counts keys and times too; n_number to n_time count columns that are no keys, times among them; seconds
is the time to generate, check and write, write_seconds the writer's part of it; peak_mb is the largest memory
that the process had until then, which may have made other databases before.
"""


def generate_corpus(
    out: Path,
    prior: Prior,
    config: Config,
    *,
    preset: str,
    num_databases: int,
    seed_offset: int = 0,
    tasks: bool = True,
    progress: Callable[[Receipt], None] | None = None,
    run: Run = dataflow.map_keys,
) -> pa.Table:
    """Make, resume or extend a corpus: the first `num_databases` admitted seeds from `seed_offset` upward.

    Writes out/databases/<prior>-<seed>/ (RelBench 3 folders), out/rejected/<seed>.json, out/index.parquet
    and, last, out/corpus.json. Finished databases are kept if their digest is right, so the same call resumes
    and mends, and a larger `num_databases` extends; a smaller one changes nothing. The result does not depend
    on workers, order or interruptions.

    Where `out` is the image of a storage URI, databases go to the store as they are made, and the index and
    corpus.json after them; which are finished is then read from their records, not from their files.

    Parameters
    ----------
    out : folder of the corpus; made if absent.
    prior, config : the law of the databases; `preset` is the name that `config` started from, for the record.
    tasks : whether each database has its autocomplete tasks beside it.
    progress : called with the receipt of each database as it is done.
    run : how seeds become receipts.

    Returns
    -------
    The index: one row per tried seed, in order, with the columns of `INDEX`; a seed that was not admitted
    has a reason instead of a digest.

    Raises
    ------
    ResumeError : the folder holds a corpus of another configuration, prior version or seed offset.
    ConfigError : a number is out of range, or hardly any seed is admitted under this configuration.
    ResourceError : the folder cannot be written, the disk is full, or a seed does not fit in memory.
    """
    if num_databases < 1 or seed_offset < 0:
        raise ConfigError(
            f"num_databases is {num_databases} and seed_offset {seed_offset}; at least 1 and 0 are needed."
        )
    out = out.absolute()  # workers have working folders of their own
    with storage.alone_in(out):
        identity = _claim(out, prior, config, preset=preset, seed_offset=seed_offset, tasks=tasks)
        shutil.rmtree(out / "drafts", ignore_errors=True)  # of processes that were killed
        storage.sweep_drafts(out / "rejected")
        finished = out / "corpus.json"
        if remote.stage_file(finished):
            num_databases = max(num_databases, storage.read_json(finished)["num_databases"])
        storage.write_json(out / WANTED, {"num_databases": num_databases})
        remote.publish(out / WANTED)
        make = functools.partial(
            make_database, out=out, prior=prior, config=config, preset=preset, tasks=tasks
        )

        def receipts_of(seeds: range) -> Iterator[Receipt]:
            for receipt in _receipts(seeds, make, out, prior, run):
                if progress is not None:
                    progress(receipt)
                yield receipt

        index = _fill(receipts_of, num_databases, seed_offset)
        _write_index(index, out / "index.parquet")
        remote.publish(out / "index.parquet")
        record = {**identity, "num_databases": num_databases, "digest": corpus_digest(index)}
        storage.write_json(finished, record)
        remote.publish(finished)
        shutil.rmtree(out / "drafts", ignore_errors=True)
    return index


def reporter(advance: Advance) -> Callable[[Receipt], None]:
    """What `generate_corpus` may call with each receipt to show databases, bytes and reasons on a bar."""
    n_bytes = 0

    def report(receipt: Receipt) -> None:
        nonlocal n_bytes
        n_bytes += receipt.get("bytes", 0)
        refused = f", refused {receipt['name']}: {receipt['reason']}" if receipt["reason"] else ""
        advance(int(receipt["admitted"]), note=f"{human_bytes(n_bytes)}{refused}")

    return report


def corpus_sentence(index: pa.Table) -> str:
    """How much an index lists, in words."""
    admitted = index.filter(index["admitted"])
    cells, n_bytes = (pc.sum(admitted[column]).as_py() for column in ("cells", "bytes"))
    n_refused = len(index) - len(admitted)
    refused = f" ({n_refused} more refused, see index.parquet)" if n_refused else ""
    return f"{len(admitted)} databases{refused} with {cells:,} cells in {human_bytes(n_bytes)}"


def database_folders(corpus: Path) -> list[Path]:
    """Folders of a corpus' admitted databases, in order of seeds; DataError if it has no index."""
    path = corpus / "index.parquet"
    if not remote.stage_file(path):
        raise DataError(f"'{corpus}' is not a corpus (no index.parquet); make one with `relscale generate`.")
    index = pq.read_table(path, columns=["name", "admitted"]).to_pylist()
    return [corpus / "databases" / row["name"] for row in index if row["admitted"]]


def corpus_digest(index: pa.Table) -> str:
    """SHA-256 over the names and digests of the admitted databases, in the order of the index."""
    admitted = index.filter(index["admitted"])
    total = hashlib.sha256()
    for name, digest in zip(admitted["name"], admitted["digest"], strict=True):
        total.update(f"{name} {digest}\n".encode())
    return total.hexdigest()


def _claim(
    out: Path, prior: Prior, config: Config, *, preset: str, seed_offset: int, tasks: bool
) -> dict[str, Any]:
    """What identifies a corpus; kept in out/generation.json from before the first database on."""
    identity = {
        "format_version": FORMAT_VERSION,
        "prior": prior.name,
        "prior_version": prior.version,
        "preset": preset,
        "config": config.model_dump(mode="json"),
        "config_fingerprint": config.fingerprint(),
        "seed_offset": seed_offset,
        "tasks": tasks,
    }
    path = out / "generation.json"
    if not remote.stage_file(path):
        storage.write_json(path, identity)
        remote.publish(path)
        return identity
    before = storage.read_json(path)
    for key in identity:
        if key != "config" and before.get(key) != identity[key]:
            raise ResumeError(
                f"corpus '{out}' was made with {key} {before.get(key)}, this run has {identity[key]}; "
                "choose another --out, or go back to the settings in its generation.json."
            )
    return identity


def _fill(
    receipts_of: Callable[[range], Iterator[Receipt]], num_databases: int, seed_offset: int
) -> pa.Table:
    """The index of as many seeds as it takes to have `num_databases` admitted ones."""
    index = INDEX.empty_table()
    while missing := num_databases - pc.sum(index["admitted"], min_count=0).as_py():
        if len(index) > 100 + MAX_ATTEMPTS_PER_DATABASE * num_databases:
            reasons = Counter(index["reason"].drop_null().to_pylist())
            raise ConfigError(
                f"of {len(index)} databases only {num_databases - missing} can be used; the commonest reason "
                f"is '{reasons.most_common(1)[0][0]}'. Change the generator's settings."
            )
        first = seed_offset + len(index)
        index = pa.concat_tables([index, _as_table(receipts_of(range(first, first + missing)))])
    return index.combine_chunks()


def _as_table(receipts: Iterator[Receipt]) -> pa.Table:
    """Rows of the index in the order of seeds; receipts are many, so they are packed as they come."""
    parts = [INDEX.empty_table()]
    while some := list(itertools.islice(receipts, 1000)):
        parts.append(pa.Table.from_pylist(some, schema=INDEX))
    return pa.concat_tables(parts).sort_by("seed")


def _receipts(
    seeds: range, make: Callable[[int], Receipt], out: Path, prior: Prior, run: Run
) -> Iterator[Receipt]:
    """Receipts of all seeds: first of those that an earlier run finished, then of the others."""
    check = functools.partial(finished_receipt, out=out, prior=prior)
    todo = set(seeds)
    for seed, receipt in _checked(_left_behind(seeds, out, prior), check, run):
        if receipt:
            todo.remove(seed)
            yield receipt
    for _, receipt in run(make, sorted(todo)):
        metrics.count_database(admitted=receipt["admitted"])
        yield receipt


def _left_behind(seeds: range, out: Path, prior: Prior) -> list[int]:
    """Seeds of which an earlier run left a folder or a rejection, whole or not."""
    databases, rejected = (set(remote.names(out / part)) for part in ("databases", "rejected"))
    return [s for s in seeds if f"{prior.name}-{s}" in databases or f"{s}.json" in rejected]


def _checked(
    seeds: Sequence[int], check: Callable[[int], Receipt], run: Run
) -> Iterator[tuple[int, Receipt]]:
    """Every seed with its receipt, or with {} if its files are not as they were."""
    if len(seeds) > CHECKED_HERE:
        yield from run(check, seeds)
    else:
        # Hashing and reading leave the interpreter's lock, so threads suffice and a rerun needs no cluster.
        with ThreadPoolExecutor(max_workers=8) as threads:
            yield from zip(seeds, threads.map(check, seeds), strict=True)


def _write_index(index: pa.Table, path: Path) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(index, sink)
    storage.write_bytes(path, sink.getvalue().to_pybytes())
