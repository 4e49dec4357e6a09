"""A token store of a thousand databases: how fast it opens, how big it is, what its readers share.

    python benchmarks/store.py [--databases 1024] [--distinct 16]

A corpus of small databases is made from a few distinct ones under other names (the time to open grows with
tables and columns, not with rows) and tokenized in one process; tokenizing speed and bytes per cell are
those of the few distinct ones with the prior's own rows. Then fresh processes open the store, warm in the
page cache, and get all that training needs before its first batch: TokenStore.open, the text vectors and
the training items of all databases. Then each reads every array of every database; memory that it alone has
written ("private dirty", Linux) is what a further worker costs, beside the arrays that all of them map.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from record import print_table, spread, write_record

from relscale.generation.config import GeneratorConfig
from relscale.generation.corpus import database_folders, generate_corpus
from relscale.generation.priors import find_prior
from relscale.model.config import TextConfig
from relscale.model.items import check_training_context, training_items
from relscale.model.store import TokenStore
from relscale.model.tokenize import tokenize_folders
from relscale.platform.config import load_config
from relscale.platform.dataflow import map_keys_here

SMALL = ("rows_entity=[20, 30]", "rows_activity=[40, 50]")


def main() -> None:
    """Measure, print, write the record; or only read a store and print what that took."""
    args = parse_arguments()
    if args.read:
        read_all(args.read)
        return
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        rows = size_and_speed(base / "whole", args.distinct, tuple(args.set))
        folders = clones(base, args.databases, args.distinct)
        started = time.perf_counter()
        store = tokenize_folders(folders, base / "store", TextConfig(), run=map_keys_here)
        rows.append({"what": f"tokenize {args.databases} databases, s", "values": [since(started)]})
        answers = [read_in_process(store.path) for _ in range(args.repeats)]
        rows.append({"what": "open, s", "values": [a["open_seconds"] for a in answers]})
        for key, name in MEMORY.items():
            rows.append({"what": f"{name}, MB a process", "values": [a[key] for a in answers]})
    print_table(["what", "median [least..greatest]"], [[r["what"], spread(r["values"])] for r in rows])
    write_record(args.out, measurements=rows)
    print(f"every measurement: {args.out}")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--databases", type=int, default=1024, metavar="N", help="of the corpus to open")
    parser.add_argument("--distinct", type=int, default=16, metavar="N", help="different ones among them")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="processes that open it")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the distinct ones' prior"
    )
    parser.add_argument("--read", type=Path, metavar="STORE", help="only read a store, as a worker would")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/benchmarks/store.json"), metavar="FILE", help="the record"
    )
    return parser.parse_args()


def since(started: float) -> float:
    """Seconds since a reading of the clock."""
    return time.perf_counter() - started


def generated(out: Path, count: int, settings: tuple[str, ...]) -> list[Path]:
    """The folders of the first databases of the default prior under some settings."""
    config = load_config(GeneratorConfig, None, list(settings))
    prior = find_prior("plurel")
    generate_corpus(out, prior, config, preset="plurel-1.1", num_databases=count, run=map_keys_here)
    return database_folders(out)


def size_and_speed(base: Path, count: int, settings: tuple[str, ...]) -> list[dict[str, Any]]:
    """Cells per second of tokenizing, texts included; bytes per cell."""
    folders = generated(base / "corpus", count, settings)
    started = time.perf_counter()
    store = tokenize_folders(folders, base / "store", TextConfig(), run=map_keys_here)
    seconds = since(started)
    n_cells = sum(store.database(name).n_cells for name in store.names)
    n_bytes = sum(path.stat().st_size for path, _ in store.files())
    return [
        {"what": f"tokenize {count} databases, texts too, cells/s", "values": [n_cells / seconds]},
        {"what": "bytes per cell on disk", "values": [n_bytes / n_cells]},
    ]


def clones(base: Path, count: int, distinct: int) -> list[Path]:
    """`count` small databases, copies of `distinct` under names of their own."""
    sources = generated(base / "small", distinct, SMALL)
    folders = []
    for number in range(count):
        folder = base / "clones" / f"db-{number}"
        shutil.copytree(sources[number % distinct], folder)
        manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
        (folder / "manifest.yaml").write_text(yaml.safe_dump({**manifest, "name": folder.name}))
        folders.append(folder)
    return folders


def read_in_process(store: Path) -> dict[str, float]:
    """What a fresh process measures that reads a store."""
    command = [sys.executable, __file__, "--read", str(store)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


MEMORY = {
    "opened_mb": "private memory that opening adds",
    "described_mb": "private memory that all descriptions add",
    "read_mb": "private memory that reading all arrays adds",
    "mapped_mb": "arrays read",
}


def read_all(path: Path) -> None:
    """Open a store, read all its arrays, print times and sizes."""
    before, started = private_mb(), time.perf_counter()
    store = TokenStore.open(path)
    check_training_context(store, store.names, 1024)
    items = training_items(store, store.names, seed=0)
    width = store.embeddings.shape[1]
    seconds, opened = since(started), private_mb()
    assert len(items.ends) and width
    databases = [store.database(name) for name in store.names]
    described, n_bytes = private_mb(), 0
    for database in databases:
        for field in fields(database.arrays):
            array = getattr(database.arrays, field.name)
            n_bytes += array.nbytes
            np.bitwise_xor.reduce(array.reshape(-1).view(np.uint8), initial=0)
    sizes = {
        "open_seconds": seconds,
        "opened_mb": opened - before,
        "described_mb": described - opened,
        "read_mb": private_mb() - described,
        "mapped_mb": n_bytes / 2**20,
    }
    print(json.dumps(sizes), flush=True)


def private_mb() -> float:
    """Memory that this process alone has written, in MB of 2**20 bytes (Linux)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:")) / 1024


if __name__ == "__main__":
    main()
