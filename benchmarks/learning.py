"""What a tiny model learns from 16 synthetic databases, scored on others that it has not seen.

    python benchmarks/learning.py [--tokens 8000000] [--seeds 3]

Generates and tokenizes 16 databases to train on (8 to 14 tables of 6 to 24 columns) and 32 to be held out
(those of the demo: 3 to 6 tables of 3 to 12), pretrains the tiny model (2 blocks, width 64, contexts of 256
cells of which up to 0.4 are hidden) with each seed, and scores it on fixed held-out contexts all along. On
the same hidden cells it is compared with

    column mean   the column's mean over the database: z-score 0, or the base rate of a boolean
    entity mean   the mean of the column's visible cells in rows that share a parent with the hidden cell's
                  row; the column mean where there are none
    context mean  the same over all rows of the context

and with the last two "shrunk": drawn towards the column mean by as many pseudo-observations as suit these
very cells best, which no predictor could know. Losses are means over columns (Huber on z-scores,
cross-entropy of booleans). Prints the difference to the best of the first three per column with a 95 %
bootstrap interval over held-out databases, averaged over seeds; exit code 1 unless the interval lies below
zero. Draws the curve into --figure.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from record import print_table, write_record
from small_store import SIZES, make_store

from relscale.model.checkpoint import load_model
from relscale.model.config import EvaluationConfig, ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.items import evaluation_items
from relscale.model.job import HeldOutData, PretrainJob
from relscale.model.levels import base_rates, losses_of_means, visible_cells
from relscale.model.predict import Predictions, predict_items
from relscale.model.pretrain import pretrain
from relscale.model.run_folder import read_metrics
from relscale.model.sampler import sample_contexts
from relscale.model.store import TokenStore

N_TRAIN, N_HELD_OUT, HELD_OUT_SEED = 16, 32, 1_000_000
TRAIN_SIZES = {**SIZES, "num_tables": [8, 14], "num_columns": [6, 24]}
"""Many columns in few databases: 16 as small as the held-out ones are learnt by heart after 4 M tokens."""
SAMPLER = SamplerConfig(context_length=256, bfs_width=32, mask_prob=0.4)
MODEL = ModelConfig(n_blocks=2, d_model=64, n_heads=4, d_ff=256)
EVALUATION = EvaluationConfig(columns_per_type=5, rows_per_column=10, mask_prob=0.2)
PSEUDO = (0.5, 1, 2, 4, 8, 16, 32, 64, 128, 1e9)
PLAIN = ("column mean", "entity mean", "context mean")
SHOWN = {"column mean": "-", "entity mean": "--", "entity mean, shrunk": ":"}
"""Levels of the figure, and their lines."""
DRAWS = 2000


def main() -> None:
    """Make, train, compare, draw."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="learning-") as name:
        folder = Path(name)
        store = make_store(folder / "train", N_TRAIN, sizes=TRAIN_SIZES)
        held_out = TokenStore.open(make_store(folder / "held-out", N_HELD_OUT, seed_offset=HELD_OUT_SEED))
        runs = [train(folder, store, held_out.path, seed, args) for seed in range(args.seeds)]
        cells = HeldOutCells(held_out)
        levels = cells.baselines()
        models = [cells.model_losses(folder / f"run-{seed}" / "final") for seed in range(args.seeds)]
    best = min(PLAIN, key=lambda name: cells.loss(levels[name]))
    rows = [[name, f"{cells.loss(losses):.4f}"] for name, losses in levels.items()]
    rows += [[f"model, seed {seed}", f"{cells.loss(losses):.4f}"] for seed, losses in enumerate(models)]
    print_table(["predictor", "held-out loss"], rows)
    mean, low, high = cells.difference(np.mean(models, axis=0), levels[best])
    print(
        f"model minus {best}: {mean:.4f} [{low:.4f}, {high:.4f}] over {N_HELD_OUT} databases, "
        f"{len(cells.label):,} hidden cells"
    )
    draw(runs, {name: cells.loss(levels[name]) for name in SHOWN}, args.figure)
    write_record(args.out, measurements=runs, losses=dict(rows), difference=[mean, low, high], best=best)
    sys.exit(not high < 0)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=8_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--figure", type=Path, default=Path("runs/benchmarks/learning.png"))
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/learning.json"))
    return parser.parse_args()


