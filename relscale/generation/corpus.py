"""A corpus: many databases of one prior, generated on a cluster and kept as folders with an index."""

import functools
import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from relscale.generation.admission import admit
from relscale.generation.config import GeneratorConfig
from relscale.generation.database import GENERATOR_VERSION, generate_database
from relscale.generation.writer import write_database
from relscale.platform import dataflow, storage
from relscale.platform.errors import ConfigError, DataError, ResumeError

RECEIPT = "relscale.json"
"""File in a database's folder that says what it is; written last, and not part of its digest."""

FORMAT_VERSION = 1
PRIOR = "plurel"
MAX_ATTEMPTS_PER_DATABASE = 20
"""Seeds tried for each database asked for (and a hundred more) before the configuration is given up."""

CELLS_PER_SECOND = 1e5
"""Measured on one core of an AMD EPYC for the default prior: 0.5e5 to 3e5."""

INDEX = pa.schema(
    [
        ("name", pa.string()),
        ("seed", pa.int64()),
        ("prior", pa.string()),
        ("preset", pa.string()),
        ("digest", pa.string()),
        ("tables", pa.int64()),
        ("rows", pa.int64()),
        ("cells", pa.int64()),
        ("seconds", pa.float64()),
        ("admitted", pa.bool_()),
        ("reason", pa.string()),
    ]
)
"""Columns of index.parquet; cells counts keys and times, seconds is the time to generate and write."""

Receipt = dict[str, Any]


def generate_corpus(
    out: Path,
    config: GeneratorConfig,
    *,
    preset: str,
    num_databases: int,
    seed_offset: int = 0,
    progress: Callable[[Receipt], None] | None = None,
    run: Callable[..., list[Receipt]] = dataflow.map_keys,
) -> pa.Table:
    """Make, resume or extend a corpus: the first `num_databases` admitted seeds from `seed_offset` upward.

    Writes out/databases/plurel-<seed>/ (RelBench 3 folders), out/rejected/<seed>.json, out/index.parquet
    and, last, out/corpus.json. Finished databases are kept, so the same call resumes and a larger
    `num_databases` extends; a smaller one changes nothing. The result does not depend on workers, order
    or interruptions.

    Parameters
    ----------
    out : folder of the corpus; made if absent.
    config : the prior; `preset` is the name it started from, for the record.
    progress : called with the receipt of each database as it is done.
    run : how seeds become receipts, with the interface of `dataflow.map_keys`.

    Returns
    -------
    The index: one row per tried seed, in order, with the columns of `INDEX`; a seed that was not admitted
    has a reason instead of a digest.

    Raises
    ------
    ResumeError : the folder holds a corpus of another configuration, generator version or seed offset.
    ConfigError : a number is out of range, or hardly any seed is admitted under this configuration.
    """
    if num_databases < 1 or seed_offset < 0:
        raise ConfigError(
            f"num_databases is {num_databases} and seed_offset {seed_offset}; at least 1 and 0 are needed."
        )
    out = out.absolute()  # workers have working folders of their own
    identity = _claim(out, config, preset=preset, seed_offset=seed_offset)
    storage.sweep_drafts(out / "databases")
    storage.sweep_drafts(out / "rejected")
    finished = out / "corpus.json"
    if finished.is_file():
        num_databases = max(num_databases, storage.read_json(finished)["num_databases"])
    make = functools.partial(make_database, out=out, config=config, preset=preset)

    def receipts_of(seeds: range) -> list[Receipt]:
        done = finished_databases(out, seeds)
        for receipt in done.values():
            if progress is not None:
                progress(receipt)
        todo = [seed for seed in seeds if seed not in done]
        made = run(make, todo, seconds_per_key=expected_seconds(config), on_done=progress)
        done |= dict(zip(todo, made, strict=True))
        return [done[seed] for seed in seeds]

    index = pa.Table.from_pylist(_fill(receipts_of, num_databases, seed_offset), schema=INDEX)
    _write_index(index, out / "index.parquet")
    storage.write_json(finished, {**identity, "num_databases": num_databases, "digest": corpus_digest(index)})
    return index


def database_folders(corpus: Path) -> list[Path]:
    """Folders of a corpus' admitted databases, in order of seeds; DataError if it has no index."""
    path = corpus / "index.parquet"
    if not path.is_file():
        raise DataError(f"'{corpus}' is not a corpus (no index.parquet); make one with `relscale generate`.")
    index = pq.read_table(path, columns=["name", "admitted"]).to_pylist()
    return [corpus / "databases" / row["name"] for row in index if row["admitted"]]


def finished_databases(out: Path, seeds: Sequence[int]) -> dict[int, Receipt]:
    """Receipts of those seeds that an earlier run finished and whose files are as they were then."""

    def check(seed: int) -> Receipt | None:
        return _finished_receipt(out / "databases" / f"{PRIOR}-{seed}", out / "rejected" / f"{seed}.json")

    # Hashing and reading leave the interpreter's lock, so threads suffice and a rerun needs no cluster.
    with ThreadPoolExecutor(max_workers=8) as threads:
        receipts = zip(seeds, threads.map(check, seeds), strict=True)
        return {seed: receipt for seed, receipt in receipts if receipt is not None}


