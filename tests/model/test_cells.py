"""Types and statistics of columns."""

from datetime import date, time, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from relscale.model.cells import (
    as_boolean,
    datetime_statistics,
    is_trainable,
    row_cells,
    statistics,
    target_column,
    typed_column,
)
from relscale.model.context import SemType
from relscale.platform.errors import DataError


def _column(array: pa.Array):
    return typed_column("x", pa.chunked_array([array[:1], array[1:]]))


@pytest.mark.parametrize(
    ("array", "sem_type", "values"),
    [
        (pa.array([1, None, 3], pa.uint8()), SemType.NUMBER, [1, 3]),
        (pa.array([1.5, float("nan"), float("inf")]), SemType.NUMBER, [1.5]),
        (pa.array([Decimal("1.25"), None]), SemType.NUMBER, [1.25]),
        (pa.array([timedelta(seconds=2), None], pa.duration("s")), SemType.NUMBER, [2]),
        (pa.array([True, None, False]), SemType.BOOLEAN, [1, 0]),
        (pa.array([date(1970, 1, 2), None]), SemType.DATETIME, [86400e6]),
        (pa.array([10**9 + 1, None], pa.timestamp("ns", "UTC")), SemType.DATETIME, [10**6]),
        (pa.array([3, None, 7], pa.int8()), SemType.NUMBER, [3, 7]),  # codes that nobody declared
        (pa.array([1.5, None], pa.float16()), SemType.NUMBER, [1.5]),
    ],
)
def test_scalar_types(array: pa.Array, sem_type: SemType, values: list):
    column = _column(array)
    assert column.sem_type == sem_type
    assert column.values[column.valid].tolist() == values


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array(["b", None, "a", "b", ""]), ["b", "a", "b", ""]),
        (pa.array(["b", None, "b"]).dictionary_encode(), ["b", "b"]),
        (pa.array(["b", None], pa.large_string()), ["b"]),
        (pa.array([3, None, 3, 10]).dictionary_encode(), ["3", "3", "10"]),  # declared codes
        (pa.array([True, None, False]).dictionary_encode(), ["True", "False"]),
        (pa.array([[1, 2], None, []]), ["[1, 2]", "[]"]),
        (pa.array([b"ab", None]), ["b'ab'"]),
        (pa.array([{"a": 1}, None]), ["{'a': 1}"]),
        (pa.array([time(12, 30), None]), ["12:30:00"]),
        (pa.nulls(3), []),
    ],
)
def test_text_types(array: pa.Array, texts: list[str]):
    column = _column(array)
    assert column.sem_type == SemType.TEXT
    assert column.strings is not None
    assert column.strings.take(pa.array(column.values[column.valid])).to_pylist() == texts


def test_statistics_are_of_the_chosen_rows():
    column = _column(pa.array([1.0, 3.0, None, 1000.0]))
    assert statistics(column, np.array([True, True, True, False])) == (2.0, pytest.approx(2**0.5))
    assert statistics(column, np.array([True, False, False, False])) == (1.0, 1.0), "never the later rows"
    assert statistics(column, np.zeros(4, bool)) == (0.0, 1.0)


@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_constant_so_far_keeps_the_sign_of_its_values(value: bool):
    column = _column(pa.array([value, value, not value]))
    mean, std = statistics(column, np.array([True, True, False]))
    scores = (column.values - mean) / std
    assert ((scores > 0) == [value, value, not value]).all()


def test_degenerate_statistics_are_finite():
    every = np.ones(2, bool)
    assert statistics(_column(pa.array([7, 7])), every) == (7.0, 1.0)
    assert statistics(_column(pa.array([None, None], pa.float64())), every) == (0.0, 1.0)
    assert statistics(_column(pa.array([1e308, -1e308])), every) == (0.0, 1.0)
    nearly = _column(pa.array([0.1 + 0.2, 0.3]))
    assert statistics(nearly, every) == (pytest.approx(0.3), 1.0) and not is_trainable(nearly)
    assert datetime_statistics([]) == (0.0, 1.0)
    assert datetime_statistics([np.array([1.0]), np.array([3.0])]) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("array", "positive"),
    [
        (pa.array([0, 1, None, 1]), [1, 3]),
        (pa.array([3, 7, 3]), [1]),
        (pa.array(["no", "yes", None]), [1]),
        (pa.array([0, 0]), []),
        (pa.array([1.0, 1.0]), [0, 1]),
    ],
)
def test_binary_targets_become_boolean(array: pa.Array, positive: list[int]):
    column = as_boolean(_column(array), where="task 't'")
    assert column.sem_type == SemType.BOOLEAN
    assert np.flatnonzero((column.values > 0) & column.valid).tolist() == positive


@pytest.mark.parametrize(
    ("array", "task_type", "sem_type"),
    [
        (pa.array([10, None, 2]), "binary_classification", SemType.BOOLEAN),
        (pa.array([10, None, 2]).dictionary_encode(), "binary_classification", SemType.BOOLEAN),
        (pa.array([10, None, 2]).dictionary_encode(), "regression", SemType.NUMBER),
        (pa.array([10, None, 2]), "multiclass_classification", SemType.TEXT),
        (pa.array([[1], None, [1, 2]]), "multilabel_classification", SemType.TEXT),
    ],
)
def test_a_target_has_the_type_of_its_task(array: pa.Array, task_type: str, sem_type: SemType):
    column = target_column("x", pa.chunked_array([array]), task_type, where="task 't'")
    assert column.sem_type == sem_type
    assert column.valid.tolist() == [True, False, True]
    if sem_type == SemType.BOOLEAN:  # by value, also where they are declared categories: 2 < 10
        assert column.values.tolist() == [1, 0, 0]


def test_a_binary_target_with_three_values_is_refused():
    with pytest.raises(DataError, match="task 't' is a binary classification, but 'x' has 3 values"):
        as_boolean(_column(pa.array([1, 2, 3])), where="task 't'")


def test_only_varying_scalars_are_trainable():
    assert is_trainable(_column(pa.array([1, 2])))
    assert is_trainable(_column(pa.array([True, False, None])))
    assert not is_trainable(_column(pa.array([5, 5, None])))
    assert not is_trainable(_column(pa.array(["a", "b"])))
    assert not is_trainable(_column(pa.array([date(1970, 1, 2), date(1970, 1, 3)])))


def test_cells_come_row_by_row_without_nulls():
    columns = [_column(pa.array([1, None, 3])), _column(pa.array([None, None, True]))]
    counts, numbers, bits = row_cells(columns, [np.array([10, 0, 30]), np.array([0, 0, 31])], 3, 5)
    assert (counts.dtype, numbers.dtype, bits.dtype) == (np.int64, np.int16, np.int32)
    assert counts.tolist() == [1, 0, 2]
    assert numbers.tolist() == [5, 5, 6]
    assert bits.tolist() == [10, 30, 31]
