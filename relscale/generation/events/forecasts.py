"""Forecast tasks: what an entity will do in the next window of time, with labels as RelBench makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import rankdata

from relscale.generation.autocomplete import is_plain
from relscale.generation.database import Database, Table, TaskTables
from relscale.generation.draws import draw_count, draw_option
from relscale.generation.events.config import Aggregate, ForecastPrior
from relscale.generation.events.laws import DAY
from relscale.generation.events.links import place_in_group
from relscale.generation.events.plan import TablePlan

if TYPE_CHECKING:
    from relbench.manifest import TaskManifest

TRIVIAL = 0.98
"""A task is too easy where so many val labels equal the entity's last one before, or the commonest."""
HOPELESS, NOISE = 0.17, 2.0
"""A task is too hard where the rank correlation of a label with the mean of its entity's earlier ones is
less, or less than so many standard errors of chance."""
ATTEMPTS = 3
"""Questions that are drawn for each task that a database is meant to have."""
LOOK_BACK = (1, 3)
"""Windows before a moment in one of which an entity must have an event to get a label."""
VERBS: dict[Aggregate, str] = {
    "exists": "has", "count": "number_of", "sum": "sum_of", "mean": "mean_of", "max": "highest",
    "churn": "no_more", "next": "next",
}  # fmt: skip


OF_COLUMN: tuple[Aggregate, ...] = ("sum", "mean", "max", "next")
"""Aggregates of a column's numbers; the others are of the events."""
OF_SOME: tuple[Aggregate, ...] = ("mean", "max", "next")
"""Aggregates that no events have none of: such an entity gets no label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: an aggregate over the events of an entity in the window after a moment.

    events, key : table of the events and its key to the entity's table.
    column : of the aggregate, or None. condition : (column, value) that an event must meet to count, or None:
        a boolean is true, a text equal, a number greater.
    window_days, past_days : days after the moment that count, and before it in which the entity must have an
        event.
    """

    entity: str
    events: str
    key: str
    aggregate: Aggregate
    column: str | None
    condition: tuple[str, str | float | bool] | None
    window_days: int
    past_days: int

    @property
    def is_binary(self) -> bool:
        """Whether the answer is yes or no."""
        return self.aggregate in ("exists", "churn")

    @property
    def label(self) -> str:
        """Name of the label column."""
        what = self.events if self.column is None else self.column
        return f"{VERBS[self.aggregate]}_{what}{'_where_' + self.condition[0] if self.condition else ''}"


def sample_tasks(
    plans: Mapping[str, TablePlan],
    database: Database,
    prior: ForecastPrior,
    *,
    rng: np.random.Generator,
) -> tuple[TaskTables, ...]:
    """Draw forecast tasks over a database and compute their labels; those that fail the checks are left out.

    Parameters
    ----------
    plans : of the tables, by name.

    Checks: labels in all splits; of yes-or-no answers both, with the prior's least share in train and val;
    numbers that vary; not answered by the commonest answer, or by the entity's last one; and not beyond what
    its earlier labels tell at all.
    """
    choices = [
        (name, j)
        for name, plan in plans.items()
        for j, key in enumerate(plan.keys)
        if plan.kind in ("event", "detail") and key.role in ("actor", "partner")
        if is_plain(name, plan.time_col, plan.pkey, key.name, *_entity(database, name, key.name))
    ]
    tasks: dict[str, TaskTables] = {}
    wanted = draw_count(prior.num_tasks, rng=rng) if choices else 0
    for _ in range(ATTEMPTS * wanted):
        if len(tasks) == wanted:
            break
        question = _sample_question(draw_option(choices, rng=rng), plans, database, prior, rng)
        if question is None:
            continue
        splits = labels_of(question, database)
        name = f"{question.entity}-{question.label}"
        if splits is not None and _is_fair(question, splits, prior) and name not in tasks:
            tasks[name] = TaskTables(
                manifest=manifest_of(name, question, database),
                splits={split: _labels_table(question, database, *found) for split, found in splits.items()},
            )
    return tuple(tasks.values())