def make_database(seed: int, *, out: Path, config: GeneratorConfig, preset: str) -> Receipt:
    """Generate, check and write the database of a seed under `out`, unless that is done; its receipt.

    A seed that fails or is not admitted leaves out/rejected/<seed>.json instead of a folder.
    """
    folder = out / "databases" / f"{PRIOR}-{seed}"
    rejection = out / "rejected" / f"{seed}.json"
    done = _finished_receipt(folder, rejection)
    if done is not None:
        return done
    shutil.rmtree(folder, ignore_errors=True)
    rejection.unlink(missing_ok=True)
    started = time.perf_counter()
    receipt = {
        "name": folder.name,
        "seed": seed,
        "prior": PRIOR,
        "preset": preset,
        "config_fingerprint": config.fingerprint(),
        "generator_version": GENERATOR_VERSION,
    }
    try:
        database = generate_database(seed, config)
        reason = admit(database)
    except (MemoryError, OSError):  # the machine's fault, not the seed's
        raise
    except Exception as error:  # one seed must not end a corpus of thousands
        reason = f"generation failed: {type(error).__name__}: {error}"
    if reason is not None:
        receipt |= {"seconds": time.perf_counter() - started, "admitted": False, "reason": reason}
        storage.write_json(rejection, receipt)
        return receipt
    with storage.new_folder(folder) as draft:
        write_database(database, draft)
        receipt |= {
            "digest": storage.digest_files(draft),
            "tables": len(database.tables),
            "rows": database.n_rows,
            "cells": database.n_cells,
            "seconds": time.perf_counter() - started,
            "admitted": True,
            "reason": None,
        }
        storage.write_json(draft / RECEIPT, receipt)
    return receipt


def expected_seconds(config: GeneratorConfig) -> float:
    """Rough seconds for one database on one CPU core, to size the cluster's tasks."""
    columns = np.arange(config.num_columns[0], config.num_columns[1] + 1)
    mean_columns = np.average(columns, weights=columns**-config.num_columns_exponent)
    mean_rows = (np.mean(config.rows_entity) + np.mean(config.rows_activity)) / 2
    return float(np.mean(config.num_tables) * mean_rows * mean_columns / CELLS_PER_SECOND)


def corpus_digest(index: pa.Table) -> str:
    """SHA-256 over the names and digests of the admitted databases, in the order of the index."""
    lines = [f"{row['name']} {row['digest']}\n" for row in index.to_pylist() if row["admitted"]]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _claim(out: Path, config: GeneratorConfig, *, preset: str, seed_offset: int) -> dict[str, Any]:
    """What identifies a corpus; kept in out/generation.json from before the first database on."""
    identity = {
        "format_version": FORMAT_VERSION,
        "prior": PRIOR,
        "preset": preset,
        "config": config.model_dump(mode="json"),
        "config_fingerprint": config.fingerprint(),
        "generator_version": GENERATOR_VERSION,
        "seed_offset": seed_offset,
    }
    path = out / "generation.json"
    if not path.is_file():
        storage.write_json(path, identity)
        return identity
    before = storage.read_json(path)
    for key in ("config_fingerprint", "generator_version", "seed_offset", "format_version", "preset"):
        if before.get(key) != identity[key]:
            raise ResumeError(
                f"corpus '{out}' was made with {key} {before.get(key)}, this run has {identity[key]}; "
                "choose another --out, or go back to the settings in its generation.json."
            )
    return identity


def _fill(
    receipts_of: Callable[[range], list[Receipt]], num_databases: int, seed_offset: int
) -> list[Receipt]:
    """Receipts of as many seeds as it takes to have `num_databases` admitted ones."""
    receipts: list[Receipt] = []
    admitted: list[Receipt] = []
    while len(admitted) < num_databases:
        if len(receipts) > 100 + MAX_ATTEMPTS_PER_DATABASE * num_databases:
            reasons = Counter(receipt["reason"] for receipt in receipts if not receipt["admitted"])
            raise ConfigError(
                f"of {len(receipts)} databases only {len(admitted)} can be used; the commonest reason is "
                f"'{reasons.most_common(1)[0][0]}'. Change the generator's settings."
            )
        first = seed_offset + len(receipts)
        batch = receipts_of(range(first, first + num_databases - len(admitted)))
        receipts += batch
        admitted += [receipt for receipt in batch if receipt["admitted"]]
    return receipts


def _finished_receipt(folder: Path, rejection: Path) -> Receipt | None:
    """The receipt of a seed that an earlier run finished, if its files are as they were."""
    try:
        if rejection.is_file():
            return storage.read_json(rejection)
        receipt = storage.read_json(folder / RECEIPT)
    except DataError:  # absent or broken: to be made again
        return None
    intact = receipt["digest"] == storage.digest_files(folder, exclude=frozenset([RECEIPT]))
    return receipt if intact else None


def _write_index(index: pa.Table, path: Path) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(index, sink)
    storage.write_bytes(path, sink.getvalue().to_pybytes())
