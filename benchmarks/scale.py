"""A corpus of a million databases, simulated: what the driver and the lists cost, and what breaks first.

    python benchmarks/scale.py [--databases 10000 100000 1000000]

No database is made: each seed's receipt is drawn at once, with the names, digests and sizes that a real one
has. What is measured is the code that sees all of them, each part in a process of its own: the driver's
index (`generate_corpus`), reading it back, the corpus' digest, the keys of a 56-trial grid, the token store's
manifest (writing it, and opening the store as each trial does), and the list of columns to train on. Prints
seconds, MB of files and the process's peak MB by number of databases, with the growth from one number to the
next: 1 is linear.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from record import print_table, write_record
from worker import peak_mb

from relscale.generation.corpus import corpus_digest, database_folders, generate_corpus
from relscale.generation.priors import find_prior
from relscale.model.items import training_items
from relscale.model.store import FORMAT, TRAINABLE, TokenStore, store_fingerprint
from relscale.platform import storage
from relscale.platform.config import parse_config
from relscale.platform.dataflow import Receipt
from relscale.sweeps.config import StudyConfig
from relscale.sweeps.grid import plan_trials

COLUMNS_PER_DATABASE = 38
"""Columns to train on; the mean of the first 256 default databases."""
CELLS_PER_COLUMN = 5000


def main() -> None:
    """Every part at every size, each in a process of its own; the tables."""
    args = parse_arguments()
    if args.part:
        measure(args.part, args.databases[0], args.folder)
        return
    rows = []
    with tempfile.TemporaryDirectory(prefix="scale-", dir=args.folder) as name:
        for n_databases in args.databases:
            folder = Path(name) / str(n_databases)
            for part in PARTS:
                rows.append(in_its_own_process(part, n_databases, folder))
                print(json.dumps(rows[-1]), flush=True)
    print_table(["part", "databases", "seconds", "growth", "files, MB", "peak, MB"], list(cells(rows)))
    write_record(args.out, measurements=rows)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--databases", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the lists stand for a while")
    parser.add_argument("--part", choices=PARTS, help="measure this one alone, in --folder")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/benchmarks/scale.json"), metavar="FILE", help="the record"
    )
    return parser.parse_args()


def in_its_own_process(part: str, n_databases: int, folder: Path) -> dict[str, Any]:
    """What a part costs, in a fresh process."""
    command = [
        sys.executable,
        __file__,
        "--part",
        part,
        "--databases",
        str(n_databases),
        "--folder",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"part": part, "databases": n_databases, "error": done.stderr.strip().splitlines()[-1:]}
    return json.loads(done.stdout.splitlines()[-1])


def measure(part: str, n_databases: int, folder: Path) -> None:
    """Run a part and print what it cost as a line of JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    before, idle = bytes_below(folder), peak_mb()
    started = time.perf_counter()
    PARTS[part](n_databases, folder)
    seconds = time.perf_counter() - started
    size = (bytes_below(folder) - before) / 1e6
    facts = {"seconds": seconds, "file_mb": size, "idle_mb": idle, "peak_mb": peak_mb()}
    print(json.dumps({"part": part, "databases": n_databases, **facts}))


def driver(n_databases: int, folder: Path) -> None:
    """The driver of `relscale generate`: hears every receipt, keeps the index."""
    config = StudyConfig()
    generate_corpus(
        folder / "corpus",
        find_prior("plurel"),
        config.corpus.generator,
        preset=config.corpus.preset,
        num_databases=n_databases,
        run=receipts,
    )


def receipts(function: Callable[[int], Receipt], keys: Sequence[int]) -> Iterator[tuple[int, Receipt]]:
    """A receipt for every seed, without its database."""
    for seed in keys:
        yield (
            seed,
            {
                "name": f"plurel-{seed}",
                "seed": seed,
                "prior": "plurel",
                "prior_version": 3,
                "preset": "plurel-1.1",
                "config_fingerprint": "0123456789abcdef",
                "tables": 10,
                "rows": 12_000,
                "cells": 220_000,
                "n_number": 60,
                "n_boolean": 20,
                "n_text": 10,
                "n_time": 8,
                "n_tasks": 80,
                "bytes": 850_000,
                "digest": digest_of(seed),
                "write_seconds": 0.03,
                "seconds": 0.35,
                "peak_mb": 400.0,
                "admitted": True,
                "reason": None,
            },
        )


