"""One trial: pretrain on the first N databases, score on the held-out ones, leave one result file.

A trial's folder is named by its key. `result.json` is written last, so a folder without it is unfinished
and a trial with it is never run again.
"""

import ast
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import relscale
from relscale.model.config import EvaluationConfig, ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.run_folder import PROGRESS, trunk_folder
from relscale.platform import remote
from relscale.platform.config import Config
from relscale.platform.storage import read_json, write_json
from relscale.sweeps.config import TrialConfig

if TYPE_CHECKING:
    from relscale.model.job import PretrainJob

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
    recipe: str = ""
    """Fingerprint of all settings but N, S and seed."""
    trunk: str | None = None
    """Name of the trunk that the trial is a branch of, if it is one."""
    shorter: Path | None = None
    """Folder of the next shorter trial of that trunk, to go on from where it begins to fall."""
    model: ModelConfig
    sampler: SamplerConfig
    training: TrainingConfig
    evaluation: EvaluationConfig
    trial: TrialConfig


def finished(folder: Path) -> dict[str, Any] | None:
    """The result of a finished trial, or None."""
    path = folder / RESULT
    return read_json(path) if remote.stage_file(path) else None


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
    trunk = job.shorter if job.shorter is not None and remote.stage(trunk_folder(job.shorter)) else None
    pretraining = PretrainJob(
        store=job.store,
        out=job.folder,
        databases=job.n_databases,
        model=job.model,
        sampler=job.sampler,
        training=job.training,
        tokens=job.tokens,
        seed=job.seed,
        trunk=trunk,
    )
    checkpoint = train(
        pretraining,
        n_workers=job.trial.n_workers,
        use_gpu=job.trial.use_gpu,
        storage=job.folder,
        report=report,
    )
    trained = time.monotonic()
    inherited = _tokens_of_trunk(trunk, pretraining) if trunk else 0
    result = {
        "n_databases": job.n_databases,
        "tokens": job.tokens,
        "seed": job.seed,
        **held_out_scores(checkpoint, job.held_out_store, job.held_out, job.sampler, job.evaluation),
        "status": "ok",
        "reason": None,
        "key": job.key,
        "recipe": job.recipe,
        "trunk": job.trunk,
        "schedule_total_tokens": job.tokens,
        "tokens_trained": job.tokens - inherited,
        **_exposure(read_json(job.folder / "seen.json")),
        "train_seconds": _train_seconds(read_metrics(job.folder), inherited),
        "score_seconds": time.monotonic() - trained,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(job.folder / RESULT, result)
    remote.publish(job.folder / RESULT)
    return result


def _tokens_of_trunk(trunk: Path, job: "PretrainJob") -> int:
    """Tokens that a branch did not have to train on, since its trunk had."""
    step = int(read_json(trunk_folder(trunk) / PROGRESS)["step"])
    return step * job.training.batch_size * job.sampler.context_length


def _exposure(seen: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Cells per database, and how often the run has shown a database's cells: the least, median and most."""
    epochs = [entry["epochs"] for entry in seen]
    return {
        "tokens_per_database": mean(entry["cells"] for entry in seen),
        "epochs_min": min(epochs),
        "epochs_median": median(epochs),
        "epochs_max": max(epochs),
    }


def _train_seconds(lines: Sequence[Mapping[str, Any]], inherited: int) -> float:
    """Seconds spent on the steps of a run after its first `inherited` tokens, over all its sittings."""
    seconds, tokens = 0.0, inherited
    for line in lines:
        if line["tokens"] > tokens:
            seconds += (line["tokens"] - tokens) / line["tokens_per_second"]
            tokens = line["tokens"]
    return seconds


def code_fingerprint() -> str:
    """16 hexadecimal digits over the code that decides a trial's numbers, and torch's version.

    A change of comments, docstrings or layout, or elsewhere (a figure, the command line), keeps finished
    trials valid.
    """
    package = Path(relscale.__file__).parent
    sources = [*sorted((package / "model").glob("*.py")), package / "platform" / "seeds.py"]
    sources += [package / "sweeps" / name for name in ("trial.py", "holdout.py")]
    total = hashlib.sha256(version("torch").encode())
    for source in sources:
        total.update(source.name.encode() + code_of(source.read_text()).encode())
    return total.hexdigest()[:16]


def code_of(source: str) -> str:
    """What a Python source does: its syntax tree without docstrings; comments and layout are not in it."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            said = [part for part in body if not _is_text(part)]
            node.body = said  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
