"""A RelBench task as the baselines and the scores need it: its label tables, its metric, its entities."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from relscale.analysis.baselines import Visibility, baseline_predictions
from relscale.analysis.tree_baseline import entity_columns, tree_predictions

SPLITS = ("train", "val", "test")
MULTICLASS = "multiclass_classification"
MAX_CLASSES = 20
"""A task of more classes is left out: a prediction asks the model once for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTables:
    """One task of a RelBench dataset.

    task     relbench's own object
    splits   columns time, entity and label by split name, empty where labels have no time; labels are
             numbers, classes their place in `classes`
    classes  the sorted labels of a multi-class task; None for the other types
    columns  what a tree may read of each entity, as `entity_columns` chooses
    """

    task: Any
    splits: dict[str, pd.DataFrame]
    classes: np.ndarray | None
    columns: pd.DataFrame

    @property
    def name(self) -> str:
        """The task's."""
        return str(self.task.name)

    @property
    def task_type(self) -> str:
        """Of RelBench, such as "regression"."""
        return str(self.task.task_type.value)

    @property
    def is_autocomplete(self) -> bool:
        """Whether the label is a column of the entity table."""
        return str(self.task.kind) == "autocomplete"

    @property
    def metric(self) -> tuple[str, Callable[[np.ndarray, np.ndarray], float]]:
        """Name and function of relbench's metric; accuracy for classes, for which relbench has none."""
        if self.classes is not None:
            from sklearn.metrics import accuracy_score

            return "accuracy", accuracy_score
        return str(self.task.metrics[0].__name__), self.task.metrics[0]

    @property
    def scale(self) -> float:
        """What relbench's NMAE divides by; 1 for other metrics."""
        return float(self.task.nmae_std) if self.task_type == "regression" else 1.0


def label_tables(source: Any, name: str) -> LabelTables:
    """Read a task of a relbench dataset, with the columns of its entities."""
    task = source.load_task(name)
    names = {task.time_col: "time", task.entity_col: "entity", task.target_col: "label"}
    splits = {}
    if task.time_col is not None:
        for split in SPLITS:
            table = task.get_table(split, mask_input_cols=False).df
            splits[split] = table[list(names)].rename(columns=names).reset_index(drop=True)
    classes = None
    if task.task_type.value == MULTICLASS and splits:
        classes = np.unique(np.concatenate([frame["label"].to_numpy() for frame in splits.values()]))
        for frame in splits.values():
            frame["label"] = np.searchsorted(classes, frame["label"].to_numpy())
    return LabelTables(task=task, splits=splits, classes=classes, columns=_entity_columns(source, task))


def why_unscorable(labels: LabelTables, split: str) -> str:
    """Why a task cannot be scored; empty if it can."""
    task, classes = labels.task, labels.classes
    if getattr(task, "evaluator", None):
        return f"it is scored by the protocol '{task.evaluator}', which relbench does not provide"
    if task.time_col is None:
        return "its labels have no time"
    for name in ("train", split):
        if labels.splits[name]["label"].nunique() < 2:
            return f"the labels of split '{name}' are all equal"
    if classes is not None and labels.is_autocomplete:
        return (
            "its classes are cells of a table; the rule for more than two classes, one against the rest, "
            "needs label rows of their own"
        )
    if classes is not None and len(classes) > MAX_CLASSES:
        return f"it has {len(classes)} classes, and a prediction asks once for each of at most {MAX_CLASSES}"
    return ""


def task_baselines(labels: LabelTables, split: str, visibility: Visibility) -> dict[str, np.ndarray]:
    """name -> float64 [n]: every baseline of a split's rows; a class by its place in `classes`."""
    if labels.classes is None:
        simple = baseline_predictions(labels.splits, split=split, visibility=visibility)
    else:
        simple = _class_baselines(labels, split, visibility)
    tree = tree_predictions(
        labels.splits, labels.columns, task_type=labels.task_type, split=split, visibility=visibility
    )
    return {**simple, "gradient_boosted_tree": tree}


def _class_baselines(labels: LabelTables, split: str, visibility: Visibility) -> dict[str, np.ndarray]:
    """The class that each baseline gives the highest share."""
    assert labels.classes is not None
    shares = [
        baseline_predictions(
            {name: frame.assign(label=frame["label"] == place) for name, frame in labels.splits.items()},
            split=split,
            visibility=visibility,
        )
        for place in range(len(labels.classes))
    ]
    return {
        name: np.stack([share[name] for share in shares]).argmax(axis=0).astype(np.float64)
        for name in shares[0]
    }


def _entity_columns(source: Any, task: Any) -> pd.DataFrame:
    """The label and what gives it away left out, as in the model's context."""
    name, spec = task.entity_table, source.manifest.tables[task.entity_table]
    table = pd.read_parquet(Path(source.db_dir) / f"{name}.parquet")
    hidden = [column for owner, column in (task.remove_columns or []) if owner == name]
    if task.kind == "autocomplete":
        hidden.append(task.target_col)
    return entity_columns(table, keys=spec.fkeys, left_out=[*hidden, *([spec.pkey] if spec.pkey else [])])
