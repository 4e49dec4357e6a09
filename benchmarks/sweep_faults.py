"""A sweep that is killed again and again ends with the table of a sweep in peace.

    python benchmarks/sweep_faults.py [--kills 3] [--schedule one-cycle wsd-branch] [--folder DIR]

For each schedule: runs a grid of 3 x 3 trials with 2 seeds (small databases, the demo's model) once in peace.
Then starts the same `relscale sweep` elsewhere, kills it and all its Ray processes with SIGKILL whenever a
few more trials have finished, and runs it to its end. Prints how far each kill let it come, whether results
and losses by held-out database are equal to the last bit, and how many seconds a further run of the
finished study takes. Ends with exit code 1 if a table differs or a finished trial was run again.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from command import start
from record import print_table, write_record

BRANCHES = ["training.warmup_steps=6", "training.decay_share=0.15", "training.floor_share=0.0"]
SETTINGS = [
    "name=faults",
    "corpus.held_out_databases=8",
    "grid.n_databases=[2,4,8]",
    "grid.tokens=[65536,131072,262144]",
    "grid.seeds=[0,1]",
    "training.checkpoint_every_steps=16",
    "zero_shot.datasets=[]",
]
POINT = ["n_databases", "tokens", "seed"]
TRIALS = 18
BAR_SECONDS = 30.0
"""What a further run of a finished study may take."""


def main() -> None:
    """Each schedule in peace and disturbed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=3, metavar="N")
    parser.add_argument("--schedule", nargs="+", default=["one-cycle", "wsd-branch"])
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the studies stand for a while")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/sweep_faults.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="faults-") as name:
        rows = [compare(Path(name) / schedule, schedule, args.kills) for schedule in args.schedule]
    print_table(["schedule", "kills", "trials finished at each", "same tables", "run again, s"], rows)
    write_record(args.out, measurements=rows)
    sys.exit(any(row[3] != "yes" or float(row[4]) > BAR_SECONDS for row in rows))


def compare(folder: Path, schedule: str, kills: int) -> list[str]:
    """A row of the table."""
    settings = [*SETTINGS, f"training.schedule={schedule}"]
    settings += BRANCHES if schedule == "wsd-branch" else []
    peace, disturbed = folder / "peace", folder / "disturbed"
    run(peace, settings)
    reached: list[dict[str, int]] = []
    for kill in range(kills):
        reached.append(run_until(disturbed, settings, TRIALS * (kill + 1) // (kills + 1)))
        print(f"{schedule}: killed with {len(reached[-1])} of {TRIALS} trials finished", flush=True)
    run(disturbed, settings)
    kept = all(finished.items() <= results(disturbed).items() for finished in reached)
    started = time.monotonic()
    run(disturbed, settings)
    seconds = time.monotonic() - started
    counts = ", ".join(str(len(finished)) for finished in reached)
    same = kept and equal_tables(peace, disturbed)
    return [schedule, str(kills), counts, "yes" if same else "no", f"{seconds:.1f}"]


def run(out: Path, settings: list[str]) -> None:
    """The sweep to its end."""
    process = sweep(out, settings)
    if code := process.wait():
        sys.exit(f"`relscale sweep` ended with exit code {code}; see {out}.log.")


def run_until(out: Path, settings: list[str], n_trials: int) -> dict[str, int]:
    """Run the sweep until so many trials have finished, then kill it; the results that stand then."""
    process = sweep(out, settings)
    while len(results(out)) < n_trials:
        if process.poll() is not None:
            sys.exit(f"`relscale sweep` ended before it was killed; see {out}.log.")
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return results(out)


def sweep(out: Path, settings: list[str]) -> "subprocess.Popen[str]":
    """Start the sweep as a process group of its own."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".log").open("a") as log:
        return start(
            "sweep", ["--config", "configs/demo.yaml", "--out", str(out)], settings, log, new_group=True
        )


def results(out: Path) -> dict[str, int]:
    """Finished trials with the time of their result."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("trials/*/result.json")}


def equal_tables(first: Path, second: Path) -> bool:
    """Whether two studies have the same losses, to the last bit."""
    tables = []
    for out in (first, second):
        runs = pd.read_parquet(out / "results.parquet").set_index(POINT)
        losses = runs[[name for name in runs if name.startswith("loss")]]
        by_database = pd.read_parquet(out / "per_database.parquet").set_index([*POINT, "database"])
        tables.append((runs["key"].to_dict(), losses.to_dict(), by_database.to_dict()))
    return tables[0] == tables[1]


if __name__ == "__main__":
    main()
