"""A database from a seed: schema, foreign keys, features, times, on one page."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta

import numpy as np
import pyarrow as pa

from relscale.generation.columns import finish_classes, finish_number
from relscale.generation.config import GeneratorConfig
from relscale.generation.connectivity import sample_parents
from relscale.generation.features import Feature, ParentRows, generate_features
from relscale.generation.schema import Schema, TableSpec, sample_schema
from relscale.platform.seeds import Purpose, stream

GENERATOR_VERSION = 1
"""Raised whenever the same seed and configuration give another database."""

PKEY, TIME_COL = "row_idx", "date"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Tables by name, and the times that separate training, validation and test."""

    name: str
    tables: dict[str, Table]
    val_timestamp: datetime
    test_timestamp: datetime
    description: str

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
    schema = sample_schema(config, rng=stream(seed, Purpose.SCHEMA))
    period = sample_period(config, rng=stream(seed, Purpose.TIMESTAMPS))
    fkeys = {t: _sample_fkeys(seed, schema, t, config) for t in range(len(schema.tables))}
    features: dict[int, list[Feature]] = {}
    for t in schema.order():  # parents first
        parents = [ParentRows(features=features[p], rows=rows) for p, rows in fkeys[t].items()]
        features[t] = generate_features(
            schema.tables[t], parents, config=config, rng=stream(seed, Purpose.FEATURES, t)
        )
    tables = [
        _finish_table(
            schema, t, fkeys[t], features[t], period, config, rng=stream(seed, Purpose.POSTPROCESS, t)
        )
        for t in range(len(schema.tables))
    ]
    return Database(
        name=f"plurel-{seed}",
        tables={table.name: table for table in tables},
        val_timestamp=period.val_timestamp,
        test_timestamp=period.test_timestamp,
        description=f"Synthetic database of the PluRel prior, seed {seed}.",
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


def _sample_fkeys(seed: int, schema: Schema, t: int, config: GeneratorConfig) -> dict[int, np.ndarray]:
    """Parent row numbers by parent table, in the order of the table's foreign keys."""
    table = schema.tables[t]
    return {
        p: sample_parents(
            schema.tables[p].n_rows,
            table.n_rows,
            prior=config.connectivity,
            rng=stream(seed, Purpose.CONNECTIVITY, t, p),
        )
        for p in table.parents
    }


def _finish_table(
    schema: Schema,
    t: int,
    parent_rows: dict[int, np.ndarray],
    features: list[Feature],
    period: Period,
    config: GeneratorConfig,
    *,
    rng: np.random.Generator,
) -> Table:
    """Keys, finished features and, for an activity table, the time column."""
    table = schema.tables[t]
    columns = {PKEY: pa.array(np.arange(table.n_rows))}
    columns |= {name: pa.array(parent_rows[p]) for name, p in zip(table.fkeys, table.parents, strict=True)}
    columns |= _finish_features(table, features, config, rng)
    if table.is_activity:
        columns[TIME_COL] = pa.array(equally_spaced(period.first, period.last, table.n_rows))
    return Table(
        name=table.name,
        data=pa.table(columns),
        pkey=PKEY,
        fkeys={name: schema.tables[p].name for name, p in zip(table.fkeys, table.parents, strict=True)},
        time_col=TIME_COL if table.is_activity else None,
    )


def _finish_features(
    table: TableSpec, features: list[Feature], config: GeneratorConfig, rng: np.random.Generator
) -> dict[str, pa.Array]:
    missing_share = rng.uniform(*config.columns.missing_share)
    finished = {}
    for feature in features:
        if feature.n_categories == 0:
            numbers = finish_number(feature.values, missing_share, prior=config.columns, rng=rng)
            finished[feature.name] = pa.array(numbers.data, mask=numbers.mask)
        elif (truth := finish_classes(feature.values)) is not None:
            finished[feature.name] = pa.array(truth)
    return finished
