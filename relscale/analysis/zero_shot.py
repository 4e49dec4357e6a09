"""Zero-shot scores: a checkpoint on the tasks of a real database, beside baselines on the same rows.

Zero-shot means that no weight is fitted to the database. A row's context holds what was known at its time:
rows of the database, and labels of the task from strictly earlier times: of every split, the scored one
included (visibility "temporal", the protocol of RT, arXiv:2510.06377, and PluRel, arXiv:2602.04029), of the
splits before the scored one ("strict", RelBench's), or of train alone ("train-only"). The baselines see the
same labels. Metrics are those of the relbench package; docs/evaluate.md says what each number means.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from relscale.analysis.baselines import Visibility
from relscale.analysis.label_tables import (
    MULTICLASS,
    LabelTables,
    label_tables,
    task_baselines,
    why_unscorable,
)
from relscale.analysis.prediction_files import ALLOWED, write_predictions, write_submission
from relscale.analysis.task_predictions import (
    Predictor,
    load_predictor,
    own_label_share,
    predict_rows,
)
from relscale.analysis.task_scores import difference_sentence, task_scores
from relscale.platform import remote, storage
from relscale.platform.errors import DataError, ResourceError
from relscale.platform.progress import console

if TYPE_CHECKING:
    from relscale.model.config import TextConfig
    from relscale.model.store import DatabaseStore

Say = Callable[[str], None]


def evaluate_checkpoint(
    checkpoint: Path,
    dataset: str | Path,
    out: Path,
    *,
    tasks: Sequence[str] | None = None,
    split: str = "test",
    visibility: Visibility | Sequence[Visibility] = "temporal",
    context_seeds: Sequence[int] = (0,),
    sampler: Mapping[str, Any] | None = None,
    text: "TextConfig | None" = None,
    batch_size: int = 32,
    n_boot: int = 1000,
    device: str = "cpu",
    progress: Say | None = None,
) -> list[dict[str, Any]]:
    """Score every row of a split of a database's tasks, and write the scores and the predictions.

    Writes scores.json, predictions/<task>.parquet, left_out.json (task: reason) and, for the test split under
    a visibility that the leaderboard allows, submission/<dataset>__<task>.csv; of several visibilities each
    has a folder of its own in predictions and submission.

    Parameters
    ----------
    checkpoint : folder with model.safetensors and config.json, or a published `.pt` file.
    dataset : RelBench 3 folder, or a name that relbench fetches from its Hub.
    out : folder to write to; the database's tokens are kept in out/store for the next call.
    tasks : names of tasks; None takes all that a Relational Transformer can score.
    split : "val" or "test".
    visibility : whose labels contexts and baselines may hold, see `SamplerConfig.visibility`; each of several
        is scored.
    context_seeds : contexts per row; z-scores or logits are averaged over them.
    sampler : fields of `SamplerConfig` to set otherwise than in the checkpoint's training. Nothing but the
        target is hidden in any case; predictions are averaged over the context_lengths that are given here.
    text : the text encoder of a checkpoint that names none, as published ones; None is the packaged one.
    n_boot : bootstrap draws behind each interval.
    device : torch's name of the device to compute on, such as "cuda".
    progress : called with a sentence per task scored or left out; None prints it.

    Returns
    -------
    The content of scores.json, an entry per task and visibility: dataset, task, kind, task_type, split,
    metric ("roc_auc", "nmae" or "accuracy"), the fields of `task_scores`, rows, entities, visibility,
    own_label_share (share of contexts that hold an earlier label of the row's own entity; None for
    autocomplete), context_seeds, value_per_seed, sampler (its settings), checkpoint; for a regression also
    r2, and as r2_* the other fields of `task_scores`.

    Raises
    ------
    DataError : not a RelBench 3 folder, or one with broken keys; an unknown task; out/store was made with
        another text encoder than the checkpoint's. ConfigError : a row to predict does not fit a context.
        ResourceError : the name cannot be fetched, or the device not used.
    """
    say = progress or partial(console.print, markup=False, soft_wrap=True)
    source = open_dataset(dataset)
    predictor = load_predictor(
        checkpoint, source.dataset_dir, out, context_seeds=context_seeds, sampler=sampler,
        text=text, batch_size=batch_size, device=device,
    )  # fmt: skip
    if sampler:
        say(f"contexts: {', '.join(f'{name} {value}' for name, value in sampler.items())}; else as trained")
    asked = (visibility,) if isinstance(visibility, str) else tuple(dict.fromkeys(visibility))
    scores: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for name, reason in _tasks(predictor.database, tasks):
        labels = None if reason else label_tables(source, name)
        if labels is not None:
            reason = why_unscorable(labels, split)
        if labels is None or reason:
            left_out[name] = reason
            say(f"{name}: left out, {reason}")
            continue
        for seen in asked:
            started = time.monotonic()
            entry, rows = _score(predictor, labels, split, seen, n_boot)
            scores.append({**entry, "checkpoint": remote.shown(checkpoint)})
            part = seen if len(asked) > 1 else ""
            write_predictions(out / "predictions" / part, labels, rows)
            if split == "test" and seen in ALLOWED:
                prediction = rows["prediction"].to_numpy()
                write_submission(out / "submission" / part, predictor.database.name, labels, prediction)
            say(_sentence(entry, time.monotonic() - started))
    storage.write_json(out / "left_out.json", left_out)
    if not scores:
        raise DataError(
            f"'{dataset}' has no task that can be scored on split '{split}'; see the reasons above."
        )
    storage.write_json(out / "scores.json", scores)
    return scores


def open_dataset(dataset: str | Path) -> Any:
    """The relbench dataset of a RelBench 3 folder, which may be on a store, or of a Hub name.

    Raises
    ------
    DataError : not such a folder. ResourceError : the name cannot be fetched.
    """
    import relbench

    path = remote.place(dataset).expanduser()
    remote.stage(path)
    if (path / "manifest.yaml").is_file():
        return relbench.load_dataset(path)
    if isinstance(dataset, Path) or path.exists() or path.is_absolute() or dataset.startswith("."):
        raise DataError(f"'{dataset}' is not a RelBench 3 folder (no manifest.yaml); check the path.")
    try:
        return relbench.load_dataset(dataset)
    except Exception as error:  # the Hub client raises many kinds
        reason = (str(error) or repr(error)).splitlines()[0]
        raise ResourceError(
            f"'{dataset}' is no folder here and could not be fetched from the RelBench Hub ({reason}); give "
            f"the path of a RelBench 3 folder, or run once with a network connection."
        ) from error


def _tasks(database: "DatabaseStore", names: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    """(name, why it cannot be scored or ""), in the order of the names; those with labels of classes can."""
    classes = {task.name for task in database.tasks if task.task_type == MULTICLASS}
    skipped = {name: why for name, why in database.skipped_tasks.items() if name not in classes}
    if names is None:
        yield from skipped.items()
        names = sorted({task.name for task in database.predictable_tasks} | classes)
    for name in names:
        yield name if name in classes else database.task(name).name, ""


def _score(
    predictor: Predictor, labels: LabelTables, split: str, visibility: Visibility, n_boot: int
) -> tuple[dict[str, Any], pd.DataFrame]:
    """A task's entry of scores.json, and its rows with all predictions."""
    predictor = replace(predictor, sampler=predictor.sampler.replace(visibility=visibility))
    baselines = task_baselines(labels, split, visibility)
    prediction, by_seed = predict_rows(predictor, labels, split)
    rows = labels.splits[split].rename(columns={"label": "target"})
    rows = rows.assign(prediction=prediction, **baselines)
    name, metric = labels.metric
    target = rows["target"].to_numpy(np.float64)
    entry = {
        "dataset": predictor.database.name,
        "task": labels.name,
        "kind": str(labels.task.kind),
        "task_type": labels.task_type,
        "split": split,
        "visibility": visibility,
        "metric": name,
        **task_scores(name, metric, rows, list(baselines), n_boot=n_boot, scale=labels.scale),
        "value_per_seed": [float(metric(target, one)) for one in by_seed.T],
        "context_seeds": list(predictor.context_seeds),
        "sampler": predictor.sampler.model_dump(mode="json"),
        "rows": len(rows),
        "entities": int(rows["entity"].nunique()),
        "own_label_share": own_label_share(predictor, labels, split),
    }
    if labels.task_type == "regression":
        from sklearn.metrics import r2_score

        r2 = task_scores("r2", r2_score, rows, list(baselines), n_boot=n_boot)
        entry |= {"r2": r2.pop("value"), **{f"r2_{key}": value for key, value in r2.items()}}
    return entry, rows


def _sentence(entry: dict[str, Any], seconds: float) -> str:
    low, high = entry["ci95_entities"] or entry["ci95"]
    return (
        f"{entry['task']}: {entry['metric']} {entry['value']:.3f} [{low:.3f}, {high:.3f}], "
        f"{difference_sentence(entry)}; {entry['rows']} rows, {entry['entities']} entities, visibility "
        f"{entry['visibility']}, {seconds:.0f} s"
    )