def index(n_databases: int, folder: Path) -> None:
    """What a tokenizer and a rerun ask of the index: the folders of all databases, and the corpus' digest."""
    corpus = folder / "corpus"
    assert len(database_folders(corpus)) == n_databases
    corpus_digest(pq.read_table(corpus / "index.parquet"))


def trial_keys(n_databases: int, folder: Path) -> None:
    """The keys of the published grid, scaled to this corpus: 8 N x 7 S, each over the first N digests."""
    sizes = [n_databases // 2**step for step in range(8)]
    config = parse_config(
        StudyConfig,
        {"grid": {"n_databases": sizes, "tokens": [2**k * 10**9 for k in range(7)]}},
        source="the benchmark",
    )
    digests = [digest_of(seed) for seed in range(n_databases)]
    held_out = [digest_of(-seed) for seed in range(1, 101)]
    plan_trials(config, databases=digests, held_out=held_out, encoder="encoder", code="code", variant="")


def store_manifest(n_databases: int, folder: Path) -> None:
    """store.json and the list of columns to train on, as `tokenize_folders` writes them last."""
    files = dict.fromkeys(("arrays.bin", "meta.json", "strings.parquet"), digest_of(0))
    manifest = {
        "format": FORMAT,
        "encoder": {"name": "all-MiniLM-L6-v2", "fingerprint": "0123456789abcdef"},
        "databases": [
            {
                "name": f"plurel-{seed}",
                "digest": digest_of(seed),
                "n_strings": 60,
                "n_cells": 220_000,
                "files": files,
            }
            for seed in range(n_databases)
        ],
    }
    shared = folder / "store" / "shared" / store_fingerprint(manifest)
    shared.mkdir(parents=True)
    columns = np.empty(n_databases * COLUMNS_PER_DATABASE, TRAINABLE)
    columns["database"] = np.repeat(np.arange(n_databases), COLUMNS_PER_DATABASE)
    columns["column"] = np.tile(np.arange(COLUMNS_PER_DATABASE), n_databases)
    columns["n_cells"], columns["row_width"] = CELLS_PER_COLUMN, 12
    np.save(shared / "trainable.npy", columns)
    manifest["files"] = {"trainable.npy": digest_of(1)}
    storage.write_json(folder / "store" / "store.json", manifest)


def open_store(n_databases: int, folder: Path) -> None:
    """What every trial does before its first step."""
    store = TokenStore.open(folder / "store")
    training_items(store, store.names, seed=0)


PARTS: dict[str, Callable[[int, Path], None]] = {
    "driver": driver,
    "index": index,
    "trial keys": trial_keys,
    "store manifest": store_manifest,
    "open store": open_store,
}


def digest_of(seed: int) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(str(seed).encode()).hexdigest()


def bytes_below(folder: Path) -> int:
    """Of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def cells(rows: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """The table, part by part."""
    for part in PARTS:
        earlier: dict[str, Any] | None = None
        for row in (row for row in rows if row["part"] == part):
            if "error" in row:
                yield [part, f"{row['databases']:,}", str(row["error"]), "", "", ""]
                continue
            growth = ""
            if earlier is not None:
                ratio = row["databases"] / earlier["databases"]
                growth = f"{row['seconds'] / earlier['seconds'] / ratio:.2f}"
            sizes = (f"{row[name]:,.1f}" for name in ("seconds", "file_mb", "peak_mb"))
            seconds, files, peak = sizes
            yield [part, f"{row['databases']:,}", seconds, growth, files, peak]
            earlier = row


if __name__ == "__main__":
    main()
