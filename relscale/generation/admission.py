"""Admission: whether a database, synthetic or real, can be used for pretraining."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relscale.generation.database import Database, Table

MAX_FKEYS = 5
"""Foreign keys of a table in the published protocol, and in the transformer's context."""


def admit(database: Database) -> str | None:
    """Why a database is refused, as a short sentence, or None if it is admitted.

    Checked in this order: split times; each table's rows, primary key, foreign keys and their number, order
    in time, that no row known at the test time refers to a later one, finite values, that not all feature
    columns are constant (a table of keys alone passes); that the train, validation and test windows have
    rows, where any table has times; and that some column can be predicted (a boolean with both values or a
    number that varies).
    """
    return next(_reasons(database), None)


def _reasons(database: Database) -> Iterator[str]:
    if database.val_timestamp >= database.test_timestamp:
        yield f"validation time {database.val_timestamp} is not before test time {database.test_timestamp}"
    for check in _CHECKS:
        for table in database.tables.values():
            if reason := check(table, database):
                yield f"table '{table.name}': {reason}"
    yield from _empty_windows(database)
    if not any(_is_predictable(t.data[c]) for t in database.tables.values() for c in t.features()):
        yield "no table has a boolean or number that varies"


def _rows(table: Table, database: Database) -> str | None:
    return None if table.data.num_rows else "no rows"


def _pkey(table: Table, database: Database) -> str | None:
    if table.pkey is None:
        return None
    keys = table.data[table.pkey]
    rows = np.arange(table.data.num_rows)
    fine = pa.types.is_integer(keys.type) and not keys.null_count and np.array_equal(keys.to_numpy(), rows)
    return None if fine else f"primary key '{table.pkey}' is not 0..n-1 in row order"


def _fkeys(table: Table, database: Database) -> str | None:
    if len(table.fkeys) > MAX_FKEYS:
        return f"{len(table.fkeys)} foreign keys, more than {MAX_FKEYS}"
    for column, parent in table.fkeys.items():
        if parent not in database.tables:
            return f"foreign key '{column}' refers to the unknown table '{parent}'"
        if not pa.types.is_integer(table.data[column].type):
            return f"foreign key '{column}' is not a column of integers"
        bounds = pc.min_max(table.data[column]).as_py()
        n_parents = database.tables[parent].data.num_rows
        if bounds["min"] is not None and (bounds["min"] < 0 or bounds["max"] >= n_parents):
            return f"foreign key '{column}' points outside the {n_parents} rows of '{parent}'"
    return None


def _time_order(table: Table, database: Database) -> str | None:
    if table.time_col is None:
        return None
    if table.data[table.time_col].null_count:
        return f"time column '{table.time_col}' has empty cells"
    times = _times(table)
    return None if (times[1:] >= times[:-1]).all() else f"rows are not in order of '{table.time_col}'"


def _test_cut(table: Table, database: Database) -> str | None:
    for column, parent in table.fkeys.items():
        n_known_parents = _known_rows(database.tables[parent], database)
        known_keys = table.data[column].slice(0, _known_rows(table, database))
        last = pc.max(known_keys).as_py()
        if last is not None and last >= n_known_parents:
            return f"foreign key '{column}' of a row before the test time refers to a later row of '{parent}'"
    return None


def _known_rows(table: Table, database: Database) -> int:
    """Rows that are left when the database is cut at the test time: rows without a time always are."""
    if table.time_col is None:
        return table.data.num_rows
    cut = np.datetime64(database.test_timestamp, "us")
    return int(np.searchsorted(_times(table), cut, side="right"))


def _finite(table: Table, database: Database) -> str | None:
    for column in table.data.column_names:
        values = table.data[column]
        if pa.types.is_floating(values.type) and not pc.all(pc.is_finite(values), min_count=0).as_py():
            return f"column '{column}' holds a value that is not finite"
    return None


def _constant(table: Table, database: Database) -> str | None:
    features = table.features()
    constant = features and all(pc.count_distinct(table.data[c]).as_py() <= 1 for c in features)
    return "every feature column is constant" if constant else None


def _empty_windows(database: Database) -> Iterator[str]:
    timed = [table for table in database.tables.values() if table.time_col is not None]
    splits = np.array([database.val_timestamp, database.test_timestamp], "datetime64[us]")
    rows = np.zeros(3, np.int64)
    for table in timed:
        # As in RelBench, a row at a splitting time is known then.
        rows += np.bincount(np.searchsorted(splits, _times(table), side="left"), minlength=3)
    for name, n_rows in zip(("train", "validation", "test"), rows, strict=True):
        if timed and not n_rows:
            yield f"no row has a time in the {name} window"


def _is_predictable(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return False
    bounds = pc.min_max(column).as_py()
    return bounds["min"] != bounds["max"]


def _times(table: Table) -> np.ndarray:
    return table.data[table.time_col].to_numpy()


_CHECKS: tuple[Callable[[Table, Database], str | None], ...] = (
    _rows,
    _pkey,
    _fkeys,
    _time_order,
    _test_cut,
    _finite,
    _constant,
)
"""Each may rely on those before it, for all tables."""
