"""Tasks: what a RelBench 3 folder asks to predict, and which columns a task must not see."""

from dataclasses import dataclass
from pathlib import Path

from relscale.platform.errors import DataError

SPLITS = ("train", "val", "test")
PREDICTABLE = ("binary_classification", "regression")
"""Task types with an output in the Relational Transformer."""
LABELLED = (*PREDICTABLE, "multiclass_classification", "multilabel_classification")
"""Task types whose labels are cells of label rows; only recommendations have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One prediction task.

    kind           "forecast" and "external" tasks bring label files; an "autocomplete" task predicts a
                   column of its entity table
    entity_col     column of the label files that holds row numbers of `entity_table`; None: autocomplete
    time_col       column of the label files; None where labels have no time, and for autocomplete
    remove_columns (table, column) pairs that would give the label away
    """

    name: str
    kind: str
    task_type: str
    entity_table: str
    entity_col: str | None
    target_col: str
    time_col: str | None
    remove_columns: tuple[tuple[str, str], ...]

    @property
    def is_autocomplete(self) -> bool:
        """Whether the label is a column of the entity table."""
        return self.kind == "autocomplete"

    @property
    def table(self) -> str:
        """Table that holds the target column: the task's own, or the entity table."""
        return self.entity_table if self.is_autocomplete else self.name


def read_tasks(folder: Path) -> tuple[tuple[TaskSpec, ...], dict[str, str]]:
    """Read the task manifests of a RelBench 3 folder.

    Returns
    -------
    The tasks whose labels can be kept, sorted by name, and the reason for each task that cannot be
    predicted: labels of more than two classes, or several, are kept all the same; recommendations and
    labels without an entity are not.

    Raises
    ------
    DataError : a manifest is not readable or contradicts itself.
    """
    tasks, skipped = [], {}
    for path in sorted((folder / "tasks").glob("*/manifest.yaml")):
        task, reason = _read_task(path)
        if task is not None:
            tasks.append(task)
        if reason:
            skipped[path.parent.name] = reason
    return tuple(tasks), skipped


def _read_task(path: Path) -> tuple[TaskSpec | None, str]:
    from relbench.manifest import TaskManifest

    try:
        manifest = TaskManifest.load(path)
        manifest.validate()
    except Exception as error:  # yaml and relbench raise many kinds
        reason = " ".join(str(error).split())
        raise DataError(
            f"'{path}' is not a RelBench 3 task manifest ({reason}); mend or remove it."
        ) from error
    reason = ""
    if manifest.task_type not in PREDICTABLE:
        reason = f"task type {manifest.task_type} has no output in the Relational Transformer"
    if manifest.task_type not in LABELLED:
        return None, reason
    autocomplete = manifest.kind == "autocomplete"
    if not manifest.target_col or not (autocomplete or manifest.entity_col):
        return None, "its labels name no entity_col or no target_col"
    return TaskSpec(
        name=path.parent.name,
        kind=manifest.kind,
        task_type=manifest.task_type,
        entity_table=manifest.entity_table,
        entity_col=None if autocomplete else manifest.entity_col,
        target_col=manifest.target_col,
        time_col=None if autocomplete else manifest.time_col,
        remove_columns=tuple((table, column) for table, column in manifest.remove_columns),
    ), reason
