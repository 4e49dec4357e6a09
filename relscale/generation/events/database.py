"""A database of the prior relational-events from a seed: plan, rows, columns, cells, tasks, on one page."""

import math
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from relscale.generation.database import Database, Table
from relscale.generation.draws import draw_count
from relscale.generation.events.clock import Period
from relscale.generation.events.columns import Cells, make_columns
from relscale.generation.events.communities import sample_communities
from relscale.generation.events.config import EventsConfig
from relscale.generation.events.forecasts import sample_tasks
from relscale.generation.events.laws import DAY, show
from relscale.generation.events.meaning import name_tables
from relscale.generation.events.plan import TablePlan, sample_structure
from relscale.generation.events.recipe import parse_recipe, plans_of
from relscale.generation.events.rows import Rows, World, sample_rows
from relscale.generation.events.style import Style
from relscale.platform.seeds import Purpose, stream

EVENTS_VERSION = 6
"""Raised whenever the same seed and configuration give another database.

Presets give the tables of version 4, but for dates far in the past and times of details at midnights; tasks
of databases with many entities differ.
"""

STRUCTURE, STYLE, NAMES, COMMUNITIES, TASKS = range(5)
"""Addresses below a database's SCHEMA stream."""


def generate_events(seed: int, config: EventsConfig) -> Database:
    """The database `relational-events-<seed>`.

    Rows carry hidden traits that drive their own columns, their events and the columns of these; entities act
    in time; names tell what columns hold; tasks ask what comes next. See docs/prior.md.

    Parameters
    ----------
    seed : non-negative.
    config : the prior; each mechanism can be switched off alone.

    Returns
    -------
    The same database for the same arguments, whatever ran before.
    """
    return hidden_and_shown(seed, config)[1]


def hidden_and_shown(seed: int, config: EventsConfig) -> tuple[dict[str, Rows], Database]:
    """The rows of every table with their hidden states, by name, and the database that is made of them."""
    style = Style(config.style, rng=stream(seed, Purpose.SCHEMA, STYLE))
    plans = sample_plans(seed, config, style)
    period = sample_period(config, rng=stream(seed, Purpose.TIMESTAMPS))
    rng = stream(seed, Purpose.SCHEMA, COMMUNITIES)
    dimensions = draw_count(config.traits.dimensions, rng=rng)
    world = World(
        config=config,
        style=style,
        period=period,
        communities=sample_communities(config.keys, dimensions, rng=rng),
        tables=plans,
    )
    rows: dict[int, Rows] = {}
    cells: dict[int, list[Cells]] = {}
    tables = {}
    for t, plan in enumerate(plans):  # parents first
        rows[t] = sample_rows(plan, rows, world, rng=stream(seed, Purpose.CONNECTIVITY, t))
        cells[t] = make_columns(plan, rows[t], rows, cells, world, rng=stream(seed, Purpose.FEATURES, t))
        tables[plan.name] = _table(plan, plans, rows[t], cells[t], rng=stream(seed, Purpose.POSTPROCESS, t))
    database = Database(
        name=f"relational-events-{seed}",
        tables=tables,
        val_timestamp=_day(period, config.val_split),
        test_timestamp=_day(period, config.test_split),
        description=f"Synthetic database of the prior relational-events, seed {seed}.",
    )
    if config.forecasts.enabled:
        by_name = {plan.name: plan for plan in plans}
        rng = stream(seed, Purpose.SCHEMA, TASKS)
        database = replace(database, tasks=sample_tasks(by_name, database, config.forecasts, rng=rng))
    return {plan.name: rows[t] for t, plan in enumerate(plans)}, database


def sample_plans(seed: int, config: EventsConfig, style: Style) -> list[TablePlan]:
    """The tables of a database, parents before children: by the recipe if there is one, or at random."""
    if config.recipe:
        rng = stream(seed, Purpose.SCHEMA, NAMES)
        return plans_of(parse_recipe(config.recipe), config, style, rng=rng)
    structure = sample_structure(config, style, rng=stream(seed, Purpose.SCHEMA, STRUCTURE))
    return name_tables(structure, config, style, rng=stream(seed, Purpose.SCHEMA, NAMES))


def sample_period(config: EventsConfig, *, rng: np.random.Generator) -> Period:
    """Draw the days of a database: their number log-uniform, then the first of them in the window.

    The days of a recipe are as many as it says, if it does; if the window is shorter, they end with it.
    """
    low, high = config.time.span_days
    if config.recipe and (stated := parse_recipe(config.recipe).span_days):
        low = high = stated
    n_days = round(math.exp(rng.uniform(math.log(low), math.log(high))))
    start, end = config.time_window
    slack = (end - start).days - n_days
    first = start + timedelta(days=int(rng.integers(slack, endpoint=True)) if slack > 0 else slack)
    return Period(first=(first - datetime(1970, 1, 1).date()).days * DAY, n_days=n_days)


def _day(period: Period, share: float) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=period.first + int(share * period.n_days) * DAY)


def _table(
    plan: TablePlan, plans: list[TablePlan], rows: Rows, cells: list[Cells], *, rng: np.random.Generator
) -> Table:
    """The columns that a database shows: keys, features, time."""
    data = {plan.pkey: pa.array(np.arange(len(rows)))}
    for key, of in zip(plan.keys, rows.keys, strict=True):
        data[key.name] = pa.array(of, mask=of < 0)
    for column in cells:
        data[column.plan.name] = _shown(column, rows, rng)
    if plan.time_col:
        data[plan.time_col] = pa.array(rows.born.astype("datetime64[us]"))
    return Table(
        name=plan.name,
        data=pa.table(data),
        pkey=plan.pkey,
        fkeys={key.name: plans[key.parent].name for key in plan.keys},
        time_col=plan.time_col,
    )


def _shown(cells: Cells, rows: Rows, rng: np.random.Generator) -> pa.Array:
    if not cells.plan.history:
        return show(cells.hidden, cells.plan.law, born=rows.born, missing=cells.missing, rng=rng)
    values = cells.hidden[0]
    return pa.array(values.astype(np.int64) if cells.plan.history == "count" else values, mask=cells.missing)
