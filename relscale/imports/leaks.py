"""Columns and queries that would give a label away."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from relscale.generation.database import Table
from relscale.platform.errors import DataError

MIN_ROWS = 3
"""Fewer rows show no function."""


def later_than_row(table: Table, column: str) -> int:
    """Rows in which a time of the row lies after the row itself; 0 for a column that is no time."""
    if table.time_col in (None, column) or not pa.types.is_timestamp(table.data[column].type):
        return 0
    return pc.sum(pc.greater(table.data[column], table.data[table.time_col])).as_py() or 0


def giving_away(table: Table, target: str) -> list[str]:
    """Other feature columns of a table that a column is an exact function of.

    Numbers: by a straight line. All columns: each of its values, many of which repeat, goes with one value of
    the target alone.
    """
    target_codes, values = _codes(table.data[target])
    if len(values) < 2:
        return []
    found = []
    for column in table.features():
        if column == target:
            continue
        codes, _ = _codes(table.data[column])
        both = (codes >= 0) & (target_codes >= 0)
        n_pairs = len(np.unique(codes[both] * np.int64(len(values)) + target_codes[both]))
        n_seen, n_labels = len(np.unique(codes[both])), len(np.unique(target_codes[both]))
        is_function = n_labels > 1 and n_pairs == n_seen <= both.sum() / 2
        if is_function or _on_a_line(table.data[column], table.data[target]):
            found.append(column)
    return found


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, Any]:
    codes, values = pd.factorize(column.to_pandas())
    return codes.astype(np.int64), values


def _on_a_line(column: pa.ChunkedArray, target: pa.ChunkedArray) -> bool:
    if not all(pa.types.is_integer(c.type) or pa.types.is_floating(c.type) for c in (column, target)):
        return False
    x, y = (pc.fill_null(pc.cast(c, pa.float64()), np.nan).to_numpy() for c in (column, target))
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < MIN_ROWS or np.ptp(x[both]) == 0 or np.ptp(y[both]) == 0:
        return False
    return bool(abs(np.corrcoef(x[both], y[both])[0, 1]) > 1 - 1e-12)


def check_window(name: str, task: Any, moments: Iterable[pd.Timestamp]) -> str:
    """Ask a relbench task's query again with the database cut, at the end of its window and at its moment.

    moments : some of those that have labels.

    Returns
    -------
    A remark if labels are the same without any row of the future: then nothing is forecast.

    Raises
    ------
    DataError : a label changes with rows after its window.
    """
    database = task.get_db(upto_test_timestamp=False)
    foretold = True
    for moment in moments:
        whole = _labels(task, database, moment)
        within = _labels(task, database.upto(moment + task.timedelta), moment)
        if not whole.equals(within):
            raise DataError(
                f"task '{name}': labels at {moment} change with rows later than {moment + task.timedelta}, "
                "the end of their window; bound the query by :end."
            )
        foretold &= whole.equals(_labels(task, database.upto(moment), moment))
    return "its labels are known at their moment: nothing is forecast" if foretold else ""


def _labels(task: Any, database: Any, moment: pd.Timestamp) -> pd.Series:
    frame = task.make_table(database, pd.DatetimeIndex([moment])).df
    labels = frame.set_index(task.entity_col)[task.target_col].sort_index()
    # Sums of numbers differ in their last digits with the order in which they are added.
    return labels.astype(np.float64).round(6) if pd.api.types.is_numeric_dtype(labels) else labels
