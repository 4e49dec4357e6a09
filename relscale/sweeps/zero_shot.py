"""Zero-shot scores of a sweep's networks on a real database: the best one in full, then every other.

The database is tokenized and its baselines are fitted once, for the best network; the others read both. A
network's scores lie in a file of their own that names what made them, so a killed sweep goes on.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import relscale
from relscale.analysis.baselines import Visibility
from relscale.platform import remote, storage
from relscale.platform.dataflow import Receipt, Run
from relscale.platform.errors import DataError
from relscale.sweeps.trial import code_fingerprint, code_of

if TYPE_CHECKING:
    from relscale.analysis.task_predictions import Predictor

SPLIT = "test"
SCORING = (
    "zero_shot", "task_predictions", "label_tables", "one_vs_rest", "baselines", "tree_baseline",
    "task_scores", "resampling",
)  # fmt: skip
"""Modules of the analysis that decide a score."""
_FILES = ("model.safetensors", "config.json")
TOKENS, TRIALS = "store", "trials"
"""Folders of an answer that are kept apart: the database's tokens, and the other networks' scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the networks are asked about one real database.

    source    its RelBench 3 folder. folder  where the answers go
    tasks     names; None is all that can be scored
    sampler   settings that go before the checkpoint's
    """

    source: Path
    folder: Path
    tasks: tuple[str, ...] | None
    visibility: Visibility
    context_seeds: tuple[int, ...]
    sampler: Mapping[str, Any]
    n_boot: int

    @property
    def inputs(self) -> dict[str, Any]:
        """All that decides a score but the network."""
        from relscale.model.source import source_digest

        return {
            "database": source_digest(self.source),
            "tasks": self.tasks,
            "split": SPLIT,
            "visibility": self.visibility,
            "context_seeds": self.context_seeds,
            "sampler": self.sampler,
            "n_boot": self.n_boot,
            "code": scoring_fingerprint(),
        }


def scoring_fingerprint() -> str:
    """16 hexadecimal digits over the code that decides a zero-shot score, as `code_fingerprint`."""
    folder = Path(relscale.__file__).parent / "analysis"
    parts = [code_fingerprint(), version("relbench"), version("scikit-learn")]
    parts += [code_of((folder / f"{name}.py").read_text()) for name in SCORING]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def check_tasks(source: Path, tasks: Sequence[str] | None) -> None:
    """DataError unless the RelBench 3 folder declares these tasks."""
    known = sorted(path.parent.name for path in (source / "tasks").glob("*/manifest.yaml"))
    for name in tasks or ():
        if name not in known:
            there = ", ".join(known) or "none"
            raise DataError(f"zero_shot.tasks names '{name}', but the tasks of '{source}' are {there}.")


def score_best(question: Question, checkpoint: Path) -> list[dict[str, Any]]:
    """Evaluate a network in full: entries of scores.json, predictions by row, baselines.

    Raises
    ------
    DataError, ConfigError : as `evaluate_checkpoint`.
    """
    from relscale.analysis.zero_shot import evaluate_checkpoint

    folder, inputs = question.folder, question.inputs
    remote.stage(folder)
    with storage.unless_current(
        folder / "inputs.json", {**inputs, "network": _digest(checkpoint)}, [folder / "scores.json"]
    ) as must_run:
        if must_run:
            evaluate_checkpoint(
                checkpoint,
                question.source,
                folder,
                tasks=question.tasks,
                split=SPLIT,
                visibility=question.visibility,
                context_seeds=question.context_seeds,
                sampler=question.sampler,
                n_boot=question.n_boot,
            )
    remote.publish(folder, leave_out=(TOKENS, TRIALS))
    scores: list[dict[str, Any]] = storage.read_json(folder / "scores.json")
    return [{**score, "code": inputs["code"]} for score in scores]


def score_networks(
    question: Question, checkpoints: Mapping[str, Path], run: Run, advance: Callable[[], None]
) -> dict[str, list[dict[str, Any]]]:
    """Score networks on the tasks and beside the baselines of `score_best`, which must have run.

    Parameters
    ----------
    checkpoints : {key of a trial: its checkpoint}.
    run : how the networks are spread, such as `map_keys`. advance : called once for each network.

    Returns
    -------
    {key: an entry per task}: dataset, task, split, visibility, metric and the fields of `task_scores`; for a
    regression "r2" too, itself such fields.
    """
    # Workers have working folders of their own.
    question = replace(question, source=question.source.resolve(), folder=question.folder.resolve())
    folder, inputs = question.folder, question.inputs
    wanted = {
        key: _address({**inputs, "network": _digest(checkpoint)}) for key, checkpoint in checkpoints.items()
    }
    todo = [
        (checkpoints[key].resolve(), _file(folder, key), address)
        for key, address in wanted.items()
        if _answered(_file(folder, key)) != address
    ]
    for _ in range(len(wanted) - len(todo)):
        advance()
    for _ in run(partial(_score_one, question, todo), range(len(todo))):
        advance()
    return {key: _read(_file(folder, key))["scores"] for key in wanted}


def _file(folder: Path, key: str) -> Path:
    return folder / TRIALS / f"{key}.json"


def _read(file: Path) -> dict[str, Any]:
    remote.stage_file(file)
    return dict(storage.read_json(file))


def _answered(file: Path) -> str | None:
    return storage.read_json(file)["inputs"] if remote.stage_file(file) else None


def _digest(checkpoint: Path) -> str:
    digests = remote.digests(checkpoint)
    return _address({name: digests[name] for name in _FILES})


def _address(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _score_one(question: Question, todo: Sequence[tuple[Path, Path, str]], place: int) -> Receipt:
    """Score one network and write its file; in any process that sees the folders."""
    from relscale.analysis.task_predictions import load_predictor
    from relscale.analysis.zero_shot import open_dataset

    checkpoint, file, address = todo[place]
    folder = question.folder
    remote.stage(folder)
    source = open_dataset(question.source)
    predictor = load_predictor(
        checkpoint,
        source.dataset_dir,
        folder,
        visibility=question.visibility,
        context_seeds=question.context_seeds,
        sampler=question.sampler,
    )
    tasks = [score["task"] for score in storage.read_json(folder / "scores.json")]
    entries = [_entry(question, predictor, source, task) for task in tasks]
    storage.write_json(file, {"inputs": address, "scores": entries})
    remote.publish(file)
    return {"file": str(file)}


def _entry(question: Question, predictor: "Predictor", source: Any, task: str) -> dict[str, Any]:
    from relscale.analysis.label_tables import label_tables
    from relscale.analysis.task_predictions import predict_rows
    from relscale.analysis.task_scores import task_scores

    labels = label_tables(source, task)
    rows = pd.read_parquet(question.folder / "predictions" / f"{task}.parquet")
    if labels.classes is not None:  # the file names the classes
        named = rows.columns.difference(["time", "entity"], sort=False)
        rows = rows.assign(**{name: np.searchsorted(labels.classes, rows[name]) for name in named})
    baselines = list(rows.columns.difference(["time", "entity", "target", "prediction"], sort=False))
    rows["prediction"] = predict_rows(predictor, labels, SPLIT)[0]
    name, metric = labels.metric
    entry = {
        "dataset": predictor.database.name,
        "task": task,
        "split": SPLIT,
        "visibility": question.visibility,
        "metric": name,
        **task_scores(name, metric, rows, baselines, n_boot=question.n_boot, scale=labels.scale),
    }
    if labels.task_type == "regression":
        from sklearn.metrics import r2_score

        entry["r2"] = task_scores("r2", r2_score, rows, baselines, n_boot=question.n_boot)
    return entry
