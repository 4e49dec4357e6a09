"""Stage 1 from SQL: the schema that a text declares, in place of a random one."""

import functools
import graphlib
import itertools
from pathlib import Path

import numpy as np

from relscale.generation.config import GeneratorConfig
from relscale.generation.draws import draw_count
from relscale.generation.schema import ColumnSpec, ForeignKey, Schema, TableSpec
from relscale.generation.sql import SqlColumn, SqlKey, SqlTable, parse_sql
from relscale.generation.sql_statements import read_sql_file
from relscale.platform.config import Config, parse_config
from relscale.platform.errors import ConfigError


@functools.lru_cache(maxsize=8)  # a corpus asks for the same text once for each database
def read_declaration(text: str, *, as_shape: bool = False) -> tuple[SqlTable, ...]:
    """The tables that SQL text declares, checked against each other.

    as_shape : whether foreign keys may lead to their own table, and tables with a primary key of several
        columns count as having none.

    Raises
    ------
    ConfigError : the text cannot be read (see `parse_sql`), a foreign key refers to what is not there, a
        table refers to itself and may not, or foreign keys form a cycle.
    """
    tables = parse_sql(text, composite_pkeys=as_shape)
    by_name = {table.name.lower(): table for table in tables}
    for table in tables:
        for key in table.fkeys:
            _check_key(table, key, by_name, as_shape)
    _check_cycles(tables, by_name)
    return tables


def with_sql_schema(config: Config, path: Path) -> Config:
    """The configuration with the SQL text of a file as its schema; ConfigError names what is wrong."""
    settings = {**config.model_dump(), "sql_schema": read_sql_file(path)}
    return parse_config(type(config), settings, source=f"'{path}'")


def declared_schema(config: GeneratorConfig, *, rng: np.random.Generator) -> Schema:
    """The schema that `config.sql_schema` declares; row counts, and the classes of texts, are drawn.

    Tables that others refer to are entity tables, all others activity tables; their time column is the
    first date or timestamp, or one that is added. A table without a primary key gets one, and so does one
    whose primary key is a foreign key: the latter stays a foreign key, without repeated values.
    """
    tables = read_declaration(config.sql_schema)
    numbers = {table.name.lower(): number for number, table in enumerate(tables)}
    referenced = {numbers[key.parent.lower()] for table in tables for key in table.fkeys}
    rows = [
        draw_count(config.rows_entity if t in referenced else config.rows_activity, rng=rng)
        for t in range(len(tables))
    ]
    parents = {
        t: [numbers[key.parent.lower()] for key in table.fkeys if _column(table, key.column).is_unique]
        for t, table in enumerate(tables)
    }
    for t in graphlib.TopologicalSorter(parents).static_order():
        rows[t] = min([rows[t], *(rows[p] for p in parents[t])])  # one row at most for each parent row
    return Schema(
        tables=tuple(
            _table_spec(table, rows[t], numbers, is_activity=t not in referenced, config=config, rng=rng)
            for t, table in enumerate(tables)
        )
    )


def _table_spec(
    table: SqlTable,
    n_rows: int,
    numbers: dict[str, int],
    *,
    is_activity: bool,
    config: GeneratorConfig,
    rng: np.random.Generator,
) -> TableSpec:
    names = [column.name for column in table.columns]
    fkeys = tuple(
        ForeignKey(
            name=key.column,
            parent=numbers[key.parent.lower()],
            nullable=_column(table, key.column).domain.nullable,
            unique=_column(table, key.column).is_unique,
        )
        for key in table.fkeys
    )
    layout, pkey = list(names), table.pkey
    if pkey is None or pkey in {key.name for key in fkeys}:
        pkey = new_name("row_idx", names)
        layout.insert(0, pkey)
    features = [c for c in table.columns if c.name not in {pkey, *(key.name for key in fkeys)}]
    moments = [c for c in features if c.domain.kind in ("date", "timestamp")]
    time = moments[0] if is_activity and moments else None
    time_col = time.name if time else new_name("date", names)
    if is_activity and time is None:
        layout.append(time_col)
    return TableSpec(
        name=table.name,
        n_rows=n_rows,
        fkeys=fkeys,
        columns=tuple(
            ColumnSpec(name=c.name, n_categories=c.domain.sample_classes(config, rng=rng), domain=c.domain)
            for c in features
            if c is not time
        ),
        is_activity=is_activity,
        pkey=pkey,
        time_col=time_col,
        whole_days=time is not None and time.domain.kind == "date",
        layout=tuple(layout),
    )


def _column(table: SqlTable, name: str) -> SqlColumn:
    return next(column for column in table.columns if column.name == name)


def new_name(wish: str, taken: list[str]) -> str:
    """`wish`, with a number behind it if a column is called so already."""
    lower = {name.lower() for name in taken}
    candidates = (wish if n == 0 else f"{wish}_{n}" for n in range(len(lower) + 1))
    return next(name for name in candidates if name not in lower)


def _check_key(table: SqlTable, key: SqlKey, by_name: dict[str, SqlTable], as_shape: bool) -> None:
    where = f"the SQL schema, line {key.line}: column '{table.name}.{key.column}' refers to"
    parent = by_name.get(key.parent.lower())
    if parent is None:
        known = ", ".join(t.name for t in by_name.values())
        raise ConfigError(f"{where} the table '{key.parent}', which is not declared; declared are: {known}.")
    names = [column.name for column in parent.columns]
    if key.parent_column and key.parent_column.lower() not in {name.lower() for name in names}:
        raise ConfigError(
            f"{where} '{parent.name}.{key.parent_column}', which is not declared; '{parent.name}' has: "
            f"{', '.join(names)}."
        )
    if parent is table and not as_shape:
        raise ConfigError(
            f"{where} its own table; self-references are not supported, so leave out that foreign key."
        )


def _check_cycles(tables: tuple[SqlTable, ...], by_name: dict[str, SqlTable]) -> None:
    parents = {
        table.name: {by_name[key.parent.lower()].name for key in table.fkeys} - {table.name}
        for table in tables
    }
    try:
        graphlib.TopologicalSorter(parents).prepare()
    except graphlib.CycleError as error:
        cycle = error.args[1]  # each a parent of the next
        steps = []
        for parent, child in itertools.pairwise(cycle):
            fkeys = by_name[child.lower()].fkeys
            column = next(key.column for key in fkeys if key.parent.lower() == parent.lower())
            steps.append(f"{child}.{column} -> {parent}")
        raise ConfigError(
            f"the SQL schema: foreign keys form a cycle ({', '.join(reversed(steps))}), so no table can be "
            "filled first; leave out one of them."
        ) from None
