"""Cells per second and memory as the tables grow: both should be linear in rows.

    python benchmarks/row_scaling.py [--entity-rows 50000] [--activity-rows 1000000] [--tables 10]

For each seed, databases of a quarter, a half and all of these rows are generated, each in a fresh process
on one thread, warmed up by a small database. Prints cells per second and peak memory, and for each seed the
bytes that a cell adds between a quarter and a half and between a half and all: equal where memory is linear.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from record import print_table, spread, write_record
from worker import Answer, Worker

from relscale.generation.config import GeneratorConfig
from relscale.platform.config import load_config

SHARES = (0.25, 0.5, 1.0)


def main() -> None:
    """Measure, print, write the record."""
    args = parse_arguments()
    measurements = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for share in SHARES:
            measurements.append(measure(seed, share, args))
            print(line(measurements[-1]), flush=True)
            write_record(args.out, measurements=measurements)
    print_summary(measurements)
    print(f"every measurement: {args.out}")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entity-rows", type=int, default=50_000, metavar="N")
    parser.add_argument("--activity-rows", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--tables", type=int, default=10, metavar="N")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--first-seed", type=int, default=0, metavar="SEED")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the prior"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/benchmarks/row_scaling.json"),
        metavar="FILE",
        help="the record",
    )
    return parser.parse_args()


def measure(seed: int, share: float, args: argparse.Namespace) -> Answer:
    """One database in a fresh process; `warm_mb` is the process's peak before it."""
    entity, activity = int(share * args.entity_rows), int(share * args.activity_rows)
    with Worker(Path(sys.executable), "relscale_generation.py") as worker:
        warm = worker.ask(request(seed, 3, 500, 2000, args.set))
        answer = worker.ask(request(seed, args.tables, entity, activity, args.set))
    if "error" in answer:
        sys.exit(f"seed {seed} failed: {answer['error']}")
    return {"seed": seed, "share": share, "warm_mb": warm["peak_mb"], **answer}


def request(seed: int, n_tables: int, entity: int, activity: int, settings: list[str]) -> dict[str, Any]:
    """A database of a fixed number of tables and of rows in each."""
    sizes = {"num_tables": n_tables, "rows_entity": entity, "rows_activity": activity}
    overrides = [*settings, *(f"{name}=[{size}, {size}]" for name, size in sizes.items())]
    config = load_config(GeneratorConfig, None, overrides)
    return {"seed": seed, "config": config.model_dump(mode="json")}


def line(m: Answer) -> str:
    """One measurement for a reader."""
    return (
        f"seed {m['seed']}, {m['share']:g} of the rows: {m['rows']:,} rows, {m['cells']:,} cells, "
        f"{m['seconds']:.2f} s, CPU {m['cpu_seconds']:.2f} s, {m['cells'] / m['seconds']:,.0f} cells/s, "
        f"peak {m['peak_mb']:,.0f} MB"
    )


def print_summary(measurements: list[Answer]) -> None:
    """Speed and memory at each share, over the seeds; then how straight each seed's line is."""
    rows = []
    for share in SHARES:
        at = [m for m in measurements if m["share"] == share]
        speeds = [m["cells"] / m["seconds"] / 1e6 for m in at]
        cells = [m["cells"] / 1e6 for m in at]
        rows.append([f"{share:g}", spread(cells), spread(speeds), spread([m["peak_mb"] for m in at])])
    print_table(["share of rows", "M cells", "M cells/s", "peak MB"], rows)
    growth = [added_bytes_per_cell(measurements, seed) for seed in sorted({m["seed"] for m in measurements})]
    print_table(
        ["bytes a cell adds", "1/4 to 1/2", "1/2 to 1", "ratio (1 is linear)"],
        [[f"seed {seed}", f"{low:.1f}", f"{high:.1f}", f"{high / low:.2f}"] for seed, low, high in growth],
    )
    print(f"median ratio {np.median([high / low for _, low, high in growth]):.2f}")


def added_bytes_per_cell(measurements: list[Answer], seed: int) -> tuple[int, float, float]:
    """Slope of peak memory over cells, in the lower and the upper half of a seed's line."""
    points = sorted((m["cells"], m["peak_mb"] * 2**20) for m in measurements if m["seed"] == seed)
    low, high = np.diff([size for _, size in points]) / np.diff([cells for cells, _ in points])
    return seed, float(low), float(high)


if __name__ == "__main__":
    main()
