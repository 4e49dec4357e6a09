"""Fine-tuning: one task's train labels, the best of the scored states, early stopping.

The rate is constant without decay, as RT fine-tunes (arXiv:2510.06377), so that no state depends on how many
steps may follow. Weights are scored before the first step and every `every_steps`; the best state is the
result, the first one of equals. A run that was killed goes on exactly as if it had not been.

    OUT/states/step-<n>/        the network after n steps, while it is the best
    OUT/checkpoints/step-<n>/   the latest state, to go on from
    OUT/final/                  the best network; its presence means that the run is done
"""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

import relscale
from relscale.model import checkpoint
from relscale.model.config import SamplerConfig, TrainingConfig
from relscale.model.feed import Feed
from relscale.model.items import check_task_context
from relscale.model.known_items import task_training_items
from relscale.model.network import RelationalTransformer
from relscale.model.step import Updater
from relscale.model.store import TokenStore
from relscale.model.text import check_same_encoder
from relscale.model.workers import Workers
from relscale.platform import storage
from relscale.platform.config import Config
from relscale.platform.errors import DataError

Score = Callable[[RelationalTransformer], float]
"""The metric of a network on the val split; more is better."""


class FineTuneJob(Config):
    """One fine-tuning, as plain values."""

    checkpoint: Path
    """Folder of the network to start from."""
    store: Path
    """Token store of the database alone."""
    task: str
    """Its task."""
    out: Path
    """Run folder."""
    sampler: SamplerConfig = SamplerConfig()
    """What a training context sees."""
    batch_size: int = Field(default=32, ge=1)
    """Contexts per optimizer step."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Of all steps."""
    every_steps: int = Field(default=100, ge=1)
    """Optimizer steps between two scores."""
    patience: int = Field(default=5, ge=1)
    """Scores in a row without a better one that end the run."""
    max_steps: int = Field(default=5000, ge=1)
    """Steps after which the run ends in any case."""
    seed: int = Field(default=0, ge=0)
    """Of the order of rows and of contexts."""


def fine_tune(job: FineTuneJob, score: Score, report: Callable[[int, float], None]) -> Path:
    """Fine-tune a checkpoint, or go on; the folder of the best network.

    Parameters
    ----------
    score : called with the network, which it leaves as it is.
    report : called with the step and the score of each scored state.

    Raises
    ------
    DataError : the store was made with another text encoder; the task is unknown or has no known train row;
        a loss is not finite. ConfigError : a row does not fit a context. ResumeError : OUT is another run's.
    """
    store = TokenStore.open(job.store)
    network, origin = checkpoint.load_model(job.checkpoint)
    check_same_encoder(store, origin.get("text_encoder"), whose=f"checkpoint '{job.checkpoint}'")
    about = _describe(job, store, network)
    final = job.out / "final"
    if final.is_dir():
        checkpoint.check_same_run(final, about)
        return final
    check_task_context(store.database(store.names[0]), job.task, job.sampler.context_length)
    run = _Run(job, store, network, about)
    run.train(score, report)
    scores = run.scores
    best = best_of(scores)
    chosen, _ = checkpoint.load_model(_state(job.out, scores[best][0]))
    checkpoint.save_model(final, chosen, {**about, "step": scores[best][0], "scores": scores})
    for leftover in ("states", "checkpoints"):
        shutil.rmtree(job.out / leftover, ignore_errors=True)
    return final


class _Run:
    """An unfinished fine-tuning."""

    def __init__(
        self, job: FineTuneJob, store: TokenStore, network: RelationalTransformer, about: dict[str, Any]
    ) -> None:
        self.job, self.network, self.about = job, network, about
        training = TrainingConfig(
            batch_size=job.batch_size, learning_rate=job.learning_rate, weight_decay=0.0
        )
        torch.set_num_threads(1)
        self.updater = Updater(network, training, Workers())
        items = task_training_items(store, store.names[0], job.task, job.seed)
        self.feed = Feed(items, network, job.sampler, training, Workers(), seed=job.seed)
        self.step, self.scores = 0, list[list[float]]()
        storage.sweep_drafts(job.out)
        if (folder := checkpoint.latest_checkpoint(job.out)) is not None:
            checkpoint.check_same_run(folder, about)
            state = checkpoint.load_training(folder, network, self.updater.optimizers)
            self.step, self.scores = state["step"], state["scores"]

    def train(self, score: Score, report: Callable[[int, float], None]) -> None:
        """All that is left, until patience or steps have run out."""
        if not self.scores:
            self._score(score, report)
        while not self._is_done():
            stop = min(self.step + self.job.every_steps, self.job.max_steps)
            for share in self.feed.shares(range(self.step, stop)):
                if not math.isfinite(self.updater.update(share.micro_batches, self.job.learning_rate)):
                    raise DataError(
                        f"the loss or its gradient is not finite after step {self.step}; lower learning_rate."
                    )
            self.step = stop
            self._score(score, report)
            self._save()

    def _is_done(self) -> bool:
        since = len(self.scores) - 1 - best_of(self.scores)
        return since >= self.job.patience or self.step >= self.job.max_steps

    def _score(self, score: Score, report: Callable[[int, float], None]) -> None:
        value = score(self.network)
        self.scores.append([self.step, value])
        report(self.step, value)
        if best_of(self.scores) == len(self.scores) - 1:
            checkpoint.save_model(_state(self.job.out, self.step), self.network, self.about)

    def _save(self) -> None:
        """Keep the latest state and the best one."""
        folder = checkpoint.training_folder(self.job.out, self.step)
        progress = {"step": self.step, "scores": self.scores}
        checkpoint.save_training(folder, self.network, self.about, self.updater.optimizers, progress)
        kept = {folder, _state(self.job.out, int(self.scores[best_of(self.scores)][0]))}
        for other in [*folder.parent.glob("step-*"), *(self.job.out / "states").glob("step-*")]:
            if other not in kept:
                shutil.rmtree(other)


def best_of(scores: Sequence[Sequence[float]]) -> int:
    """Place of the first of the highest scores, each (step, score)."""
    return max(range(len(scores)), key=lambda place: (scores[place][1], -place))


def _state(out: Path, step: float) -> Path:
    return out / "states" / f"step-{int(step):09d}"


def _describe(job: FineTuneJob, store: TokenStore, network: RelationalTransformer) -> dict[str, Any]:
    """What the checkpoint says about itself; equal descriptions give equal weights."""
    return {
        "model": network.config.model_dump(mode="json"),
        **job.model_dump(mode="json", exclude={"checkpoint", "store", "out"}),
        "init": storage.digest_files(job.checkpoint),
        "databases": list(store.names),
        "data_fingerprint": store.fingerprint,
        "text_encoder": store.text_encoder,
        "relscale_version": relscale.__version__,
    }
