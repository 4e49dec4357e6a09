"""Memory of a training process over many steps: nothing in the loop may grow.

    python benchmarks/steady.py [--steps 10000]

Trains a toy network in this process, with a checkpoint and a held-out loss every 500 steps, and prints the
resident memory as the steps go by, and by how much it grew after the first tenth of them.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from small_store import make_store

from relscale.model.config import EvaluationConfig, ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.job import HeldOutData, PretrainJob
from relscale.model.pretrain import pretrain

BAR_MB = 8.0
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
EVERY = 500


def main() -> None:
    """Train, print, judge."""
    args = parse_arguments()
    memory: dict[int, float] = {}
    marks = [round(share * args.steps) for share in SHARES]

    def report(line: dict[str, Any]) -> None:
        if line["step"] in marks:
            memory[line["step"]] = resident_mb()
            print(f"step {line['step']:>6,}: {memory[line['step']]:.1f} MB resident", flush=True)

    with tempfile.TemporaryDirectory(prefix="steady-") as name:
        pretrain(toy(Path(name), args.steps), report=report)
    grown = memory[marks[-1]] - memory[marks[0]]
    print(f"from step {marks[0]:,} to {marks[-1]:,}: {grown:+.1f} MB")
    if grown > BAR_MB:
        sys.exit(1)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=10_000, metavar="N")
    return parser.parse_args()


def toy(folder: Path, n_steps: int) -> PretrainJob:
    """Steps of some milliseconds, on small databases."""
    training = TrainingConfig(
        batch_size=4, log_every_steps=50, checkpoint_every_steps=EVERY, evaluate_every_steps=EVERY
    )
    held_out = HeldOutData(
        store=make_store(folder / "held-out", 1, seed_offset=1_000_000),
        evaluation=EvaluationConfig(columns_per_type=2, rows_per_column=2),
    )
    return PretrainJob(
        store=make_store(folder / "training", 3),
        out=folder / "run",
        model=ModelConfig(n_blocks=1, d_model=32, n_heads=2, d_ff=64),
        sampler=SamplerConfig(context_length=64, bfs_width=8, mask_prob=0.3),
        training=training,
        tokens=n_steps * 4 * 64,
        held_out=held_out,
    )


def resident_mb() -> float:
    """Resident memory of this process, in MiB."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


if __name__ == "__main__":
    main()
