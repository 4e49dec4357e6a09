"""Cells: typed columns of a table, their statistics, and their values row by row.

The type of a column follows from its Arrow type alone, never from its values:

    dictionary (a declared category, whatever its values)                   text
    integers, floats, decimals, durations (undeclared integer codes too)    number
    booleans                                                                boolean
    timestamps, dates                                                       datetime
    strings                                                                 text
    anything else (lists, bytes, structs, maps, times of day)               text of its Python form

A task's target column follows the task instead: boolean if binary, the number that its values are for a
regression, text where it has more classes. So no column of a table is dropped.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relscale.model.context import SemType
from relscale.model.source import microseconds
from relscale.platform.errors import DataError

ROUNDING = 1e-9
"""Differences below this share of a column's size are rounding noise: such a column is constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedColumn:
    """One column of n rows.

    values   float64 [n] raw number, 0/1 or microseconds; for text int32 [n], places in `strings`
    valid    bool [n], false where there is no cell: null, NaN or infinite
    strings  distinct texts; None for the other types
    """

    name: str
    sem_type: SemType
    values: np.ndarray
    valid: np.ndarray
    strings: pa.Array | None = None


def typed_column(name: str, column: pa.ChunkedArray) -> TypedColumn:
    """Give a column its type by the rule above; texts of Python forms are slow to make."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return text_column(name, column)
    valid = column.is_valid().to_numpy()
    if pa.types.is_boolean(kind):
        values = pc.fill_null(column, False).to_numpy().astype(np.float64)
        return TypedColumn(name=name, sem_type=SemType.BOOLEAN, values=values, valid=valid)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        values = microseconds(column).astype(np.float64)
        return TypedColumn(name=name, sem_type=SemType.DATETIME, values=values, valid=valid)
    if pa.types.is_duration(kind):
        column, kind = pc.cast(column, pa.int64()), pa.int64()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan).to_numpy()
        return TypedColumn(name=name, sem_type=SemType.NUMBER, values=values, valid=np.isfinite(values))
    return text_column(name, column)


def target_column(name: str, column: pa.ChunkedArray, task_type: str, *, where: str) -> TypedColumn:
    """Give a task's target column the type that the task says it has.

    Raises
    ------
    DataError : a binary target has more than two values, a regression's are no numbers; `where` names the
        task.
    """
    values = decoded(column)
    if task_type == "binary_classification":
        return as_boolean(typed_column(name, values), where=where)
    if task_type != "regression":
        return text_column(name, values)
    typed = typed_column(name, values)
    if typed.sem_type != SemType.NUMBER:
        kind = typed.sem_type.name.lower()
        raise DataError(f"{where} is a regression, but '{name}' is {kind}; correct its task_type.")
    return typed


def text_column(name: str, column: pa.ChunkedArray) -> TypedColumn:
    """A column of any type as text: strings as they are, other values in their Python form."""
    column = decoded(column)
    valid = column.is_valid().to_numpy()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        texts = [None if value is None else str(value) for value in column.to_pylist()]
        column = pa.chunked_array([pa.array(texts, pa.large_string())])
    encoded = pc.cast(column, pa.large_string()).combine_chunks().dictionary_encode()
    values = pc.fill_null(encoded.indices, 0).to_numpy()
    return TypedColumn(
        name=name, sem_type=SemType.TEXT, values=values, valid=valid, strings=encoded.dictionary
    )


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a dictionary column; other columns as they are."""
    kind = column.type
    return pc.cast(column, kind.value_type) if pa.types.is_dictionary(kind) else column


def as_boolean(column: TypedColumn, *, where: str) -> TypedColumn:
    """A binary target as a boolean column: true is 1, or the greater of two values.

    Raises
    ------
    DataError : the column has more than two values; `where` names the task.
    """
    if column.sem_type == SemType.BOOLEAN:
        return column
    values = column.values
    if column.strings is not None:
        values = pc.rank(column.strings, tiebreaker="first").to_numpy()[values].astype(np.float64)
    distinct = np.unique(values[column.valid])
    if len(distinct) > 2:
        raise DataError(
            f"{where} is a binary classification, but '{column.name}' has {len(distinct)} values; "
            "correct its task_type."
        )
    positive = distinct[1] if len(distinct) == 2 else 1.0
    return replace(
        column, sem_type=SemType.BOOLEAN, values=(values == positive).astype(np.float64), strings=None
    )


def statistics(column: TypedColumn, rows: np.ndarray) -> tuple[float, float]:
    """Mean and sample standard deviation of the raw values in `rows` (bool [n]).

    No other row counts, even where these hold too few values: a statistic of later rows would be a leak.
    An unknown deviation, or one that is rounding noise, becomes 1, an unknown mean 0; a boolean without a
    deviation gets 0.5 and 0.5, so that true stays positive and false negative.
    """
    values = column.values[column.valid & rows]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean()) if len(values) else 0.0
        std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    if np.isfinite(std) and std > ROUNDING * abs(mean):
        return mean, std
    return (0.5, 0.5) if column.sem_type == SemType.BOOLEAN else (mean if np.isfinite(mean) else 0.0, 1.0)


def datetime_statistics(parts: Sequence[np.ndarray]) -> tuple[float, float]:
    """Mean and population standard deviation over the datetime cells of a whole database."""
    values = np.concatenate([*parts, np.empty(0)])
    std = float(values.std()) if len(values) else 0.0
    return (float(values.mean()) if len(values) else 0.0), (std if std > 0 else 1.0)


def is_trainable(column: TypedColumn) -> bool:
    """Whether predicting the column can teach anything: a number or boolean with two different values."""
    values = column.values[column.valid]
    if column.sem_type not in (SemType.NUMBER, SemType.BOOLEAN) or len(values) < 2:
        return False
    low, high = float(values.min()), float(values.max())
    return high - low > ROUNDING * max(abs(low), abs(high))


def row_cells(
    columns: Sequence[TypedColumn], bits: Iterable[np.ndarray], n_rows: int, first_column: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cells of a table row by row.

    Parameters
    ----------
    bits : int32 [n_rows] per column; asked for one at a time, so that a generator holds one at a time.

    Returns
    -------
    int64 [n_rows] cells per row; int16 [C] column numbers, from `first_column`; int32 [C] bits.
    """
    count = np.zeros(n_rows, np.int64)
    for column in columns:
        count += column.valid
    free = np.cumsum(count) - count  # place of the next cell of each row
    cell_column, cell_bits = np.empty(count.sum(), np.int16), np.empty(count.sum(), np.int32)
    for number, (column, column_bits) in enumerate(zip(columns, bits, strict=True), start=first_column):
        place = free[column.valid]
        cell_column[place] = number
        cell_bits[place] = column_bits[column.valid]
        free += column.valid
    return count, cell_column, cell_bits
