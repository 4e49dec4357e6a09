"""What the import's file adds to the source: keys, and what to leave out; every name is checked."""

import dataclasses
from collections.abc import Mapping, Sequence

from relscale.imports.config import AUTO, ImportConfig, TableConfig
from relscale.imports.raw import RawKey, RawTable, unknown_name
from relscale.platform.errors import DataError

_EXAMPLE = "tables: {orders: {primary_key: order_id, foreign_keys: {customer_id: customers}}}"


def declare(tables: Sequence[RawTable], config: ImportConfig) -> tuple[dict[str, RawTable], list[str]]:
    """The tables with the keys that the file gives them, by name, and notes on keys that were let go.

    Raises
    ------
    ConfigError : the file names a table or column that is not there.
    DataError : there are several tables and not one key; a table that a key refers to has no primary key.
    """
    named = {table.name: table for table in tables}
    for name in config.tables:
        if name not in named:
            raise unknown_name("the source", "table", name, named)
    declared = {
        name: _declare_table(table, config.tables.get(name, TableConfig()), named)
        for name, table in named.items()
    }
    if len(declared) > 1 and not any(table.foreign_keys for table in declared.values()):
        raise DataError(
            "no table states a primary key or a foreign key that would link the tables; give them by "
            f"--config-file, a YAML file such as {_EXAMPLE}."
        )
    notes: list[str] = []
    return {name: _with_parents(table, declared, notes) for name, table in declared.items()}, notes


def _declare_table(table: RawTable, config: TableConfig, tables: Mapping[str, RawTable]) -> RawTable:
    keys = {key.columns: key for key in table.foreign_keys}
    for child, target in config.foreign_keys.items():
        columns = _split(child)
        keys.pop(columns, None)
        if target is not None:
            parent, _, parent_columns = target.partition(".")
            keys[columns] = RawKey(columns=columns, parent=parent, parent_columns=_split(parent_columns))
            _check_parent(table.name, keys[columns], tables)
    primary_key = table.primary_key if config.primary_key is None else config.primary_key
    for column in (*primary_key, *_named_columns(config), *(c for columns in keys for c in columns)):
        if column not in table.data.column_names:
            raise unknown_name(f"table '{table.name}'", "column", column, table.data.column_names)
    return dataclasses.replace(
        table,
        data=table.data.drop_columns(list(config.drop)),
        primary_key=() if set(primary_key) & set(config.drop) else primary_key,
        foreign_keys=tuple(key for key in keys.values() if not set(key.columns) & set(config.drop)),
    )


def _named_columns(config: TableConfig) -> list[str]:
    time_col = [] if config.time_col in (None, AUTO) else [str(config.time_col)]
    declared = (column for key in config.foreign_keys for column in _split(key))
    return [*declared, *config.drop, *config.types, *config.known_ahead, *time_col]


def _check_parent(name: str, key: RawKey, tables: Mapping[str, RawTable]) -> None:
    where = f"the foreign key '{', '.join(key.columns)}' of table '{name}': the source"
    if key.parent not in tables:
        raise unknown_name(where, "table", key.parent, tables)
    for column in key.parent_columns:
        if column not in tables[key.parent].data.column_names:
            known = tables[key.parent].data.column_names
            raise unknown_name(f"table '{key.parent}'", "column", column, known)


def _with_parents(table: RawTable, tables: Mapping[str, RawTable], notes: list[str]) -> RawTable:
    """The table with the columns that its keys refer to written out, without keys to tables left out."""
    keys: list[RawKey] = []
    lost: list[str] = []
    for key in table.foreign_keys:
        columns = ", ".join(key.columns)
        if key.parent not in tables:
            lost += key.columns
            notes.append(f"{table.name}.{columns}: left out, as it refers to '{key.parent}', not imported.")
            continue
        parent_columns = key.parent_columns or tables[key.parent].primary_key
        if not parent_columns:
            raise DataError(
                f"table '{key.parent}' has no primary key, but '{columns}' of table '{table.name}' refers to "
                f"it; name one as tables.{key.parent}.primary_key in the import's file."
            )
        if len(parent_columns) != len(key.columns):
            raise DataError(
                f"the foreign key '{columns}' of table '{table.name}' has {len(key.columns)} columns, but "
                f"'{key.parent}' is told by {', '.join(parent_columns)}; name as many."
            )
        keys.append(dataclasses.replace(key, parent_columns=parent_columns))
    kept = {column for key in keys for column in key.columns} | set(table.primary_key)
    return dataclasses.replace(
        table,
        data=table.data.drop_columns([c for c in dict.fromkeys(lost) if c not in kept]),
        foreign_keys=tuple(keys),
    )


def _split(columns: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in columns.split(",") if part.strip())