def _entity(database: Database, events: str, key: str) -> tuple[str, str | None]:
    """The table that a key leads to, and its primary key."""
    entity = database.tables[events].fkeys[key]
    return entity, database.tables[entity].pkey


def _sample_question(
    choice: tuple[str, int],
    plans: Mapping[str, TablePlan],
    database: Database,
    prior: ForecastPrior,
    rng: np.random.Generator,
) -> Question | None:
    events, plan = database.tables[choice[0]], plans[choice[0]]
    key = plan.keys[choice[1]].name
    aggregate = draw_option(prior.aggregates, rng=rng)
    numbers = [c for c in events.features() if _is_number(events.data[c].type) and is_plain(c)]
    if aggregate in OF_COLUMN and not numbers:
        if "count" not in prior.aggregates:
            return None
        aggregate = "count"
    column = draw_option(numbers, rng=rng) if aggregate in OF_COLUMN else None
    n_active = pc.count_distinct(events.data[key]).as_py()
    train_days = (_micro(database.val_timestamp) - _span(database)[0]) // DAY
    most_windows = max(
        prior.train_windows[0], min(prior.train_windows[1], prior.max_labels // max(1, n_active))
    )
    window = train_days // draw_count((prior.train_windows[0], most_windows), rng=rng)
    # The labels of val must be known by the test timestamp, those of test by the last row.
    after_test = (_span(database)[1] - _micro(database.test_timestamp)) // DAY
    window = min(window, (database.test_timestamp - database.val_timestamp).days, after_test)
    if window < 1:
        return None
    condition = _sample_condition(events, column, rng) if rng.random() < prior.filter_prob else None
    return Question(
        entity=events.fkeys[key],
        events=events.name,
        key=key,
        aggregate=aggregate,
        column=column,
        condition=condition,
        window_days=window,
        past_days=window * draw_count(LOOK_BACK, rng=rng),
    )


def _sample_condition(
    events: Table, column: str | None, rng: np.random.Generator
) -> tuple[str, str | float | bool] | None:
    """A condition on one of the first rows' values, which no label may know of."""
    candidates = [
        c
        for c in events.features()
        if c != column and not pa.types.is_temporal(events.data[c].type) and is_plain(c)
    ]
    if not candidates:
        return None
    name = draw_option(candidates, rng=rng)
    values = events.data[name].slice(0, max(1, events.data.num_rows // 2)).drop_null()
    if not len(values):
        return None
    if pa.types.is_boolean(values.type):
        return name, True
    if _is_number(values.type):
        value = float(np.quantile(values.to_numpy(), rng.uniform(0.3, 0.7)))
        return name, value
    return name, str(values[int(rng.integers(len(values)))].as_py())


Labels = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Moments (int64 microseconds since 1970), entities and answers of the labels, in this order."""


def labels_of(question: Question, database: Database) -> dict[str, Labels] | None:
    """The labels of a question by split, or None where RelBench would refuse the windows or a split has none.

    As `manifest_of` states them in SQL: moments of train go back from the validation timestamp in steps of a
    window to the database's first time, val and test have their timestamp alone.
    """
    events = database.tables[question.events]
    times = events.data[events.time_col].to_numpy().astype("datetime64[us]").astype(np.int64)
    window = question.window_days * DAY
    val, test = (_micro(moment) for moment in (database.val_timestamp, database.test_timestamp))
    first, last = _span(database)
    if test + window > last or val + window > _last_until(database, test):
        return None
    train = np.arange(val - window, first - 1, -window)[::-1]
    if len(train) < 3:
        return None
    entities, counted, values = _events_of(question, events)
    splits = {}
    for split, moments in (("train", train), ("val", [val]), ("test", [test])):
        parts = [_at(int(moment), question, times, entities, counted, values) for moment in moments]
        found = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
        if not len(found[0]):
            return None
        splits[split] = found
    return splits  # type: ignore[return-value]


def _events_of(question: Question, events: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entity of each event (-1: none), whether it counts, and its number (nan: none)."""
    data = events.data
    entities = pc.fill_null(data[question.key], -1).to_numpy()
    counted = np.ones(data.num_rows, bool)
    if question.condition:
        name, value = question.condition
        meets = pc.greater(data[name], value) if _is_number(data[name].type) else pc.equal(data[name], value)
        counted = pc.fill_null(meets, False).to_numpy()
    if question.column is None:
        return entities, counted, np.zeros(data.num_rows)
    numbers = pc.fill_null(pc.cast(data[question.column], pa.float64()), np.nan).to_numpy()
    return entities, counted & ~np.isnan(numbers), numbers


def _at(
    moment: int,
    question: Question,
    times: np.ndarray,
    entities: np.ndarray,
    counted: np.ndarray,
    values: np.ndarray,
) -> Labels:
    """Labels at one moment, by entity."""
    past, now, end = np.searchsorted(
        times,
        [moment - question.past_days * DAY, moment, moment + question.window_days * DAY],
        side="right",
    )
    active = np.unique(entities[past:now])
    active = active[active >= 0]
    here = np.arange(now, end)[counted[now:end]]
    of = np.searchsorted(active, entities[here])
    inside = of < len(active)
    here, of = here[inside], of[inside]
    same = active[of] == entities[here]
    here, of = here[same], of[same]
    count = np.bincount(of, minlength=len(active))
    match question.aggregate:
        case "exists" | "churn":
            answers = ((count > 0) == (question.aggregate == "exists")).astype(np.int64)
        case "count":
            answers = count
        case "sum":
            answers = np.bincount(of, values[here], minlength=len(active))
        case "mean":
            answers = np.bincount(of, values[here], minlength=len(active)) / np.maximum(count, 1)
        case "max":
            answers = np.full(len(active), -np.inf)
            np.maximum.at(answers, of, values[here])
        case "next":
            answers = np.zeros(len(active))
            answers[of[::-1]] = values[here[::-1]]  # the first of each is written last
    if question.aggregate in OF_SOME:
        active, answers = active[count > 0], answers[count > 0]
    return np.full(len(active), moment), active, answers


def _is_fair(question: Question, splits: Mapping[str, Labels], prior: ForecastPrior) -> bool:
    train, val = splits["train"], splits["val"]
    if any(np.ptp(found[2]) == 0 for found in splits.values()):
        return False
    if question.is_binary:
        shares = [found[2].mean() for found in (train, val)]
        if not all(prior.minority <= share <= 1 - prior.minority for share in shares):
            return False
    _, counts = np.unique(val[2], return_counts=True)
    if counts.max() > TRIVIAL * len(val[2]):
        return False
    last = dict(
        zip(train[1].tolist(), train[2].tolist(), strict=True)
    )  # later moments overwrite earlier ones
    known = [
        last.get(entity) == answer for entity, answer in zip(val[1].tolist(), val[2].tolist(), strict=True)
    ]
    return float(np.mean(known)) <= TRIVIAL and told_by_past(train, val)


def told_by_past(train: Labels, val: Labels) -> bool:
    """Whether entities' earlier labels tell of the next one, over all moments of train and val."""
    moments, entities, answers = (np.concatenate(pair) for pair in zip(train, val, strict=True))
    order = np.lexsort([moments, entities])
    entities, answers = entities[order], answers[order].astype(np.float64)
    number, start = place_in_group(entities)
    total = np.cumsum(answers) - answers
    earlier = (total - total[start]) / np.maximum(number, 1)
    known = number > 0
    pair = earlier[known], answers[known]
    if known.sum() < 3 or any(np.ptp(side) == 0 for side in pair):
        return False
    told = np.corrcoef(rankdata(pair[0]), rankdata(pair[1]))[0, 1]
    return bool(told >= max(HOPELESS, NOISE / np.sqrt(known.sum())))


def manifest_of(name: str, question: Question, database: Database) -> TaskManifest:
    """The task in RelBench's format; its SQL gives the labels that `labels_of` computes."""
    from relbench.manifest import TaskManifest

    return TaskManifest(
        name=name,
        kind="forecast",
        task_type="binary_classification" if question.is_binary else "regression",
        description=_description(question),
        entity_table=question.entity,
        entity_col=database.tables[question.entity].pkey,
        target_col=question.label,
        time_col="timestamp",
        timedelta=f"{question.window_days} days",
        num_eval_timestamps=1,
        sql=_sql(question, database),
    )


def _description(question: Question) -> str:
    what = f" of {question.column}" if question.column else ""
    condition = f" where {question.condition[0]} is {question.condition[1]}" if question.condition else ""
    return (
        f"For each {question.entity} with a {question.events} in the {question.past_days} days before: "
        f"{question.aggregate}{what} over its {question.events}{condition} in the next "
        f"{question.window_days} days."
    )


def _sql(question: Question, database: Database) -> str:
    events = database.tables[question.events]
    time, key = f'e."{events.time_col}"', f'e."{question.key}"'
    conditions = [f"{time} > t.timestamp"]
    if question.column:
        conditions.append(f'e."{question.column}" IS NOT NULL')
    if question.condition:
        conditions.append(_condition_sql(*question.condition, events))
    column = f'CAST(e."{question.column}" AS DOUBLE)'
    counted = f"FILTER (WHERE {' AND '.join(conditions)})"
    label = {
        "exists": f"CAST(COUNT(*) {counted} > 0 AS BIGINT)",
        "churn": f"CAST(COUNT(*) {counted} = 0 AS BIGINT)",
        "count": f"COUNT(*) {counted}",
        "sum": f"COALESCE(SUM({column}) {counted}, 0)",
        "mean": f"AVG({column}) {counted}",
        "max": f"MAX({column}) {counted}",
        "next": f'FIRST({column} ORDER BY {time}, e."{events.pkey}") {counted}',
    }[question.aggregate]
    answered = f" AND {label} IS NOT NULL" if question.aggregate in OF_SOME else ""
    entity_col = database.tables[question.entity].pkey
    return (
        f'SELECT t.timestamp AS "timestamp", CAST({key} AS BIGINT) AS "{entity_col}",\n'
        f'  {label} AS "{question.label}"\n'
        f'FROM timestamps t\nJOIN "{question.events}" e\n'
        f"  ON {time} > t.timestamp - INTERVAL '{question.past_days} days'\n"
        f"  AND {time} <= t.timestamp + INTERVAL '{{timedelta}}'\n"
        f"WHERE {key} IS NOT NULL\nGROUP BY t.timestamp, {key}\n"
        f"HAVING COUNT(*) FILTER (WHERE {time} <= t.timestamp) > 0{answered}\n"
    )


def _condition_sql(name: str, value: str | float | bool, events: Table) -> str:
    column = f'e."{name}"'
    if isinstance(value, bool):
        return column
    if isinstance(value, float):
        return f"{column} > {value!r}"
    return f"{column} = '" + value.replace("'", "''") + "'"


def _labels_table(
    question: Question, database: Database, moments: np.ndarray, entities: np.ndarray, answers: np.ndarray
) -> pa.Table:
    pkey = database.tables[question.entity].pkey
    return pa.table(
        {
            "timestamp": pa.array(moments.astype("datetime64[us]")),
            str(pkey): pa.array(entities),
            question.label: pa.array(answers),
        }
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _micro(moment: object) -> int:
    return int(np.datetime64(moment, "us").astype(np.int64))  # type: ignore[call-overload]


def _timed(database: Database) -> Sequence[np.ndarray]:
    return [
        table.data[table.time_col].to_numpy().astype("datetime64[us]").astype(np.int64)
        for table in database.tables.values()
        if table.time_col
    ]


def _span(database: Database) -> tuple[int, int]:
    """First and last time in the database; tables are in order of time."""
    timed = _timed(database)
    return min(int(times[0]) for times in timed), max(int(times[-1]) for times in timed)


def _last_until(database: Database, moment: int) -> int:
    """Last time up to a moment, or a number below all times."""
    found = [times[: np.searchsorted(times, moment, side="right")] for times in _timed(database)]
    return max((int(times[-1]) for times in found if len(times)), default=-(2**62))
