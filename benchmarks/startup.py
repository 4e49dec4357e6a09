"""Seconds from the start of the `relscale pretrain` process to the end of its first step.

    python benchmarks/startup.py [--repeats 5]

The first start may compile kernels and fill the file cache; the others are of a warm machine, and their
median is to be below 15 s.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from command import start_pretrain
from record import spread
from small_store import make_store

BAR_SECONDS = 15.0
SETTINGS = [
    "model.n_blocks=2",
    "model.d_model=64",
    "model.n_heads=4",
    "model.d_ff=256",
    "sampler.context_length=256",
    "training.batch_size=32",
    "training.log_every_steps=1",
]


def main() -> None:
    """Measure, print, judge."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="startup-") as name:
        folder = Path(name)
        store = make_store(folder, 4)
        print(f"first start {seconds_to_first_step(store, folder / 'first'):.1f} s", flush=True)
        seconds = [seconds_to_first_step(store, folder / f"warm-{i}") for i in range(args.repeats)]
    print(f"warm starts {spread(seconds)} s to the first step (median [least..greatest])")
    if np.median(seconds) > BAR_SECONDS:
        sys.exit(1)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    return parser.parse_args()


def seconds_to_first_step(store: Path, out: Path) -> float:
    """Start the command, wait for its first logged line, stop it."""
    started = time.monotonic()
    process = start_pretrain(store, out, 100 * 32 * 256, SETTINGS, output=subprocess.DEVNULL)
    metrics = out / "metrics.jsonl"
    while not (metrics.is_file() and metrics.stat().st_size):
        if process.poll() is not None:
            sys.exit(f"`relscale pretrain` ended with exit code {process.returncode}.")
        time.sleep(0.01)
    seconds = time.monotonic() - started
    process.kill()
    process.wait()
    return seconds


if __name__ == "__main__":
    main()
