"""When rows came to be: the time column of each table, and where training, validation and test part."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow.compute as pc

from relscale.imports.columns import Reading
from relscale.imports.config import AUTO, ImportConfig, SplitConfig, TableConfig
from relscale.imports.keys import Link
from relscale.platform.errors import DataError

_NOT_A_ROWS_TIME = re.compile(r"birth|dob$|^born|death|expir|due|deadline", re.IGNORECASE)
_DAYS_FOR_DATES = 10
"""A database that spans as many days is split at midnight: the official preprocessor reads dates only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTimes:
    """The time of every row of a table.

    values : datetime64[us] [n], NaT where unknown.
    column : the column of the table that holds it; None if it is that of parent rows.
    how : where it comes from, for the reader.
    """

    values: np.ndarray
    column: str | None
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What the choice of a table's time needs: its columns as read, and the rows that its rows refer to."""

    readings: Mapping[str, Reading]
    links: Sequence[Link]


def row_times(tables: Mapping[str, Timed], config: ImportConfig) -> dict[str, RowTimes]:
    """The times of the tables that have them.

    A table without a time column of its own came to be when the latest of its parents did, or later: it takes
    that time if all of its rows have it. Rows that were always there would show the future of their parents.

    Raises
    ------
    DataError : several time columns are plausible in a table and none is stated, a stated one is no time.
    """
    chosen: dict[str, RowTimes] = {}
    unclear: dict[str, list[str]] = {}
    for name, table in tables.items():
        settings = config.tables.get(name, TableConfig())
        candidates = [settings.time_col] if settings.time_col != AUTO else _plausible(table, settings, config)
        if len(candidates) > 1:
            unclear[name] = [str(column) for column in candidates]
        elif candidates and candidates[0] in table.readings:
            chosen[name] = _own(name, str(candidates[0]), table.readings[str(candidates[0])])
    if unclear:
        each = "; ".join(f"{name} ({', '.join(columns)})" for name, columns in unclear.items())
        raise DataError(
            f"several columns may be the time of a row: {each}; state tables.TABLE.time_col (null: none), or "
            "the names to prefer as time_cols, in the import's file."
        )
    done = set(chosen)
    for name in tables:
        _inherit(name, tables, config, chosen, done)
    return {name: chosen[name] for name in tables if name in chosen}


def _plausible(table: Timed, settings: TableConfig, config: ImportConfig) -> list[str | None]:
    columns: list[str | None] = [
        name
        for name, reading in table.readings.items()
        if reading.became == "datetime"
        and reading.data is not None
        and not reading.data.null_count
        and not _NOT_A_ROWS_TIME.search(name)
        and name not in settings.known_ahead
    ]
    preferred: list[str | None] = [name for name in config.time_cols if name in columns]
    return preferred[:1] or columns


def _own(name: str, column: str, reading: Reading) -> RowTimes:
    if reading.became != "datetime" or reading.data is None:
        raise DataError(
            f"table '{name}': time_col '{column}' is {reading.became}, not a time; name another column, or "
            f"state types: {{{column}: datetime}}."
        )
    values = pc.fill_null(pc.cast(reading.data, "int64"), np.iinfo(np.int64).min).to_numpy()
    return RowTimes(values=values.view("datetime64[us]"), column=column, how=f"column '{column}'")


def _inherit(
    name: str,
    tables: Mapping[str, Timed],
    config: ImportConfig,
    chosen: dict[str, RowTimes],
    done: set[str],
) -> None:
    """Give a table its parents' latest time, after they have theirs; a cycle of keys is cut where entered."""
    if name in done:
        return
    done.add(name)
    stated = config.tables.get(name, TableConfig()).time_col
    if stated is None:
        return
    found, through = None, []
    for link in tables[name].links:
        if stated not in (AUTO, *link.key.columns):
            continue
        _inherit(link.key.parent, tables, config, chosen, done)
        if link.key.parent == name or link.key.parent not in chosen:
            continue
        parent = chosen[link.key.parent].values
        values = np.where(link.rows >= 0, parent[link.rows], np.datetime64("NaT", "us"))
        found = values if found is None else np.fmax(found, values)
        through.append(f"'{link.key.parent}' by '{', '.join(link.key.columns)}'")
    if found is None:
        if stated != AUTO:
            raise DataError(
                f"table '{name}': time_col '{stated}' is neither a time nor a foreign key to a table with "
                "one; name another column."
            )
        return
    if stated != AUTO or not np.isnat(found).any():
        latest = "the latest of " if len(through) > 1 else ""
        chosen[name] = RowTimes(values=found, column=None, how=f"{latest}{' and '.join(through)}")


def split_times(
    times: Sequence[np.ndarray], split: SplitConfig, window: np.timedelta64
) -> tuple[datetime, datetime]:
    """The validation and the test timestamp.

    Parameters
    ----------
    times : of all rows that have one, by table.
    window : the longest of the tasks; shares of rows give way, so that one fits after each timestamp.

    Raises
    ------
    DataError : no table has a time, or there is none between the first row and the timestamps.
    """
    if not times:
        raise DataError(
            "no table has a time column, so nothing separates training from test; state one as "
            "tables.TABLE.time_col in the import's file."
        )
    moments = np.sort(np.concatenate(times))
    first, last = moments[0], moments[-1]
    if isinstance(split.val, datetime) and isinstance(split.test, datetime):
        val, test = (np.datetime64(_naive(moment), "us") for moment in (split.val, split.test))
        where = "the split stated"
    else:
        unit = "D" if last - first >= np.timedelta64(_DAYS_FOR_DATES, "D") else "s"
        at_val, at_test = (
            moments[int(float(share) * (len(moments) - 1))]  # type: ignore[arg-type]
            for share in (split.val, split.test)
        )
        test = min(at_test, last - window).astype(f"datetime64[{unit}]").astype("datetime64[us]")
        val = min(at_val, test - window).astype(f"datetime64[{unit}]").astype("datetime64[us]")
        where = "a split by shares of the rows"
    if not first <= val < test < last:
        raise DataError(
            f"the rows lie between {first} and {last}; {where} would put validation at {val} and test at "
            f"{test}, with a window of {window.astype('timedelta64[h]')}: state split.val and split.test, or "
            "a shorter window."
        )
    return val.item(), test.item()


def _naive(moment: datetime) -> datetime:
    from datetime import UTC

    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