def train(folder: Path, store: Path, held_out: Path, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One run; its curve."""
    job = PretrainJob(
        store=store,
        out=folder / f"run-{seed}",
        model=MODEL,
        sampler=SAMPLER,
        training=TrainingConfig(
            batch_size=16,
            learning_rate=2e-3,
            n_threads=args.threads,
            evaluate_every_steps=240,
            log_every_steps=240,
        ),
        tokens=args.tokens,
        seed=seed,
        held_out=HeldOutData(store=held_out, evaluation=EVALUATION),
    )
    pretrain(job, report=lambda line: print(f"seed {seed} {line['tokens']:,} {line['held_out_loss']:.4f}"))
    lines = read_metrics(job.out)
    return {
        "seed": seed,
        **{key: [line[key] for line in lines] for key in ("tokens", "loss", "held_out_loss")},
    }


class HeldOutCells:
    """The hidden cells of the held-out contexts, and what predictors lose on them."""

    def __init__(self, store: TokenStore) -> None:
        self.store, self.sampler = store, SAMPLER.replace(mask_prob=EVALUATION.mask_prob)
        self.items = evaluation_items(
            store,
            store.names,
            columns_per_type=EVALUATION.columns_per_type,
            rows_per_column=EVALUATION.rows_per_column,
            seed=EVALUATION.seed,
        )
        self.contexts = sample_contexts(store, store.names, self.items, self.sampler, seed=EVALUATION.seed)
        hidden = self.contexts.masked
        self.label, self.kind = self.contexts.value[hidden], self.contexts.sem_type[hidden]
        self.database = np.asarray(self.items.database)[hidden.nonzero()[0]]
        column = self.contexts.column[hidden]
        self.task = np.unique(np.stack([self.database, column]), axis=1, return_inverse=True)[1].ravel()

    def model_losses(self, checkpoint: Path) -> np.ndarray:
        """float64 [K]: loss of a checkpoint on each hidden cell."""
        network, _ = load_model(checkpoint)
        found: Predictions = predict_items(
            network, self.store, self.store.names, self.items, self.sampler, seed=EVALUATION.seed
        )
        np.testing.assert_array_equal(found.label, self.label)
        return found.loss.astype(np.float64)

    def baselines(self) -> dict[str, np.ndarray]:
        """Name -> float64 [K]: loss of each simple predictor."""
        rate = base_rates(self.store, self.store.names, self.items, self.contexts)
        visible = visible_cells(self.contexts)
        levels = {"column mean": self.losses(np.zeros(len(self.label)), rate)}
        for name, total, count in (
            ("context mean", visible.total, visible.n),
            ("entity mean", visible.total_siblings, visible.n_siblings),
        ):
            levels[name] = self.losses(total / np.maximum(count, 1), rate)
            drawn = [self.losses(total / (count + pseudo), rate) for pseudo in PSEUDO]
            levels[f"{name}, shrunk"] = min(drawn, key=self.loss)
        return levels

    def losses(self, score: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """Loss of predicting a z-score, for a boolean the probability that has it as its z-score."""
        return losses_of_means(score, rate, self.label, self.kind)

    def loss(self, losses: np.ndarray) -> float:
        """Mean over columns of the mean over a column's cells."""
        return float(self.per_task(losses).mean())

    def per_task(self, losses: np.ndarray) -> np.ndarray:
        """Mean loss of each column."""
        return np.bincount(self.task, weights=losses) / np.bincount(self.task)

    def difference(self, a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
        """Mean over columns of a - b, with a 95 % bootstrap interval over databases."""
        by_task = self.per_task(a - b)
        owner = np.zeros(len(by_task), np.int64)
        owner[self.task] = self.database
        total = np.bincount(owner, weights=by_task, minlength=N_HELD_OUT)
        count = np.bincount(owner, minlength=N_HELD_OUT)
        rng = np.random.Generator(np.random.Philox(0))
        drawn = rng.integers(N_HELD_OUT, size=(DRAWS, N_HELD_OUT))
        low, high = np.quantile(total[drawn].sum(axis=1) / count[drawn].sum(axis=1), [0.025, 0.975])
        return float(by_task.mean()), float(low), float(high)


def draw(runs: list[dict[str, Any]], levels: dict[str, float], path: Path) -> None:
    """Held-out loss against tokens, one line per seed, the simple predictors as levels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for run in runs:
        axes.plot(np.array(run["tokens"]) / 1e6, run["held_out_loss"], color="#0072B2", lw=1.4)
    for name, level in levels.items():
        axes.axhline(level, color="#D55E00", lw=1, ls=SHOWN[name])
        axes.annotate(
            name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=9
        )
    axes.set(
        xlabel="training tokens (millions)",
        ylabel="loss on held-out databases",
        title=f"Tiny model on {N_TRAIN} synthetic databases, {len(runs)} seeds",
        ylim=(min(levels.values()) - 0.003, max(levels.values()) + 0.01),
    )
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
