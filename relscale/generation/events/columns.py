"""Columns: what drives each of them, through which function, with how much noise, and which cells are
missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from relscale.generation.draws import draw_count, draw_option
from relscale.generation.events.clock import phases
from relscale.generation.events.histories import Moments, earlier
from relscale.generation.events.laws import NUMBERS, classes_of, numbers_of
from relscale.generation.events.links import alone_where_empty, repeat_partners
from relscale.generation.events.mechanisms import apply, normal_scores, standardised, weights
from relscale.generation.events.plan import ColumnPlan, TablePlan
from relscale.generation.events.recipe import correlated
from relscale.generation.events.rows import Rows, World

HIDDEN_WEIGHT, COLUMN_WEIGHT, TIME_WEIGHT = 0.55, 0.3, 0.15
"""Relative odds of what a driver of a column is: a direction of the row's hidden state, an earlier column, a
phase of the time."""
FOREIGN_HIDDEN, FOREIGN_GRANDPARENT = 0.4, 0.25
"""Odds that a driver in a parent row is a direction of its hidden state; and otherwise, a column of its own
parent."""
OWN_EVENTS = 0.5
"""Odds that earlier events of which a column tells are of its own table at once, not of any that has some."""
TIED = 1.5
"""Weight of what a missing cell depends on, beside a logistic chance of deviation 1.8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A computed column.

    hidden : float32 [planes, rows], what `laws.show` turns into cells; int or float64 [1, rows] of a history.
    code : float32 [rows], what other columns read of it; mean 0 and variance 1.
    missing : bool [rows], or None.
    """

    plan: ColumnPlan
    hidden: np.ndarray
    code: np.ndarray
    missing: np.ndarray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What the columns of a table may read: of its own rows, and of those it refers to.

    late : how late each row came to be, of mean 0 and variance 1. entity : whose event it is.
    """

    state: np.ndarray
    time: np.ndarray
    late: np.ndarray | None
    entity: np.ndarray | None
    columns: list[np.ndarray]
    parents: Sequence[tuple[np.ndarray, Rows, Sequence[Cells], Sequence[tuple[np.ndarray, Sequence[Cells]]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Events:
    """Events of some entities, and what stands in them."""

    moments: Moments
    cells: Sequence[Cells]


def make_columns(
    plan: TablePlan,
    rows: Rows,
    all_rows: Mapping[int, Rows],
    all_cells: Mapping[int, Sequence[Cells]],
    world: World,
    *,
    rng: np.random.Generator,
) -> list[Cells]:
    """Compute the columns of a table, in the order of its plan.

    Parameters
    ----------
    all_rows, all_cells : of the tables that came before, by number.
    """
    timed = plan.time_col is not None and world.config.time.enabled
    cells: list[Cells] = []
    events = _events(plan, rows, cells, all_rows, all_cells, world)
    around = _Around(
        state=rows.state,
        time=phases(rows.born, world.period) if timed else np.empty((0, len(rows)), np.float32),
        late=standardised(rows.born.astype(np.float64)) if timed else None,
        entity=alone_where_empty(events[0].moments.entity) if events else None,
        columns=[],
        parents=[
            (
                of,
                all_rows[key.parent],
                all_cells[key.parent],
                _grandparents(all_rows[key.parent], all_cells, key.parent, world),
            )
            for key, of in zip(plan.keys, rows.keys, strict=True)
            if key.role != "self"
        ]
        # Of a row of the same table, the columns that are already made.
        + [(of, rows, cells, []) for key, of in zip(plan.keys, rows.keys, strict=True) if key.role == "self"],
    )
    for column in plan.columns:
        made = _history(column, events, rng) if column.history else _by_mechanism(column, around, world, rng)
        if made is None:
            continue
        around.columns.append(made.code)
        cells.append(made)
    return _with_correlations(plan, cells)


def _events(
    plan: TablePlan,
    rows: Rows,
    cells: Sequence[Cells],
    all_rows: Mapping[int, Rows],
    all_cells: Mapping[int, Sequence[Cells]],
    world: World,
) -> list[_Events]:
    """A table's own events and those of the tables before it with the same entities; empty for others."""
    if plan.main is None:
        return []
    found = [_Events(moments=Moments(entity=rows.keys[plan.main], born=rows.born), cells=cells)]
    for number, others in all_cells.items():
        main = world.tables[number].main
        if main is not None and world.tables[number].keys[main].parent == plan.keys[plan.main].parent:
            other = all_rows[number]
            moments = Moments(entity=other.keys[main], born=other.born)
            found.append(_Events(moments=moments, cells=others))
    return found


def _with_correlations(plan: TablePlan, cells: list[Cells]) -> list[Cells]:
    """The columns with the rank correlations that a recipe states for its numbers."""
    if not plan.correlations:
        return cells
    places = [i for i, made in enumerate(cells) if made.plan.law.kind in NUMBERS]
    turned = correlated(np.stack([cells[i].hidden[0] for i in places]), plan.correlations)
    result = list(cells)
    for i, numbers in zip(places, turned, strict=True):
        missing = cells[i].missing
        there = slice(None) if missing is None else ~missing
        numbers[there] = normal_scores(numbers[None, there])[0]  # sums of bent numbers have another law
        result[i] = replace(cells[i], hidden=numbers[None], code=numbers)
    return result


def _grandparents(
    parent: Rows, all_cells: Mapping[int, Sequence[Cells]], number: int, world: World
) -> list[tuple[np.ndarray, Sequence[Cells]]]:
    """(rows of the grandparent by row of the parent, its columns) for each key of a parent to another
    table."""
    plans = world.tables[number].keys
    return [
        (of, all_cells[key.parent])
        for key, of in zip(plans, parent.keys, strict=True)
        if key.role != "self" and all_cells[key.parent]
    ]


def _by_mechanism(column: ColumnPlan, around: _Around, world: World, rng: np.random.Generator) -> Cells:
    prior, style = world.config.columns, world.style
    signal_share = float(style.draw("signal_share", prior.signal_share, rng=rng))
    hidden = np.stack([_signal(around, world, rng) for _ in range(column.law.planes)])
    noise = rng.standard_normal(hidden.shape).astype(np.float32)
    hidden = np.sqrt(signal_share) * hidden + np.sqrt(1 - signal_share) * noise
    hidden = hidden.astype(np.float32)
    entity = around.entity if prior.enabled and not world.config.recipe else None
    if entity is not None and rng.random() < prior.slow_prob:
        kept = 1 - float(style.draw("slow_change", prior.slow_change, rng=rng))
        hidden = hidden[:, repeat_partners(np.arange(len(entity)), entity, kept, rng=rng)]
    missing = _missing(hidden[0], column.missing_share, around, world, rng)
    if (
        world.config.recipe
    ):  # the law that it states of the cells that are there is kept, whatever the mechanism
        there = slice(None) if missing is None else ~missing
        hidden[:, there] = normal_scores(hidden[:, there])
    classes = classes_of(hidden, column.law)
    if column.law.kind == "identifier":
        code = noise[0]  # carries nothing
    elif classes is None:
        code = hidden[0]
    else:
        code = standardised(rng.standard_normal(len(column.law.shares)).astype(np.float32)[classes])
    return Cells(plan=column, hidden=hidden, code=code, missing=missing)


def _signal(around: _Around, world: World, rng: np.random.Generator) -> np.ndarray:
    """The part of a column that follows from its row and from the rows this refers to; float32 [rows]."""
    prior = world.config.columns
    local = _function(_local_drivers(around, draw_count(prior.drivers, rng=rng), rng), world, rng)
    foreign = _foreign_drivers(around, draw_count(prior.drivers, rng=rng), world, rng)
    if not len(foreign):
        return local
    share = float(world.style.draw("column_parent_share", prior.parent_share, rng=rng))
    return np.sqrt(1 - share) * local + np.sqrt(share) * _function(foreign, world, rng)


def _function(drivers: np.ndarray, world: World, rng: np.random.Generator) -> np.ndarray:
    prior = world.config.columns
    if not prior.enabled:
        return apply("network", drivers, rng=rng)
    odds = world.style.weights("mechanisms", len(prior.mechanisms))
    bent = apply(prior.mechanisms[int(rng.choice(len(odds), p=odds))], drivers, rng=rng)
    linear = float(world.style.draw("linear_share", prior.linear_share, rng=rng))
    straight = apply("linear", drivers, rng=rng)
    return standardised(np.sqrt(linear) * straight + np.sqrt(1 - linear) * bent)


def _local_drivers(around: _Around, count: int, rng: np.random.Generator) -> np.ndarray:
    odds = np.array(
        [HIDDEN_WEIGHT, COLUMN_WEIGHT * bool(around.columns), TIME_WEIGHT * bool(len(around.time))]
    )
    drivers = []
    for kind in rng.choice(3, count, p=odds / odds.sum()):
        if kind == 0:
            drivers.append(weights(len(around.state), rng=rng) @ around.state)
        elif kind == 1:
            drivers.append(draw_option(around.columns, rng=rng))
        else:
            drivers.append(around.time[rng.integers(len(around.time))])
    return np.stack(drivers)


def _foreign_drivers(around: _Around, count: int, world: World, rng: np.random.Generator) -> np.ndarray:
    """Numbers of the parent rows, 0 where a key is empty; float32 [k, rows], k at most `count`."""
    drivers = []
    for _ in range(count if around.parents else 0):
        of, rows, cells, above = draw_option(around.parents, rng=rng)
        if world.config.traits.enabled and rng.random() < FOREIGN_HIDDEN:
            numbers = weights(len(rows.state), rng=rng) @ rows.state
        elif above and rng.random() < FOREIGN_GRANDPARENT:
            of_parent, columns = draw_option(above, rng=rng)
            numbers = np.where(of_parent >= 0, draw_option(columns, rng=rng).code[of_parent], np.float32(0))
        elif cells:
            numbers = draw_option(cells, rng=rng).code
        else:
            continue
        drivers.append(np.where(of >= 0, numbers[of], np.float32(0)))
    return np.stack(drivers) if drivers else np.empty((0, around.state.shape[1]), np.float32)


def _missing(
    own: np.ndarray, share: float | None, around: _Around, world: World, rng: np.random.Generator
) -> np.ndarray | None:
    """Cells that are not there: at random, by another column, by their own value, or in early rows."""
    prior = world.config.columns
    if share is None:
        drawn = float(world.style.draw("missing_share", prior.missing_share, rng=rng))
        share = drawn if rng.random() < prior.missing_prob else 0.0
    if share == 0:
        return None
    score = rng.logistic(size=len(own))
    kind = int(rng.integers(4)) if prior.enabled else 0
    if kind == 1 and around.columns:
        score += TIED * rng.choice([-1, 1]) * draw_option(around.columns, rng=rng)
    elif kind == 2:
        score += TIED * rng.choice([-1, 1]) * own
    elif kind == 3 and around.late is not None:
        score -= 2 * TIED * around.late
    count = int(share * len(own))
    missing = np.zeros(len(own), bool)
    missing[np.argpartition(-score, min(count, len(own) - 1))[:count]] = True
    return missing


def _history(column: ColumnPlan, sources: Sequence[_Events], rng: np.random.Generator) -> Cells | None:
    """What the row knows of its entity's earlier events, in its own table or another one.

    None where the chosen table has no column of numbers.
    """
    own = sources[0]
    source = own if rng.random() < OWN_EVENTS else draw_option(sources, rng=rng)
    options = [made for made in source.cells if made.plan.law.kind in NUMBERS and not made.plan.history]
    numbers, known = np.zeros(len(source.moments.born)), np.ones(len(source.moments.born), bool)
    if column.history != "count":
        if not options:
            return None
        chosen = draw_option(options, rng=rng)
        numbers = numbers_of(chosen.hidden[0], chosen.plan.law).astype(np.float64)
        known = known if chosen.missing is None else ~chosen.missing
    value, empty = earlier(column.history, own.moments, source.moments, numbers, known)
    return Cells(
        plan=column, hidden=value[None], code=standardised(value), missing=empty if empty.any() else None
    )
