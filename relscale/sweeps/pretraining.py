"""One pretraining run as a person sees it: a line of progress, and a run in MLflow that mirrors its files."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from relscale.model.job import PretrainJob, n_steps, open_data
from relscale.model.run_folder import following
from relscale.platform import metrics
from relscale.platform.errors import RelscaleError
from relscale.platform.image import shown
from relscale.platform.progress import bar, human_count
from relscale.platform.tracking import Tracker, TrackingConfig, check_tracking
from relscale.sweeps.config import TrialConfig
from relscale.sweeps.record import curve_points

FILES = ("job.json", "metrics.jsonl", "seen.json")
_SECONDS_BETWEEN_RECORDS = 10.0


def run_pretraining(job: PretrainJob, trial: TrialConfig, tracking: TrackingConfig, experiment: str) -> Path:
    """Train, show the progress, and record the run in the MLflow experiment; the finished checkpoint.

    Where `trial.n_workers` is not 0 this process must be connected to Ray. Errors as
    `relscale.model.pretrain`; ResourceError if MLflow does not answer, before work starts.
    """
    from relscale.model.distributed import train

    _, names = open_data(job)
    check_tracking(tracking)
    total = n_steps(job.tokens, job.sampler, job.training)
    done, tokens = 0, 0
    with recorded(job, len(names), tracking, experiment), bar("pretrain", total, "steps") as advance:

        def report(line: dict[str, Any]) -> None:
            nonlocal done, tokens
            advance(line["step"] - done, note=progress_note(line))
            metrics.count_tokens(line["tokens"] - tokens)
            done, tokens = line["step"], line["tokens"]

        return train(job, n_workers=trial.n_workers, use_gpu=trial.use_gpu, storage=job.out, report=report)


def progress_note(line: Mapping[str, Any]) -> str:
    """What a person reads of a metrics line."""
    held_out = f", held out {line['held_out_loss']:.4f}" if "held_out_loss" in line else ""
    return (
        f"{human_count(line['tokens'])} tokens, loss {line['loss']:.4f}{held_out}, "
        f"rate {line['learning_rate']:.2g}, {human_count(round(line['tokens_per_second']))} tokens/s, "
        f"wait {line['loader_wait_share']:.1%}, MFU {line['mfu']:.0%}"
    )


@contextlib.contextmanager
def recorded(job: PretrainJob, n_databases: int, tracking: TrackingConfig, experiment: str) -> Iterator[None]:
    """Mirror the run's metrics.jsonl in MLflow while the block runs, from one thread of this process.

    MLflow takes seconds to import and to open, so that happens beside the first steps. A run that goes on
    goes on in MLflow too; one that ended with an error is marked as failed, with the reason.
    """
    mirror = _Mirror(job, n_databases, tracking, experiment)
    with following(job.out, mirror.lines, seconds=_SECONDS_BETWEEN_RECORDS):
        try:
            yield
        except RelscaleError as error:
            mirror.failed(error)
            raise
    mirror.finished()


class _Mirror:
    """The run's entry in MLflow, opened when something is to be written."""

    def __init__(self, job: PretrainJob, n_databases: int, tracking: TrackingConfig, experiment: str) -> None:
        self._job, self._tracking, self._experiment = job, tracking, experiment
        self._params = _params(job, n_databases)
        self._open: tuple[Tracker, str] | None = None

    def _run(self) -> tuple[Tracker, str]:
        if self._open is None:
            tracker = Tracker(self._tracking, self._job.out, self._experiment)
            name = f"pretrain {self._job.out.name}"
            self._open = tracker, tracker.run(self._job.fingerprint(), name, params=self._params)
        return self._open

    def lines(self, lines: list[dict[str, Any]]) -> None:
        tracker, run = self._run()
        tracker.log_points(run, curve_points(lines))

    def failed(self, error: RelscaleError) -> None:
        # A mistake that was found before the first step is the caller's alone.
        if self._open is not None:
            tracker, run = self._open
            tracker.set_tags(run, {"failure": str(error)})
            tracker.end(run, failed=True)

    def finished(self) -> None:
        tracker, run = self._run()
        tracker.log_artifacts(run, self._job.out, FILES)
        tracker.set_tags(run, {"checkpoint": shown(self._job.out / "final")})
        tracker.drop_tag(run, "failure")  # of an earlier attempt
        tracker.end(run)


def _params(job: PretrainJob, n_databases: int) -> dict[str, Any]:
    settings = {
        f"{group}.{name}": value
        for group in ("model", "sampler", "training")
        for name, value in getattr(job, group).model_dump().items()
    }
    paths = {"store": shown(job.store), "out": shown(job.out), "init": job.init and shown(job.init)}
    return {"N": n_databases, "S": job.tokens, "seed": job.seed, **settings, **paths}
