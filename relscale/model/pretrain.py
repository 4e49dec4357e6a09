"""Pretraining: a token store and a budget of tokens become a checkpoint.

A step's batch is a function of (seed, step): worker r of W takes places r*B/W to (r+1)*B/W of the global
items step*B to (step+1)*B. So a run that was killed goes on exactly as if it had not been, and W workers
see what one would see. Nothing here knows Ray or who listens to the metrics. `run_folder` says what a run
leaves behind.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import relscale
from relscale.model import checkpoint, run_folder
from relscale.model.fault import not_finite
from relscale.model.feed import Feed, Share
from relscale.model.flops import flops_per_cell, matmul_rate
from relscale.model.held_out import HeldOut
from relscale.model.job import PretrainJob, items_to_train_on, n_steps, open_data, open_held_out
from relscale.model.meter import Meter
from relscale.model.network import RelationalTransformer
from relscale.model.schedule import learning_rate, trunk_steps
from relscale.model.seen import Seen
from relscale.model.step import Updater
from relscale.model.store import TokenStore, store_fingerprint
from relscale.model.text import check_same_encoder
from relscale.model.workers import Workers, is_spread
from relscale.platform import remote, storage
from relscale.platform.errors import ConfigError, DataError

Report = Callable[[dict[str, Any]], None]


def pretrain(job: PretrainJob, *, report: Report, workers: Workers | None = None) -> Path:
    """Train a network, or go on where an earlier call stopped; the folder of the finished checkpoint.

    Parameters
    ----------
    job : what to train.
    report : called by worker 0 at every logged step with the line of metrics.jsonl: step, tokens (those since
        the start of the run, padding included), learning_rate, mfu (see `flops`), and the fields of
        `Meter.line`, `Seen.summary` and, where it was scored, `HeldOut.line`.
    workers : this process's place among those that share every batch; None: it is alone, on the CPU.

    Raises
    ------
    ConfigError : batch_size is not a multiple of the workers; unknown databases; sizes differ from `init`.
    DataError : a loss or gradient is not finite (the context is named); a folder is broken.
    ResumeError : the run folder belongs to another job.

    Sets the number of torch threads of this process to training.n_threads.
    """
    workers = workers or Workers()
    torch.set_num_threads(job.training.n_threads)
    store, names = open_data(job)
    about = _describe(job, store, names)
    final = job.out / "final"
    if remote.stage(final):
        checkpoint.check_same_run(final, about)
        run_folder.bring_files(job.out)
        return final
    run = _Run(job, store, names, about, workers)
    run.train(report)
    run.finish(final)
    return final


class _Run:
    """An unfinished run: what it works with, and how far it is."""

    def __init__(
        self,
        job: PretrainJob,
        store: TokenStore,
        names: tuple[str, ...],
        about: dict[str, Any],
        workers: Workers,
    ) -> None:
        self.job, self.training, self.about, self.workers = job, job.training, about, workers
        self.items = items_to_train_on(job, store, names)
        self.held_out = _held_out(job)
        self.network = _build(job, store)
        self.feed = Feed(self.items, self.network, job.sampler, job.training, workers, seed=job.seed)
        self.total = n_steps(job.tokens, job.sampler, job.training)
        branches = job.training.schedule == "wsd-branch"
        self.trunk_steps = trunk_steps(self.total, job.training) if branches else None
        self.tokens_per_step = job.training.batch_size * job.sampler.context_length
        self.mfu_per_pace = flops_per_cell(job.model) / matmul_rate(job.training, workers)
        self.updater = Updater(self.network, job.training, workers)
        self.is_first = workers.rank == 0
        # All must gather what is spread over them, and compute together.
        self.takes_part = self.is_first or is_spread(self.network)
        self._resume()

    def _resume(self) -> None:
        folder, budget = checkpoint.latest_checkpoint(self.job.out), True
        if folder is None and self.job.trunk is not None:
            folder, budget = run_folder.trunk_folder(self.job.trunk), False
            remote.stage(folder)
        state: dict[str, Any] = {}
        if folder is not None:
            checkpoint.check_same_run(folder, self.about, same_budget=budget)
            state = checkpoint.load_training(folder, self.network, self.updater.optimizers)
        if self.trunk_steps is not None and not budget and state["step"] > self.trunk_steps:
            raise ConfigError(
                f"'{folder}' is at step {state['step']}, but the rate of a run of {self.job.tokens:,} tokens "
                f"falls from step {self.trunk_steps}; branch from a run of fewer tokens."
            )
        self.step: int = state.get("step", 0)
        self.meter = Meter(**state.get("meter", {}))
        self.seen = Seen(self.items, state.get("seen") if self.is_first else None)
        self.n_cells_logged = self.seen.over(self.workers).n_shown
        if self.is_first:
            settings = self.job.model_dump(mode="json")
            run_folder.prepare(self.job.out, settings, self.step, self.job.trunk)

    def train(self, report: Report) -> None:
        """All steps that are left, with what is due between them."""
        for share in self.feed.shares(range(self.step, self.total)):
            rate = self._update(share)
            score = self.held_out is not None and self._is_due(self.training.evaluate_every_steps)
            if score or self._is_due(self.training.log_every_steps):
                self._log(rate, report, score=score)
            if self.step == self.trunk_steps:
                self._save(run_folder.trunk_folder(self.job.out))
            if self.step % self.training.checkpoint_every_steps == 0 and self.step < self.total:
                self._checkpoint()
            self.meter.start()

    def _is_due(self, every_steps: int) -> bool:
        return self.step % every_steps == 0 or self.step == self.total

    def _update(self, share: Share) -> float:
        """One step; the learning rate that it had."""
        rate = learning_rate(self.step, self.total, self.training)
        loss = self.updater.update(share.micro_batches, rate)
        if not math.isfinite(loss):
            reason = not_finite(self.step, self.feed, self.items, self.network, self.training, self.workers)
            raise DataError(reason)
        self.meter.add(loss, waited=share.seconds_waited)
        self.seen.add(share.database, share.n_cells)
        self.step += 1
        return rate

    def _log(self, rate: float, report: Report, *, score: bool) -> None:
        summary = self.seen.over(self.workers).summary()
        pace = self.meter.line(self.tokens_per_step, summary["cells"] - self.n_cells_logged)
        self.n_cells_logged = summary["cells"]
        line = {
            "step": self.step,
            "tokens": self.step * self.tokens_per_step,
            "learning_rate": rate,
            **pace,
            "mfu": pace["cells_per_second"] * self.mfu_per_pace,
            **summary,
        }
        if score and self.held_out is not None and self.takes_part:
            line |= self.held_out.line(self.network)
        if self.is_first:
            run_folder.append_metrics(self.job.out, line)
            report(line)

    def _checkpoint(self) -> None:
        """Write the state and drop the older one."""
        folder = checkpoint.training_folder(self.job.out, self.step)
        self._save(folder)
        for other in remote.names(folder.parent) if self.is_first else ():
            if other != folder.name:
                remote.remove(folder.parent / other)

    def _save(self, folder: Path) -> None:
        """Write all that the next step depends on, unless it stands there."""
        seen = self.seen.over(self.workers)
        if not self.takes_part or remote.stage(folder):
            return
        if self.is_first:
            remote.drop(folder)  # of a process that was killed before it had sent it
        state = {"step": self.step, "meter": self.meter.state, "seen": seen.counts.tolist()}
        checkpoint.save_training(
            folder, self.network, self.about, self.updater.optimizers, state, writes=self.is_first
        )
        if self.is_first:
            run_folder.send(self.job.out, folder)

    def finish(self, final: Path) -> None:
        """Write the finished network and what the run has seen."""
        seen = self.seen.over(self.workers)
        if not self.takes_part:
            return
        done = {"tokens": self.total * self.tokens_per_step, "step": self.total, **seen.summary()}
        if self.is_first:
            storage.write_json(self.job.out / "seen.json", seen.table())
            remote.drop(final)
        about = {**self.about, **done, "n_workers": self.workers.size}
        checkpoint.save_model(final, self.network, about, writes=self.is_first)
        if self.is_first:
            run_folder.send(self.job.out, final)
            remote.remove(self.job.out / "checkpoints")


def _held_out(job: PretrainJob) -> HeldOut | None:
    if job.held_out is None:
        return None
    return HeldOut(*open_held_out(job), job.sampler, job.held_out.evaluation)


def _build(job: PretrainJob, store: TokenStore) -> RelationalTransformer:
    if job.init is None:
        return RelationalTransformer(job.model, seed=job.seed)
    network, about = checkpoint.load_model(job.init)
    check_same_encoder(store, about.get("text_encoder"), whose=f"checkpoint '{job.init}'")
    if network.config != job.model:
        raise ConfigError(f"'{job.init}' has {network.config!r}; set model to the same sizes.")
    return network


def _describe(job: PretrainJob, store: TokenStore, names: tuple[str, ...]) -> dict[str, Any]:
    """What a checkpoint says about itself; two runs with equal descriptions give equal weights."""
    manifest = storage.read_json(store.path / "store.json")
    entries = {entry["name"]: entry for entry in manifest["databases"]}
    # Of these databases alone: a store that grows at its end keeps the runs made on its front.
    used = {**manifest, "databases": [entries[name] for name in names]}
    shaping = {"model", "sampler", "training", "seed", "init", *(("targets",) if job.targets else ())}
    return {
        **job.model_dump(mode="json", include=shaping),
        "init": remote.shown(job.init) if job.init else None,
        "budget_tokens": job.tokens,
        "databases": list(names),
        "data_fingerprint": store_fingerprint(used),
        "text_encoder": manifest["encoder"],
        "relscale_version": relscale.__version__,
    }
