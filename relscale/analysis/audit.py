"""Audit of a checkpoint's predictions: does nothing reach them that must not, and does what should.

forbidden      Everything that a prediction must not see is replaced in a copy of the database: cells of rows
               later than its time, its own label, labels of its task that are not earlier, labels of other
               tasks, the columns that give the label away, and labels of the splits that its visibility
               hides. No prediction may change. This is the check of leaks.
shuffled       The labels of the task change places. What is left of the score above chance comes from the
               rows of the database, or from a fault.
own hidden     The labels of the row's own entity are taken out of its context. The score must fall, if the
               model uses them.

The changes are made to arrays in memory, at places that the sampler of contexts has no part in choosing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relscale.analysis.baselines import visible_splits
from relscale.analysis.label_tables import SPLITS
from relscale.analysis.resampling import METRICS, interval, score_draws
from relscale.analysis.task_predictions import Predictor
from relscale.platform import storage
from relscale.platform.seeds import Purpose, stream

if TYPE_CHECKING:
    from relscale.model.items import Items
    from relscale.model.mapping import DatabaseArrays
    from relscale.model.store import DatabaseStore
    from relscale.model.tasks import TaskSpec

N_ROWS = 256
"""Rows of a task's split that are audited at most."""
N_MOMENTS = 16
"""Times for which a copy of the database is changed at most."""
TOLERANCE = 1e-6
"""Change of a z-score or logit that a GPU's order of sums may cause."""
CHANCE = {"roc_auc": 0.5, "r2": 0.0}

Predict = Callable[["DatabaseArrays", "Items"], np.ndarray]
"""float64 [n]: z-scores, or logits of "true", of items with other arrays in the store's place."""


def audit_checkpoint(
    predictors: Sequence[Predictor],
    out: Path,
    *,
    tasks: Sequence[str],
    split: str = "test",
    n_boot: int = 1000,
) -> list[dict[str, Any]]:
    """Audit some tasks of a database, and write audit.json.

    Parameters
    ----------
    predictors : as `load_predictor` makes them, one for each visibility; only the first context seed is used.
    tasks : names; a task of more than two classes gets a reason instead of checks.

    Returns
    -------
    The content of audit.json, an entry per task and visibility: dataset, task, split, visibility, rows, and
    checks, each with name, is_leak_check, verdict ("pass", "fail", "inconclusive" or "not applicable"),
    sentence and the numbers behind it.
    """
    entries = [entry for predictor in predictors for entry in _audit_tasks(predictor, tasks, split, n_boot)]
    storage.write_json(out / "audit.json", entries)
    return entries


