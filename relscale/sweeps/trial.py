"""One trial: pretrain on the first N databases, score on the held-out ones, leave one result file.

A trial's folder is named by its key. `result.json` is written last, so a folder without it is unfinished
and a trial with it is never run again.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import relscale
from relscale.model.config import EvaluationConfig, ModelConfig, SamplerConfig, TrainingConfig
from relscale.platform.config import Config
from relscale.platform.storage import read_json, write_json
from relscale.sweeps.config import TrialConfig

RESULT = "result.json"
Report = Callable[[dict[str, Any]], None]


class TrialJob(Config):
    """All that a trial needs, as plain values that travel to a worker."""

    key: str
    """Content address; equal keys have equal results."""
    folder: Path
    """Where the trial's files go; shared by driver and workers."""
    store: Path
    """Token store of the training corpus."""
    held_out_store: Path
    """Token store of the held-out databases."""
    held_out: tuple[str, ...]
    """Names of those that count; the store may hold more."""
    n_databases: int
    """N."""
    tokens: int
    """S."""
    seed: int
    """Of initialisation and order."""
    model: ModelConfig
    sampler: SamplerConfig
    training: TrainingConfig
    evaluation: EvaluationConfig
    trial: TrialConfig


def finished(folder: Path) -> dict[str, Any] | None:
    """The result of a finished trial, or None."""
    path = folder / RESULT
    return read_json(path) if path.is_file() else None


def run_trial(job: TrialJob, report: Report) -> dict[str, Any]:
    """Train, score and write the result; a finished trial returns at once, a begun one goes on.

    Parameters
    ----------
    job : what to run.
    report : called with the line of every logged step (step, tokens, loss, ...).

    Returns
    -------
    The row of the results table, as JSON values.
    """
    from relscale.model.distributed import train
    from relscale.model.job import PretrainJob
    from relscale.model.run_folder import read_metrics
    from relscale.sweeps.holdout import held_out_scores

    if (result := finished(job.folder)) is not None:
        return result
    pretraining = PretrainJob(
        store=job.store,
        out=job.folder,
        databases=job.n_databases,
        model=job.model,
        sampler=job.sampler,
        training=job.training,
        tokens=job.tokens,
        seed=job.seed,
    )
    checkpoint = train(
        pretraining,
        n_workers=job.trial.n_workers,
        use_gpu=job.trial.use_gpu,
        storage=job.folder,
        report=report,
    )
    trained = time.monotonic()
    result = {
        "n_databases": job.n_databases,
        "tokens": job.tokens,
        "seed": job.seed,
        **held_out_scores(checkpoint, job.held_out_store, job.held_out, job.sampler, job.evaluation),
        "status": "ok",
        "reason": None,
        "key": job.key,
        "schedule_total_tokens": job.tokens,
        "train_seconds": _train_seconds(read_metrics(job.folder)),
        "score_seconds": time.monotonic() - trained,
    }
    write_json(job.folder / RESULT, result)
    return result


def _train_seconds(lines: Sequence[Mapping[str, Any]]) -> float:
    """Seconds spent on the steps of a run, over all the sittings that it took."""
    seconds, tokens = 0.0, 0
    for line in lines:
        seconds += (line["tokens"] - tokens) / line["tokens_per_second"]
        tokens = line["tokens"]
    return seconds


def code_fingerprint() -> str:
    """16 hexadecimal digits over the sources that decide a trial's numbers, and torch's version.

    A change elsewhere (a figure, a message, the command line) keeps finished trials valid.
    """
    package = Path(relscale.__file__).parent
    sources = [*sorted((package / "model").glob("*.py")), package / "platform" / "seeds.py"]
    sources += [package / "sweeps" / name for name in ("trial.py", "holdout.py")]
    total = hashlib.sha256(version("torch").encode())
    for source in sources:
        total.update(source.name.encode() + source.read_bytes())
    return total.hexdigest()[:16]
