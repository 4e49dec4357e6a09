"""A database from a seed: schema, foreign keys, features, times, on one page."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from relscale.generation.columns import finish_classes, finish_number, missing_cells
from relscale.generation.config import GeneratorConfig
from relscale.generation.connectivity import sample_parents
from relscale.generation.domains import show
from relscale.generation.features import Feature, ParentRows, generate_features
from relscale.generation.schema import Schema, TableSpec, sample_schema
from relscale.generation.sql_schema import declared_schema
from relscale.platform.seeds import Purpose, stream

if TYPE_CHECKING:
    from relbench.manifest import TaskManifest

GENERATOR_VERSION = 3
"""Raised whenever the same seed and configuration give another database."""

DECLARED_ATTEMPTS = 4
"""Causal models drawn for a table of a declared schema until none of its columns is constant; if all have
some, the one with the fewest is kept. A random schema drops such columns instead."""

Link = Callable[..., np.ndarray]
"""(parent rows, child rows, *, rng) to the parent row of every child row, int64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows and the meaning of their key columns.

    pkey : column holding 0..n-1 in row order, or None.
    fkeys : foreign-key column to the table it refers to; its values are row numbers there, or null.
    time_col : column with the time at which a row came to be, or None.
    """

    name: str
    data: pa.Table
    pkey: str | None
    fkeys: dict[str, str]
    time_col: str | None

    def features(self) -> list[str]:
        """Columns that are neither keys nor the time."""
        keys = {self.pkey, self.time_col, *self.fkeys}
        return [column for column in self.data.column_names if column not in keys]


@dataclass(frozen=True, slots=True)
class TaskTables:
    """A task and its label tables by split ("train", "val", "test")."""

    manifest: TaskManifest
    splits: dict[str, pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Tables by name, and the times that separate training, validation and test."""

    name: str
    tables: dict[str, Table]
    val_timestamp: datetime
    test_timestamp: datetime
    description: str
    tasks: tuple[TaskTables, ...] = ()
    """Tasks with labels of their own, which are part of the database; those to complete a column are not."""

    @property
    def n_rows(self) -> int:
        """Rows of all tables."""
        return sum(table.data.num_rows for table in self.tables.values())

    @property
    def n_cells(self) -> int:
        """Rows times columns, keys and times included, over all tables."""
        return sum(table.data.num_rows * table.data.num_columns for table in self.tables.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The days from first to last that a database covers, and its two splitting times."""

    first: datetime
    last: datetime
    val_timestamp: datetime
    test_timestamp: datetime


def generate_database(seed: int, config: GeneratorConfig) -> Database:
    """Generate the database of a seed.

    Parameters
    ----------
    seed : non-negative; names the database `plurel-<seed>`.
    config : the prior.

    Returns
    -------
    The same database for the same arguments, whatever ran before. Features are computed in float32, whose
    last digits may differ between CPU types; keys, times and the schema never do.

    Source: PluRel (arXiv:2602.04029).
    """
    link = functools.partial(sample_parents, prior=config.connectivity)
    return build_database(seed, config, prior="plurel", link=link, inherit=True)


def build_database(seed: int, config: GeneratorConfig, *, prior: str, link: Link, inherit: bool) -> Database:
    """The database `<prior>-<seed>`, with foreign keys by `link`.

    inherit : whether the columns of a table depend on those of its parents.
    """
    with _collector_paused():
        return _build_database(seed, config, prior, link, inherit)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """No search for cyclic garbage meanwhile: there is none, and it costs a tenth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _build_database(seed: int, config: GeneratorConfig, prior: str, link: Link, inherit: bool) -> Database:
    rng = stream(seed, Purpose.SCHEMA)
    schema = declared_schema(config, rng=rng) if config.sql_schema else sample_schema(config, rng=rng)
    period = sample_period(config, rng=stream(seed, Purpose.TIMESTAMPS))
    links = [_sample_links(seed, schema, t, link) for t in range(len(schema.tables))]
    features: dict[int, list[Feature]] = {}
    for t in schema.order():  # parents first
        pairs = zip(schema.tables[t].fkeys, links[t], strict=True)
        parents = [ParentRows(features=features[key.parent], rows=rows) for key, rows in pairs]
        seen = [parent for parent in parents if parent.features] if inherit else []
        features[t] = _sample_features(seed, schema, t, seen, config)
    tables = [
        _finish_table(schema, t, links[t], features[t], period, config, stream(seed, Purpose.POSTPROCESS, t))
        for t in range(len(schema.tables))
    ]
    return Database(
        name=f"{prior}-{seed}",
        tables={table.name: table for table in tables},
        val_timestamp=period.val_timestamp,
        test_timestamp=period.test_timestamp,
        description=f"Synthetic database of the prior {prior}, seed {seed}.",
    )


def sample_period(config: GeneratorConfig, *, rng: np.random.Generator) -> Period:
    """Draw two distinct days of the window; splits lie on the grid of days in between, both ends counted."""
    start, end = config.time_window
    first, last = np.sort(rng.choice((end - start).days, 2, replace=False)).tolist()
    n_days = last - first + 1
    midnight = datetime.combine(start, time.min)

    def day(number: int) -> datetime:
        return midnight + timedelta(days=first + number)

    return Period(
        first=day(0),
        last=day(n_days - 1),
        val_timestamp=day(int(config.val_split * n_days)),
        test_timestamp=day(int(config.test_split * n_days)),
    )


def equally_spaced(first: datetime, last: datetime, n_rows: int) -> np.ndarray:
    """`n_rows` times from first to last, both included; datetime64[us], ascending."""
    span = (last - first) // timedelta(microseconds=1)
    offsets = np.rint(np.linspace(0, span, n_rows)).astype(np.int64)
    return np.datetime64(first, "us") + offsets.astype("timedelta64[us]")


def _sample_links(seed: int, schema: Schema, t: int, link: Link) -> list[np.ndarray]:
    """Parent row numbers for each foreign key of a table; those of a one-to-one key are all different."""
    n_rows = schema.tables[t].n_rows
    links = []
    for j, key in enumerate(schema.tables[t].fkeys):
        rng = stream(seed, Purpose.CONNECTIVITY, t, j)
        n_parents = schema.tables[key.parent].n_rows
        rows = rng.permutation(n_parents)[:n_rows] if key.unique else link(n_parents, n_rows, rng=rng)
        links.append(rows)
    return links


def _sample_features(
    seed: int, schema: Schema, t: int, parents: list[ParentRows], config: GeneratorConfig
) -> list[Feature]:
    table = schema.tables[t]
    if not config.sql_schema:
        return generate_features(table, parents, config=config, rng=stream(seed, Purpose.FEATURES, t))
    best: list[Feature] = []
    fewest = len(table.columns) + 1
    for attempt in range(DECLARED_ATTEMPTS):
        rng = stream(seed, Purpose.FEATURES, t, attempt)
        features = generate_features(table, parents, config=config, rng=rng)
        n_constant = sum(bool((feature.values == feature.values[0]).all()) for feature in features)
        if n_constant < fewest:
            best, fewest = features, n_constant
        if fewest == 0:
            break
    return best


def _finish_table(
    schema: Schema,
    t: int,
    links: list[np.ndarray],
    features: list[Feature],
    period: Period,
    config: GeneratorConfig,
    rng: np.random.Generator,
) -> Table:
    """Keys, finished features and, for an activity table, the time column."""
    table = schema.tables[t]
    missing_share = rng.uniform(*config.columns.missing_share)
    columns = {table.pkey: pa.array(np.arange(table.n_rows))}
    for key, rows in zip(table.fkeys, links, strict=True):
        missing = missing_cells(table.n_rows, missing_share, rng=rng) if key.nullable else None
        columns[key.name] = pa.array(rows, mask=missing)
    columns |= _finish_features(table, features, missing_share, period, config, rng)
    if table.is_activity:
        times = equally_spaced(period.first, period.last, table.n_rows)
        if table.whole_days:
            times = times.astype("datetime64[D]").astype("datetime64[us]")
        columns[table.time_col] = pa.array(times)
    return Table(
        name=table.name,
        data=pa.table({name: columns[name] for name in table.layout or columns}),
        pkey=table.pkey,
        fkeys={key.name: schema.tables[key.parent].name for key in table.fkeys},
        time_col=table.time_col if table.is_activity else None,
    )


def _finish_features(
    table: TableSpec,
    features: list[Feature],
    missing_share: float,
    period: Period,
    config: GeneratorConfig,
    rng: np.random.Generator,
) -> dict[str, pa.Array]:
    """Columns by name; those of a random schema that would show one value only are left out."""
    domains = {column.name: column.domain for column in table.columns}
    finished = {}
    for feature in features:
        domain = domains[feature.name]
        if domain is not None:
            missing = missing_cells(table.n_rows, missing_share, rng=rng) if domain.nullable else None
            finished[feature.name] = show(
                feature.values,
                domain,
                missing=missing,
                period=(period.first, period.last),
                config=config,
                rng=rng,
            )
        elif feature.n_categories == 0:
            numbers = finish_number(feature.values, missing_share, prior=config.columns, rng=rng)
            finished[feature.name] = pa.array(numbers.data, mask=numbers.mask)
        elif (truth := finish_classes(feature.values)) is not None:
            finished[feature.name] = pa.array(truth)
    return finished
