"""Contexts per second: our sampler against the official engine, on one database, taking turns.

    python benchmarks/sampler.py --database REL_F1 --peer-python PEER/bin/python [--out FILE]

REL_F1 is a RelBench 3 folder with tasks. The peer is relational-transformer 1.10.0 in an environment of its
own (see official_preprocess.py); it collects no further seeds by random walks. Both sides sample the same
number of contexts of the task's train split in batches, each in one process on one thread: ours up to the
arrays of a `ContextBatch` as training takes them, the peer's up to its tuple of arrays, which holds text
vectors. A token is a place of a context, padding included. Exit code 1 below the bar (--bar, 5 times the
peer's tokens per CPU second).
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from record import print_table, spread, write_record
from worker import Worker


def main() -> None:
    """Measure in turns, print the ratios."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="sampler-") as folder:
        sides = {"relscale": (Path(sys.executable), "relscale_sampler.py")}
        if args.peer_python:
            sides["peer"] = args.peer_python, "peer_sampler.py"
        measurements = measure(args, sides, Path(folder))
    rows = []
    ratios = []
    for length in args.lengths:
        of = {name: [m for m in measurements if (m["side"], m["length"]) == (name, length)] for name in sides}
        speed = {name: [m["tokens"] / m["cpu_seconds"] for m in of[name]] for name in sides}
        wall = {name: [m["tokens"] / m["seconds"] for m in of[name]] for name in sides}
        ratio = np.median(speed["relscale"]) / np.median(speed["peer"]) if "peer" in sides else np.nan
        ratios.append(ratio)
        for name in sides:
            shown = f"{ratio:.1f}" if name == "relscale" else ""
            rows.append([str(length), name, spread(speed[name]), spread(wall[name]), shown])
    print_table(["context", "side", "tokens / CPU s", "tokens / s", "ratio (CPU)"], rows)
    if args.out:
        write_record(args.out, measurements=measurements, ratios=ratios)
    if min(ratios) < args.bar:
        sys.exit(f"the least ratio is {min(ratios):.1f}, below the bar of {args.bar:g}.")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", type=Path, required=True, metavar="DIR", help="RelBench 3 folder")
    parser.add_argument(
        "--peer-python", type=Path, metavar="PATH", help="Python of the peer; none: only ours"
    )
    parser.add_argument("--task", default="driver-dnf", metavar="NAME")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 256], metavar="S")
    parser.add_argument("--width", type=int, default=128, metavar="W")
    parser.add_argument("--batches", type=int, default=60, metavar="N", help="batches in a round")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--bar", type=float, default=5.0, metavar="X")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every measurement here (JSON)")
    return parser.parse_args()


def measure(
    args: argparse.Namespace, sides: dict[str, tuple[Path, str]], folder: Path
) -> list[dict[str, Any]]:
    """One measurement per side, length and round; the first round warms up and is not kept."""
    measurements = []
    for length in args.lengths:
        request = {
            "database": str(args.database),
            "task": args.task,
            "length": length,
            "width": args.width,
            "batches": args.batches,
        }
        workers = {name: Worker(*start) for name, start in sides.items()}
        for round_ in range(args.rounds + 1):
            for name, worker in workers.items():
                answer = worker.ask({**request, "work": str(folder / name), "round": round_})
                if "error" in answer:
                    sys.exit(f"{name}: {answer['error']}")
                if round_ > 0:
                    measurements.append({"side": name, "length": length, "round": round_, **answer})
        for worker in workers.values():
            worker.__exit__()
    return measurements


if __name__ == "__main__":
    main()
