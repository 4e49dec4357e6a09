"""From a source's tables to tables with typed columns and looked-up keys."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from relscale.imports.columns import Reading, read_column
from relscale.imports.config import ImportConfig, TableConfig
from relscale.imports.folder import read_folder
from relscale.imports.keys import link, unique_keys
from relscale.imports.raw import RawTable
from relscale.imports.tables import ReadTable
from relscale.platform.errors import DataError

_WORDY_SHARE = 0.9
"""Share of a text key's values without digits from which on it is taken for words, not for codes."""


def read_source(source: str, leave_out: frozenset[str]) -> tuple[list[RawTable], str, str]:
    """The tables of a folder, a SQLite file or a database URL; how the source is shown, and its name.

    DataError if it is none of these.
    """
    from relscale.imports.sql import is_sqlite_file, parse_url, read_sql, shown_url, sqlite_url

    if "://" in source:
        url = parse_url(source)
        return read_sql(url, leave_out), shown_url(url), Path(url.database or "database").stem
    path = Path(source).expanduser()
    if path.is_dir():
        return read_folder(path, leave_out), str(path), path.resolve().name
    if is_sqlite_file(path):
        return read_sql(sqlite_url(path), leave_out), str(path), path.stem
    if not path.exists():
        raise DataError(
            f"'{path}' does not exist; give a folder of CSV or Parquet files, a SQLite file, or a URL such "
            "as postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    raise DataError(f"'{path}' is no SQLite file; give one, or the folder that holds a file per table.")


def read_tables(raw: Mapping[str, RawTable], config: ImportConfig) -> dict[str, ReadTable]:
    """Read every column and look every foreign key up.

    Raises
    ------
    DataError : keys that are empty or occur twice, a foreign key without any match, an unreadable column.
    """
    indexes: dict[tuple[str, tuple[str, ...]], pd.Index] = {}
    for table in raw.values():
        if table.primary_key:
            indexes[table.name, table.primary_key] = unique_keys(table, table.primary_key)
    for table in raw.values():
        for key in table.foreign_keys:
            at = (key.parent, key.parent_columns)
            if at not in indexes:
                indexes[at] = unique_keys(raw[key.parent], key.parent_columns)
    return {
        name: _read_table(table, config.tables.get(name, TableConfig()), indexes)
        for name, table in raw.items()
    }


def _read_table(
    table: RawTable,
    config: TableConfig,
    indexes: Mapping[tuple[str, tuple[str, ...]], pd.Index],
) -> ReadTable:
    linked = {column for key in table.foreign_keys for column in key.columns}
    own = table.primary_key if len(table.primary_key) == 1 else ()

    def read(column: str) -> Reading:
        return read_column(
            column,
            table.data[column],
            where=f"table '{table.name}', column '{column}'",
            stated=config.types.get(column, "datetime" if column == config.time_col else None),
            day_first=config.day_first,
        )

    return ReadTable(
        raw=table,
        readings={c: read(c) for c in table.data.column_names if c not in linked and c not in own},
        links=tuple(link(table, key, indexes[key.parent, key.parent_columns]) for key in table.foreign_keys),
        pkey_value=_meaning(read(own[0])) if own and own[0] not in linked else None,
    )


def _meaning(reading: Reading) -> Reading | None:
    """What the values of a primary key say besides: a day, or words; numbers and codes say nothing."""
    if reading.data is None or reading.became in ("number", "boolean"):
        return None
    if reading.became != "datetime":
        texts = reading.data.to_pandas().dropna().astype(object)
        if (~texts.str.contains(r"\d", regex=True)).mean() < _WORDY_SHARE:
            return None
    return reading.noting("what the key says")
