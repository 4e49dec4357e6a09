"""Types of columns, from the values that sources really hold."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relscale.imports.columns import read_column
from relscale.imports.dates import parse_dates
from relscale.imports.names import plain_names
from relscale.platform.errors import DataError


def read(values, name="x", **options):
    column = pa.chunked_array([pa.array(values)])
    return read_column(name, column, where=f"table 't', column '{name}'", **options)


@pytest.mark.parametrize(
    ("values", "became", "expected"),
    [
        (["1", "2", "", "NA"], "number", [1, 2, None, None]),
        (["1.5", "2", "-"], "number", [1.5, 2.0, None]),
        (["1,234", "5", "6,000"], "number", [1234, 5, 6000]),
        (["1.234,5", "12,25"], "number", [1234.5, 12.25]),
        (["$1,234.50", "$5.00"], "number", [1234.5, 5.0]),
        (["10 %", "5 %"], "number", [10, 5]),
        (["1.234", "5.5"], "number", [1.234, 5.5]),
        ([Decimal("1.50"), None], "number", [1.5, None]),
        ([timedelta(seconds=90), timedelta(seconds=1)], "number", [90.0, 1.0]),
        (["t", "f", "T"], "boolean", [True, False, True]),
        (["0", "1"], "boolean", [False, True]),
        ([0, 1, None], "boolean", [False, True, None]),
        ([0, 1, 2], "number", [0, 1, 2]),
        (["2020-01-05", "06.01.2020", "2020/1/7 10:30"], "datetime", [5, 6, 7]),
        (["5 Jan 2020", "January 6, 2020 3:05 PM"], "datetime", [5, 6]),
        (["13/01/2020", "03/01/2020"], "datetime", [13, 3]),
        (["01/13/2020", "01/03/2020"], "datetime", [13, 3]),
        ([date(2020, 1, 5), None], "datetime", [5, None]),
        ([datetime(2020, 1, 5, 23, tzinfo=UTC)], "datetime", [5]),
        (["red", "blue", "red", "blue"], "category", ["red", "blue", "red", "blue"]),
        (["00501", "10001", "00501"], "text", ["00501", "10001", "00501"]),
        (["ab1", "ab2"], "identifier", ["ab1", "ab2"]),
        ([{"a": 1}, {"a": 2}], "text", ['{"a": 1}', '{"a": 2}']),
    ],
)
def test_types_follow_from_values(values, became, expected):
    reading = read(values)
    found = reading.data.to_pylist()
    if became == "datetime":
        found = [value and value.day for value in found]
    assert (reading.became, found) == (became, expected)


@pytest.mark.parametrize("values", [[None, None], ["", "\\N"], [b"1"], [f"{i:032x}" for i in range(3)]])
def test_columns_without_meaning_are_left_out(values):
    reading = read(values)
    assert reading.data is None and reading.became == "left out" and reading.remarks


@pytest.mark.parametrize(
    ("name", "values", "day"),
    [
        ("created_at", [1600000000, 1600000001], 13),
        ("createdAt", [1600000000000], 13),
        ("sale_date", [20200105], 5),
        ("sale_date", ["20200105"], 5),
    ],
)
def test_whole_numbers_are_times_where_the_name_says_so(name, values, day):
    reading = read(values, name=name)
    assert reading.became == "datetime" and reading.data[0].as_py().day == day
    assert read(values, name="code").became == "number"


def test_a_few_values_of_another_form_become_missing_and_are_counted():
    reading = read([str(i) for i in range(99)] + ["soon"])
    assert (reading.became, reading.n_misread, reading.data.null_count) == ("number", 1, 1)
    assert "1 made missing, such as 'soon'" in reading.remarks
    assert read([str(i) for i in range(9)] + ["soon"]).data.type == pa.large_string()


def test_a_stated_type_is_kept():
    assert read([1, 2], stated="category").data.to_pylist() == ["1", "2"]
    assert read([0, 1], stated="number").became == "number"
    assert read(["03/04/2020"], day_first=True).data[0].as_py() == datetime(2020, 4, 3)


@pytest.mark.parametrize(
    ("values", "options", "sentence"),
    [
        (["1", "abc"], {"stated": "number"}, "is said to be number, but row 2 has 'abc'"),
        ([3, 4], {"stated": "boolean"}, "is said to be boolean, but row 1 has 3"),
        (["03/04/2020"], {}, "row 1 has '03/04/2020', and no value tells whether the day comes first"),
    ],
)
def test_what_cannot_be_read_is_refused_by_table_and_column(values, options, sentence):
    with pytest.raises(DataError, match="table 't', column 'x'") as refused:
        read(values, **options)
    assert sentence in str(refused.value)


@settings(deadline=None)
@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)))
def test_dates_are_read_back_from_every_form(moment):
    moment = moment.replace(microsecond=0)
    forms = ("%Y-%m-%dT%H:%M:%SZ", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d %b %Y %I:%M:%S %p")
    texts = pd.Series([moment.strftime(form) for form in forms], dtype=object)
    assert (parse_dates(texts).moments == pd.Timestamp(moment)).all()


def test_days_that_no_calendar_has_are_none():
    assert (
        parse_dates(pd.Series(["2020-02-30", "2020-01-01 25:00", "0000-00-00"], dtype=object))
        .moments.isna()
        .all()
    )


@given(st.lists(st.text(max_size=6), max_size=8))
def test_names_become_plain_and_stay_different(names):
    plain = plain_names(names, reserved=["timestamps"])
    assert all(name.isidentifier() for name in plain)
    assert len({name.casefold() for name in [*plain, "timestamps"]}) == len(names) + 1
