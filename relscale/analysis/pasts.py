"""What the past of an entity tells: of its next row, and of its next label."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from relscale.analysis.baselines import baseline_predictions
from relscale.analysis.database import Link, Table
from relscale.analysis.label_tables import SPLITS, LabelTables, label_tables, why_unscorable
from relscale.analysis.resampling import METRICS
from relscale.platform.errors import DataError

SPANS = (1, 2, 3, 5, 10, 20)
"""Numbers of past rows that are averaged."""
MIN_PAIRS = 100
"""Rows with a past below which nothing is said of a column."""


def explained_by_past(link: Link, child: Table, spans: Sequence[int] = SPANS) -> dict[str, np.ndarray]:
    """How well the mean of the last k values under the same parent row tells the next value.

    Parameters
    ----------
    link, child : a foreign key and its table, which has a time.

    Returns
    -------
    Column name -> float64 [spans], the squared correlation of a value with the mean of the k values before it
    in time under the same parent, or of all where there are fewer; over all rows with one before. Numbers
    count by their ranks, booleans as 0 and 1; other columns, constant ones, and those with fewer than
    `MIN_PAIRS` such rows are left out. A rise with k says that parents keep hidden traits, a fall that these
    change.
    """
    assert child.times is not None
    parents, found = link.parents[child.rows], {}
    for column in child.columns:
        if column.kind not in ("number", "boolean"):
            continue
        there = np.flatnonzero((parents >= 0) & np.isfinite(column.values) & np.isfinite(child.times))
        order = there[np.lexsort((child.times[there], parents[there]))]
        values = column.values[order]
        if column.kind == "number":
            values = rankdata(values) / max(1, len(values))
        first, end = _pasts(parents[order], child.times[order])
        here = np.flatnonzero(end > first)
        if len(here) < MIN_PAIRS or values[here].std() < 1e-12:
            continue
        first, end = first[here], end[here]
        total = np.concatenate([[0.0], np.cumsum(values - values.mean())])
        starts = [np.maximum(first, end - k) for k in spans]
        means = [(total[end] - total[start]) / (end - start) for start in starts]
        if all(mean.std() > 1e-12 for mean in means):
            found[column.name] = np.array([np.corrcoef(mean, values[here])[0, 1] ** 2 for mean in means])
    return found


def _pasts(groups: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of rows in order of group and time: first row of the group, and first one of the same time; int64."""
    places = np.arange(len(groups))
    new_group = np.diff(groups, prepend=-1) != 0
    new_time = new_group | (np.diff(times, prepend=-np.inf) != 0)
    return tuple(np.maximum.accumulate(np.where(new, places, 0)) for new in (new_group, new_time))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLook:
    """A forecast task and how far simple predictors come on its val labels.

    counts : labels of train, val and test. mean : of the labels by split, the share of yes where they are yes
        or no. metric, scores : by baseline; empty where `reason` says why there are none.
    """

    name: str
    task_type: str
    entity: str
    counts: dict[str, int]
    mean: dict[str, float]
    metric: str = ""
    scores: dict[str, float]
    reason: str = ""


def look_at_tasks(folder: Path) -> list[TaskLook]:
    """The forecast tasks of a RelBench 3 folder; tasks that complete a column are left out.

    Raises
    ------
    DataError : a task cannot be read.
    """
    if not (folder / "tasks").is_dir():
        return []
    import relbench

    try:
        source = relbench.load_dataset(folder)
        manifests = {path.name: path for path in sorted((folder / "tasks").iterdir()) if path.is_dir()}
        tables = [label_tables(source, name) for name in manifests if _is_forecast(source, name)]
    except Exception as error:  # relbench, pandas and yaml raise many kinds
        reason = " ".join(str(error).split()).rstrip(".") or repr(error)
        raise DataError(f"the tasks under '{folder}' cannot be read ({reason}); restore them.") from error
    return [_look(labels) for labels in tables]


def _is_forecast(source: object, name: str) -> bool:
    return str(source.load_task(name).kind) == "forecast"  # type: ignore[attr-defined]


def _look(labels: LabelTables) -> TaskLook:
    reason = why_unscorable(labels, "val")
    if not reason and labels.classes is not None:
        reason = "it has more than two classes"
    binary = labels.task_type == "binary_classification"
    numbers = {split: labels.splits[split]["label"] for split in SPLITS if split in labels.splits}
    looked = TaskLook(
        name=labels.name,
        task_type=labels.task_type.replace("_", " "),
        entity=str(labels.task.entity_table),
        counts={split: len(values) for split, values in numbers.items()},
        mean={} if labels.classes is not None else {s: float(v.mean()) for s, v in numbers.items() if len(v)},
        metric="" if reason else ("AUROC" if binary else "R2"),
        scores={} if reason else _scores(labels, "roc_auc" if binary else "r2"),
        reason=reason,
    )
    return looked


def _scores(labels: LabelTables, metric: str) -> dict[str, float]:
    target = labels.splits["val"]["label"].to_numpy(np.float64)
    evenly = np.ones((1, len(target)))
    return {
        name: float(METRICS[metric](target, values, 1.0)(evenly)[0])
        for name, values in baseline_predictions(labels.splits, split="val").items()
    }
