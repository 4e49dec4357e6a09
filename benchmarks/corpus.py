"""A corpus through `relscale generate`, files and all: where the time goes.

    python benchmarks/corpus.py [--databases 1024] [--cpus 2]

Prints the wall time of the whole command (Python's and Ray's start included), databases per second, the CPU
share of generating, of writing and of all else (Ray, start, index), the bytes on disk, and the memory of the
driver process, which should not grow with the number of databases.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from command import finished_folders, start_generate
from record import write_record
from worker import peak_mb, resident_mb

SAMPLE_SECONDS = 0.2


def main() -> None:
    """Generate, measure, print."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="corpus-") as folder:
        out = Path(folder) / "corpus"
        settings = [f"cluster.num_cpus={args.cpus}", *args.set]
        run = watch_generate(out, args.databases, settings)
        facts = {"databases": args.databases, "cpus": args.cpus, **run, **account(out, args.cpus, run)}
    print_facts(facts)
    write_record(args.out, measurements=[facts])
    print(f"every measurement: {args.out}")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--databases", type=int, default=1024, metavar="N")
    parser.add_argument("--cpus", type=int, default=os.cpu_count() or 1, metavar="N", help="of the local Ray")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the study"
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the corpus stands for a while")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/benchmarks/corpus.json"), metavar="FILE", help="the record"
    )
    return parser.parse_args()


def watch_generate(out: Path, n_databases: int, settings: list[str]) -> dict[str, Any]:
    """Run the command to its end; its wall time and the driver's memory as the corpus grows."""
    started = time.perf_counter()
    process = start_generate(out, n_databases, settings)
    peak, first_at, memory = 0.0, None, {}
    while process.poll() is None:
        done = finished_folders(out)
        if done and first_at is None:
            first_at = time.perf_counter() - started
        try:
            peak = peak_mb(process.pid)
            memory[done] = resident_mb(process.pid)
        except ProcessLookupError:  # it has just ended
            break
        time.sleep(SAMPLE_SECONDS)
    if process.wait():
        sys.exit(f"`relscale generate` ended with exit code {process.returncode}.")
    return {
        "wall_seconds": time.perf_counter() - started,
        "first_database_seconds": first_at,
        "driver_peak_mb": peak,
        "driver_mb_by_databases": memory,
    }


def account(out: Path, cpus: int, run: dict[str, Any]) -> dict[str, Any]:
    """Shares of cpus x wall time, from the index, and the size on disk."""
    index = pq.read_table(out / "index.parquet")
    available = cpus * run["wall_seconds"]
    total = pc.sum(index["seconds"]).as_py()
    writing = pc.sum(index["write_seconds"]).as_py()
    return {
        "databases_per_second": pc.sum(index["admitted"]).as_py() / run["wall_seconds"],
        "tried_seeds": len(index),
        "cells": pc.sum(index["cells"]).as_py(),
        "own_seconds": total,
        "write_seconds": writing,
        "write_share": writing / available,
        "other_share": 1 - total / available,
        "worker_peak_mb": pc.max(index["peak_mb"]).as_py(),
        "bytes": sum(file.stat().st_size for file in (out / "databases").rglob("*") if file.is_file()),
    }


def print_facts(facts: dict[str, Any]) -> None:
    """One line a figure."""
    memory = facts["driver_mb_by_databases"]
    counts = sorted(memory)
    steps = [counts[int(share * (len(counts) - 1))] for share in (0.25, 0.5, 1)]
    lines = {
        "databases": f"{facts['databases']:,} of {facts['tried_seeds']:,} seeds, {facts['cells']:,} cells",
        "wall time": f"{facts['wall_seconds']:.1f} s on {facts['cpus']} CPUs; first database after "
        f"{facts['first_database_seconds'] or 0:.1f} s",
        "speed": f"{facts['databases_per_second']:.2f} databases/s, "
        f"{facts['cells'] / facts['wall_seconds']:,.0f} cells/s",
        "databases' own time": f"{facts['own_seconds']:.1f} s, {1 - facts['other_share']:.1%} of CPUs x wall",
        "of which writing": f"{facts['write_seconds']:.1f} s, {facts['write_share']:.1%}",
        "Ray, start and index": f"{facts['other_share']:.1%}",
        "on disk": f"{facts['bytes'] / 2**20:,.1f} MB",
        "largest worker": f"{facts['worker_peak_mb']:.0f} MB",
        "driver": f"peak {facts['driver_peak_mb']:.0f} MB; "
        + ", ".join(f"{memory[done]:.0f} MB at {done} databases" for done in steps),
    }
    for name, value in lines.items():
        print(f"{name:<21} {value}")


if __name__ == "__main__":
    main()