def leaks(entries: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for each failed leak check."""
    return [
        f"{entry['task']}, {entry['visibility']}: {check['sentence']}"
        for entry in entries
        for check in entry["checks"]
        if check["is_leak_check"] and check["verdict"] == "fail"
    ]


def audit_sentences(entries: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each check, its verdict first."""
    return [
        f"{check['verdict']}: {entry['task']}, {entry['visibility']}, {check['name']}: {check['sentence']}"
        for entry in entries
        for check in entry["checks"]
    ]


def _audit_tasks(predictor: Predictor, tasks: Sequence[str], split: str, n_boot: int) -> list[dict[str, Any]]:
    """The entries of one visibility."""
    binary_or_number = {spec.name for spec in predictor.database.predictable_tasks}
    entries = []
    for name in tasks:
        if name in binary_or_number:
            entries.append(audit_task(subject_of(predictor, name, split), n_boot=n_boot))
        else:
            reason = (
                "a task of more than two classes is not audited; its label rows are those of binary tasks"
            )
            entries.append({"task": name, "checks": [_check("forbidden", "not applicable", reason)]})
    heading = {"dataset": predictor.database.name, "split": split}
    heading |= {"visibility": predictor.sampler.visibility, "checkpoint": str(predictor.checkpoint)}
    return [{**heading, **entry} for entry in entries]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One task under audit: some of its rows, and a way to predict them."""

    database: "DatabaseStore"
    spec: "TaskSpec"
    items: "Items"
    hidden_splits: tuple[str, ...]
    predict: Predict

    @property
    def label_rows(self) -> np.ndarray:
        """int64: rows of the database that hold a value of the target column."""
        return np.flatnonzero(_rows_of_tables(self.database, {self.spec.table}))

    @property
    def entities(self) -> np.ndarray:
        """int64 [n]: row that each item's label is about."""
        if self.spec.is_autocomplete:
            return self.items.node
        return self.database.arrays.parents[self.items.node, 0].astype(np.int64)


def subject_of(predictor: Predictor, name: str, split: str) -> Subject:
    """A task's rows to audit, drawn without replacement from those of few times."""
    from relscale.model.items import Items, task_items

    database = predictor.database
    items = task_items(database, name, split)
    seen = visible_splits(split, predictor.sampler.visibility)
    rng = stream(0, Purpose.EVALUATION, 2)
    rows = np.sort(rng.permutation(len(items))[:N_ROWS])
    return Subject(
        database=database,
        spec=database.task(name),
        items=Items(database=items.database[rows], column=items.column[rows], node=items.node[rows]),
        hidden_splits=tuple(name for name in SPLITS if name not in seen),
        predict=partial(_predict, predictor),
    )


def audit_task(subject: Subject, *, n_boot: int) -> dict[str, Any]:
    """All checks of one task."""
    arrays = subject.database.arrays
    column = subject.database.columns[int(subject.items.column[0])]
    intact = subject.predict(arrays, subject.items)
    checks = [_forbidden(subject)]
    for name, found in (("shuffled", _shuffled(subject)), ("own hidden", _own_hidden(subject))):
        if found is None:
            reason = "the label is a cell of the row itself; its entity has no other labels"
            checks.append(_check(name, "not applicable", reason))
            continue
        metric = "roc_auc" if subject.spec.task_type == "binary_classification" else "r2"
        target = _labels(arrays, subject.items)
        target = (target > 0).astype(np.float64) if metric == "roc_auc" else target
        judge = _judge_shuffled if name == "shuffled" else _judge_hidden
        checks.append(judge(metric, target, {"intact": intact, "changed": found}, subject.entities, n_boot))
    return {"task": subject.spec.name, "rows": len(subject.items), "target": column.name, "checks": checks}


def _forbidden(subject: Subject) -> dict[str, Any]:
    """Predict the rows of some moments twice; a change of any is a leak."""
    arrays = subject.database.arrays
    time = arrays.node_time[subject.items.node]
    moments = np.unique(time)
    if len(moments) > N_MOMENTS:
        moments = moments[np.linspace(0, len(moments) - 1, N_MOMENTS).astype(int)]
    changes, n_cells = [], 0
    for number, moment in enumerate(moments):
        items = _some(subject.items, time == moment)
        cells = forbidden_cells(subject, items, int(moment))
        altered = with_noise(subject.database, cells, int(moment), stream(0, Purpose.EVALUATION, 3, number))
        changes.append(np.abs(subject.predict(arrays, items) - subject.predict(altered, items)))
        n_cells += int(cells.sum())
    change = np.concatenate(changes)
    n_changed = int((~(change <= TOLERANCE)).sum())
    sentence = (
        f"{n_changed} of {len(change)} predictions changed when {n_cells} cells that they must not see were "
        f"replaced, at {len(moments)} times"
    )
    verdict = "fail" if n_changed else "pass"
    return _check(
        "forbidden", verdict, sentence, leak=True, rows=len(change), changed=n_changed,
        cells=n_cells, moments=len(moments), largest_change=float(np.nanmax(change)),
    )  # fmt: skip


def forbidden_cells(subject: Subject, items: "Items", moment: int) -> np.ndarray:
    """bool [C]: cells that the predictions of items of one moment must not depend on."""
    from relscale.model.store import NO_TIME

    database, spec, arrays = subject.database, subject.spec, subject.database.arrays
    is_item = np.zeros(database.n_nodes, bool)
    is_item[items.node] = True
    is_label_row = _rows_of_tables(database, {task.name for task in database.tasks})
    is_own = _rows_of_tables(database, {spec.name}) if not spec.is_autocomplete else np.zeros_like(is_item)
    same = (arrays.node_time == moment) & (moment != NO_TIME)
    row = is_label_row & ~is_own  # labels of other tasks, whenever
    label = is_item | (is_own & same)
    if moment != NO_TIME:
        row |= arrays.node_time > moment
    if subject.hidden_splits:
        first = subject.hidden_splits[0]
        if spec.is_autocomplete:
            last_time = database.val_timestamp if first == "val" else database.test_timestamp
            label |= _rows_of_tables(database, {spec.table}) & (arrays.node_time > last_time)
        else:
            label |= is_own & (np.arange(database.n_nodes) >= database.table(spec.name, first).offset)
    counts = np.diff(arrays.cell_ptr)
    of_label = arrays.cell_column == int(items.column[0])
    removed = [
        database.column_numbers[pair] for pair in spec.remove_columns if pair in database.column_numbers
    ]
    of_removed = np.isin(arrays.cell_column, removed)
    return (
        np.repeat(row & ~is_item, counts)
        | (np.repeat(label, counts) & of_label)
        | (np.repeat(is_item | same, counts) & of_removed)
    )


def with_noise(
    database: "DatabaseStore", cells: np.ndarray, moment: int, rng: np.random.Generator
) -> "DatabaseArrays":
    """The arrays with other values in some cells, and with the links to rows later than a moment mixed up."""
    from relscale.model.context import SemType

    arrays = database.arrays
    is_text = np.array([column.sem_type == SemType.TEXT for column in database.columns])
    place = np.flatnonzero(cells)
    texts = rng.integers(0, max(len(database.text_rows), 1), len(place)).astype(np.int32)
    numbers = rng.normal(0, 10, len(place)).astype(np.float32).view(np.int32)
    bits = arrays.cell_bits.copy()
    bits[place] = np.where(is_text[arrays.cell_column[place]], texts, numbers)
    links = {}
    for name in ("child_idx", "own_idx"):
        rows = getattr(arrays, name).copy()
        later = arrays.node_time[rows] > moment
        rows[later] = rng.permutation(rows[later])
        links[name] = rows
    return replace(arrays, cell_bits=bits, **links)


def _shuffled(subject: Subject) -> np.ndarray:
    """Predictions of the items when all values of the target column have changed places."""
    arrays = subject.database.arrays
    place = np.flatnonzero(arrays.cell_column == int(subject.items.column[0]))
    bits = arrays.cell_bits.copy()
    bits[place] = stream(0, Purpose.EVALUATION, 4).permutation(bits[place])
    return subject.predict(replace(arrays, cell_bits=bits), subject.items)


def _own_hidden(subject: Subject) -> np.ndarray | None:
    """Predictions of the items, each without the other labels of its entity; None if there are none."""
    if subject.spec.is_autocomplete:
        return None
    arrays, rows = subject.database.arrays, subject.label_rows
    time, entity = arrays.node_time.copy(), arrays.parents[rows, 0]
    hidden = replace(arrays, node_time=time)
    found = []
    for number, owner in enumerate(subject.entities):
        own = rows[entity == owner]
        time[own[own != subject.items.node[number]]] = np.iinfo(np.int64).max  # so late that none is seen
        found.append(subject.predict(hidden, subject.items.slice(number, number + 1)))
        time[own] = arrays.node_time[own]
    return np.concatenate(found)


def _judge_shuffled(
    metric: str, target: np.ndarray, found: dict[str, np.ndarray], entities: np.ndarray, n_boot: int
) -> dict[str, Any]:
    values, ends, _ = _compare(metric, target, found, entities, n_boot)
    chance = CHANCE[metric]
    words = f"{metric} {values['intact']:.3f}, with shuffled labels {values['changed']:.3f}"
    if ends["intact"] is None or ends["intact"][0] <= chance:
        verdict, what = "inconclusive", f"the score is not above chance ({chance}) on these rows"
    elif ends["changed"] is None or ends["changed"][0] > chance:
        verdict, what = "fail", "still above chance: rows of the database carry the score, or the label leaks"
    else:
        verdict, what = "pass", f"no longer above chance ({chance})"
    return _check("shuffled", verdict, f"{words}: {what}", metric=metric, values=values, ci95=ends)


def _judge_hidden(
    metric: str, target: np.ndarray, found: dict[str, np.ndarray], entities: np.ndarray, n_boot: int
) -> dict[str, Any]:
    values, ends, difference = _compare(metric, target, found, entities, n_boot)
    words = f"{metric} {values['intact']:.3f}, without the entity's own labels {values['changed']:.3f}"
    if difference is None or difference[0] <= 0 <= difference[1]:
        verdict, what = "inconclusive", "the difference is within its interval"
    elif difference[0] > 0:
        verdict, what = "pass", "the model uses them"
    else:
        verdict, what = "fail", "they make it worse: see how labels reach the context"
    return _check(
        "own hidden", verdict, f"{words}: {what}", metric=metric, values=values, ci95=ends, drop=difference
    )


def _compare(
    metric: str, target: np.ndarray, found: dict[str, np.ndarray], entities: np.ndarray, n_boot: int
) -> tuple[dict[str, float], dict[str, list[float] | None], list[float] | None]:
    """Scores, their intervals over entities, and that of intact minus changed."""
    once = np.ones((1, len(target)))
    values = {name: float(METRICS[metric](target, one, 1.0)(once)[0]) for name, one in found.items()}
    draws = score_draws(metric, target, found, entities, n_boot=n_boot)
    ends = {name: interval(one) for name, one in draws.items()}
    return values, ends, interval(draws["intact"] - draws["changed"])


def _check(name: str, verdict: str, sentence: str, *, leak: bool = False, **numbers: Any) -> dict[str, Any]:
    return {"name": name, "is_leak_check": leak, "verdict": verdict, "sentence": sentence, **numbers}


def _predict(predictor: Predictor, arrays: "DatabaseArrays", items: "Items") -> np.ndarray:
    """The network's predictions where the store's only database has other arrays."""
    from relscale.model.predict import at_each_length, predict_items
    from relscale.model.store import TokenStore

    class Altered(TokenStore):
        def opened(self, database: "DatabaseStore") -> "DatabaseArrays":
            return arrays

    found = [
        predict_items(
            predictor.network,
            Altered.open(predictor.store.path),
            predictor.store.names,
            items,
            sampler,
            seed=predictor.context_seeds[0],
            batch_size=predictor.batch_size,
        )
        for sampler in at_each_length(predictor.sampler)
    ]
    return np.mean([run.targets().prediction.astype(np.float64) for run in found], axis=0)


def _labels(arrays: "DatabaseArrays", items: "Items") -> np.ndarray:
    """float64 [n]: z-score of each item's cell."""
    column = int(items.column[0])
    values = []
    for node in items.node:
        cells = slice(arrays.cell_ptr[node], arrays.cell_ptr[node + 1])
        place = np.flatnonzero(arrays.cell_column[cells] == column)
        values.append(arrays.cell_bits[cells][place].view(np.float32)[0])
    return np.array(values, np.float64)


def _rows_of_tables(database: "DatabaseStore", names: set[str]) -> np.ndarray:
    """bool [N]: rows of tables of these names, all splits."""
    here = np.zeros(database.n_nodes, bool)
    for table in database.tables:
        if table.name in names:
            here[table.offset : table.offset + table.n_rows] = True
    return here


def _some(items: "Items", here: np.ndarray) -> "Items":
    from relscale.model.items import Items

    return Items(database=items.database[here], column=items.column[here], node=items.node[here])
