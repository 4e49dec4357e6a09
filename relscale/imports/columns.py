"""Columns: which of the five types the values of a column have, and the values so read."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from relscale.imports.config import Kind
from relscale.imports.dates import parse_dates
from relscale.imports.keys import EMPTY
from relscale.imports.numbers import number_array, parse_booleans, parse_numbers
from relscale.platform.errors import DataError

MISREAD_SHARE = 0.02
"""Values of another form that a column may have, which become missing; with more it is text."""
PLACEHOLDERS = ("na", "n/a", "nan", "none", "null", "-", "--", "?", ".", "unknown", "0000-00-00", "nil")
"""Texts that stand for no value in a column of numbers, times or booleans, in small letters."""
CATEGORIES_AT_MOST = 50

_TIME_NAME = re.compile(r"date|day|time|stamp|_(at|on|ts)$|(?-i:[a-z](At|On)$)", re.IGNORECASE)
_MACHINE = r"^\{?[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?$|^[0-9a-fA-F]{24,}$"
_UNITS = {"s": (5e8, 4e9), "ms": (5e11, 4e12), "us": (5e14, 4e15)}
"""Whole numbers that are moments since 1970, of 1985 to 2096, by their unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A column as it is read.

    data : its values; None if it is left out.
    became : number, boolean, datetime, category, text, identifier or "left out".
    n_misread : values that were there and became missing.
    """

    data: pa.ChunkedArray | None
    became: str
    remarks: tuple[str, ...] = ()
    n_misread: int = 0

    def noting(self, remark: str) -> "Reading":
        """The same with one remark more."""
        return replace(self, remarks=(*self.remarks, remark))


def read_column(
    name: str,
    column: pa.ChunkedArray,
    *,
    where: str,
    stated: Kind | None = None,
    day_first: bool | None = None,
) -> Reading:
    """Find the type of a column and read it so.

    Parameters
    ----------
    where : the column in a message, such as "table 'orders', column 'sum'".
    stated : the type, if it is not to be guessed.
    day_first : whether 03/04/2020 is the third of April, if that is known.

    Raises
    ------
    DataError : values that the stated type has no place for; days and months that cannot be told apart.
    """
    column, remark = _simple(column)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return Reading(data=None, became="left out", remarks=("holds bytes",))
    texts = pa.types.is_large_string(column.type)
    if texts:
        column = _without_empty(column)
    if column.null_count == len(column):
        return Reading(data=None, became="left out", remarks=("holds no value",))
    if texts:
        reading = _read_texts(name, column, where, stated, day_first)
    else:
        reading = _read_values(name, column, where, stated, day_first)
    if remark:
        reading = reading.noting(remark)
    return reading.noting("one value only") if _is_constant(reading.data) else reading


def _simple(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """The column as int64, float64, bool, timestamp[us] in UTC, large_string or bytes; a remark."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _simple(pc.cast(column, kind.value_type))
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return pc.cast(column, pa.int64()), ""
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or kind == pa.uint64():
        return pc.cast(column, pa.float64(), safe=False), ""
    if pa.types.is_duration(kind):
        micros = pc.cast(pc.cast(column, pa.duration("us"), safe=False), pa.int64())
        return pc.divide(pc.cast(micros, pa.float64()), 1e6), "a duration, in seconds"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zone = getattr(kind, "tz", None)
        moments = pc.cast(column, pa.timestamp("us", zone and "UTC"), safe=False)
        return pc.cast(moments, pa.timestamp("us")), f"from {zone} to UTC" if zone not in (
            None,
            "UTC",
        ) else ""
    if pa.types.is_nested(kind):
        texts = [None if value is None else json.dumps(value, default=str) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.large_string())]), "a document, as its JSON text"
    if pa.types.is_boolean(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return column, ""
    if pa.types.is_fixed_size_binary(kind):
        return pc.cast(column, pa.binary()), ""
    return pc.cast(column, pa.large_string()), ""


def _without_empty(column: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(column)
    empty = pc.is_in(trimmed, pa.array(EMPTY, pa.large_string()))
    return pc.if_else(empty, pa.scalar(None, pa.large_string()), trimmed)


def _read_values(
    name: str, column: pa.ChunkedArray, where: str, stated: Kind | None, day_first: bool | None
) -> Reading:
    """A column whose source has a type for it."""
    kind = column.type
    if stated in ("category", "text"):
        return Reading(data=pc.cast(column, pa.large_string()), became=stated)
    if pa.types.is_integer(kind):
        return _read_integers(name, column, where, stated)
    fits = "number"
    if pa.types.is_boolean(kind):
        fits = "boolean"
    elif pa.types.is_timestamp(kind):
        fits = "datetime"
    if stated in (None, fits):
        return Reading(data=column, became=fits)
    return _read_texts(name, pc.cast(column, pa.large_string()), where, stated, day_first)


def _read_integers(name: str, column: pa.ChunkedArray, where: str, stated: Kind | None) -> Reading:
    low, high = (pc.min_max(column)[bound].as_py() for bound in ("min", "max"))
    if stated != "number" and (low, high) == (0, 1):
        return Reading(data=pc.cast(column, pa.bool_()), became="boolean", remarks=("written as 0 and 1",))
    if stated == "datetime" or (stated is None and _TIME_NAME.search(name)):
        moments, form = _integer_moments(column, low, high)
        if moments is not None:
            return Reading(data=moments, became="datetime", remarks=(form,))
    if stated in ("datetime", "boolean"):
        odd = high if stated == "boolean" and low in (0, 1) else low
        raise _misfit(where, stated, column, odd)
    return Reading(data=column, became="number")


def _integer_moments(column: pa.ChunkedArray, low: int, high: int) -> tuple[pa.ChunkedArray | None, str]:
    for unit, (first, last) in _UNITS.items():
        if first <= low and high <= last:
            moments = pc.cast(pc.cast(column, pa.timestamp(unit)), pa.timestamp("us"))
            return moments, f"{unit} since 1970"
    if low >= 19000101 and high <= 21001231:
        texts = pd.Series(pc.cast(column, pa.string()).to_pandas(), dtype=object)
        moments = pd.to_datetime(texts, format="%Y%m%d", errors="coerce")
        if moments.notna().sum() == len(column) - column.null_count:
            return pa.chunked_array([pa.array(moments.astype("datetime64[us]"))]), "written as YYYYMMDD"
    return None, ""


def _read_texts(
    name: str, column: pa.ChunkedArray, where: str, stated: Kind | None, day_first: bool | None
) -> Reading:
    """A column of texts: each distinct one is read once, as booleans, numbers or times if nearly all are."""
    if stated in ("category", "text"):
        return Reading(data=column, became=stated)
    encoded = pc.dictionary_encode(column).unify_dictionaries().combine_chunks()
    codes = encoded.indices
    texts = pd.Series(encoded.dictionary.to_pylist(), dtype=object)
    count = np.bincount(codes.drop_null().to_numpy(), minlength=len(texts))
    holds = ~texts.str.lower().isin(PLACEHOLDERS).to_numpy()
    worst: DataError | None = None
    for kind, parse in _parsers(name, column, where, stated, day_first):
        if stated not in (None, kind) or not holds.any():
            continue
        values, remark = parse(texts[holds].reset_index(drop=True))
        read = np.zeros(len(texts), dtype=bool)
        read[np.flatnonzero(holds)] = values.is_valid().to_numpy(zero_copy_only=False)
        n_misread = int(count[holds & ~read].sum())
        if n_misread <= MISREAD_SHARE * count[holds].sum() and read.any():
            place = np.full(len(texts), -1)
            place[holds] = np.arange(len(values))
            data = _taken(values, place, codes)
            return Reading(
                data=data,
                became=kind,
                remarks=tuple(filter(None, ("from text", remark, _missing(texts, count, holds, read)))),
                n_misread=n_misread,
            )
        worst = _misfit(where, kind, column, texts[holds & ~read].iloc[0]) if stated else None
    if worst is not None:
        raise worst
    if stated is not None:
        raise DataError(f"{where} is said to be {stated}, but holds no value of that kind; mend it.")
    return _read_words(column, texts, count)


_Parsed = tuple[pa.Array, str]


def _parsers(
    name: str, column: pa.ChunkedArray, where: str, stated: Kind | None, day_first: bool | None
) -> list[tuple[str, Callable[[pd.Series], _Parsed]]]:
    """The types a text may have, first to last; a parser gives values, null where a text has none."""

    def booleans(texts: pd.Series) -> _Parsed:
        values = parse_booleans(texts)
        if values is None:
            return pa.nulls(len(texts), pa.bool_()), ""
        words = "/".join(sorted(set(texts[values.notna()].str.lower())))
        return pa.array(values, pa.bool_(), from_pandas=True), f"written as {words}"

    def compact_dates(texts: pd.Series) -> _Parsed:
        if stated != "datetime" and not _TIME_NAME.search(name):
            return pa.nulls(len(texts), pa.timestamp("us")), ""
        values = pd.to_datetime(
            texts.where(texts.str.match(r"^(19|20)\d{6}$")), format="%Y%m%d", errors="coerce"
        )
        return pa.array(values.astype("datetime64[us]"), from_pandas=True), "written as YYYYMMDD"

    def numbers(texts: pd.Series) -> _Parsed:
        values, remark = parse_numbers(texts)
        return number_array(values), remark

    def dates(texts: pd.Series) -> _Parsed:
        found = parse_dates(texts, day_first)
        enough = found.moments.notna().mean() >= 1 - MISREAD_SHARE
        if found.unclear and (enough or stated == "datetime"):
            raise DataError(
                f"{where}, row {_row_of(column, found.unclear)} has '{found.unclear}', and no value tells "
                "whether the day comes first; state day_first: true or false for its table."
            )
        forms = " and ".join(found.forms)
        return pa.array(found.moments, from_pandas=True), f"written as {forms}"

    return [("boolean", booleans), ("datetime", compact_dates), ("number", numbers), ("datetime", dates)]


def _taken(values: pa.Array, place: np.ndarray, codes: pa.Array) -> pa.ChunkedArray:
    """The value of every row, from those of the distinct texts; null where a text has no place."""
    row = pc.take(pa.array(place, mask=place < 0), codes)
    return pa.chunked_array([pc.take(values, row)])


def _missing(texts: pd.Series, count: np.ndarray, holds: np.ndarray, read: np.ndarray) -> str:
    parts = []
    if misread := list(texts[holds & ~read][:3]):
        parts.append(f"{count[holds & ~read].sum()} made missing, such as {misread[0]!r}")
    if not holds.all():
        parts.append(f"{count[~holds].sum()} times {', '.join(map(repr, texts[~holds][:3]))} for missing")
    return "; ".join(parts)


def _misfit(where: str, kind: str, column: pa.ChunkedArray, value: object) -> DataError:
    row = _row_of(column, value)
    return DataError(
        f"{where} is said to be {kind}, but row {row} has {value!r}; mend that, or say otherwise in the "
        "import's file."
    )


def _row_of(column: pa.ChunkedArray, value: object) -> int:
    """The first row, from 1, that has a value."""
    return pc.index(column, pa.scalar(value, column.type)).as_py() + 1


def _read_words(column: pa.ChunkedArray, texts: pd.Series, count: np.ndarray) -> Reading:
    """Category, identifier or free text; identifiers that a machine made mean nothing and are left out."""
    n_values = int(count.sum())
    if len(texts) > 1 and texts.str.match(_MACHINE).all():
        return Reading(data=None, became="left out", remarks=("an identifier without meaning",))
    if len(texts) == n_values and n_values > 1 and not texts.str.contains(r"\s", regex=True).any():
        return Reading(data=column, became="identifier", remarks=("kept as text",))
    if len(texts) <= min(CATEGORIES_AT_MOST, n_values / 2):
        return Reading(data=column, became="category", remarks=(f"{len(texts)} values",))
    return Reading(data=column, became="text", remarks=(f"{len(texts)} values",))


def _is_constant(data: pa.ChunkedArray | None) -> bool:
    return data is not None and len(pc.unique(data.drop_null())) == 1
