"""Autocomplete tasks: the columns of a database that RelBench can ask to fill in, split in time.

A task is a manifest alone: RelBench 3 (`AutoCompleteTask`) derives its label tables from the database, train
up to the validation time, val up to the test time, test after it, and leaves out rows without a label.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relscale.generation.database import Database, Table

if TYPE_CHECKING:
    from relbench.manifest import TaskManifest

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def autocomplete_tasks(database: Database) -> list[TaskManifest]:
    """The tasks that a database offers, in the order of its tables and columns; named `<table>-<column>`.

    A boolean column is a binary classification if each of the three windows has both classes. A column of
    numbers is a regression if it varies in the train window and the others have a value of it. Only tables
    with a time column, which must be in order of time, can be split; names that RelBench's SQL would have to
    quote are passed over. No other column gives the label away, so `remove_columns` is empty.
    """
    from relbench.manifest import TaskManifest

    return [
        TaskManifest(
            name=f"{table.name}-{column}",
            kind="autocomplete",
            task_type=task_type,
            entity_table=table.name,
            target_col=column,
        )
        for table in database.tables.values()
        if is_plain(table.name, table.time_col, table.pkey or "primary_key")
        for column in table.features()
        if is_plain(column) and (task_type := _task_type(_windows(table, column, database)))
    ]


def is_plain(*names: str | None) -> bool:
    """Whether names can stand in file names and queries as they are."""
    return all(name is not None and _PLAIN_NAME.fullmatch(name) for name in names)


def _windows(table: Table, column: str, database: Database) -> list[pa.ChunkedArray]:
    """The column's rows up to the validation time, from there up to the test time, and after it."""
    splits = np.array([database.val_timestamp, database.test_timestamp], "datetime64[us]")
    val, test = np.searchsorted(table.data[table.time_col].to_numpy(), splits, side="right").tolist()
    values = table.data[column]
    return [values.slice(0, val), values.slice(val, test - val), values.slice(test)]


def _task_type(windows: list[pa.ChunkedArray]) -> str | None:
    kind = windows[0].type
    bounds = [pc.min_max(window).as_py() for window in windows] if _is_ordered(kind) else []
    if pa.types.is_boolean(kind):
        return "binary_classification" if all(b["min"] is False and b["max"] for b in bounds) else None
    if bounds and bounds[0]["min"] != bounds[0]["max"] and all(b["min"] is not None for b in bounds):
        return "regression"
    return None


def _is_ordered(kind: pa.DataType) -> bool:
    return pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
