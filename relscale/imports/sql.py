"""Tables from an SQL database, their keys from its catalogue (SQLAlchemy reflection); nothing is written."""

import datetime
import decimal
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from relscale.imports.raw import RawKey, RawTable, is_text
from relscale.platform.errors import DataError, ResourceError

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}
_SQLITE_MAGIC = b"SQLite format 3\0"
_ROWS_AT_ONCE = 50_000
_PLAIN = (bool, int, float, str, bytes, decimal.Decimal, datetime.date, datetime.time, datetime.timedelta)


class _NotText(bytes):
    """A text of SQLite, which checks none, that is not UTF-8."""


def _text_or_bytes(raw: bytes) -> str | bytes:
    return raw.decode("utf-8") if is_text(raw) else _NotText(raw)


def is_sqlite_file(path: Path) -> bool:
    """Whether a file begins as SQLite databases do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC


def sqlite_url(path: Path) -> sa.URL:
    """The URL that opens a SQLite file for reading only."""
    return sa.URL.create("sqlite", database=f"file:{path.resolve()}", query={"mode": "ro", "uri": "true"})


def parse_url(source: str) -> sa.URL:
    """A database's URL with the driver that relscale brings; DataError without the text of a wrong one."""
    try:
        url = sa.make_url(source)
    except (ArgumentError, ValueError):
        raise DataError(
            "the source is no database URL; expected the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        ) from None
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def shown_url(url: sa.URL) -> str:
    """The URL as people may see it: no password, no options; of a SQLite file its path."""
    if url.drivername == "sqlite":
        return str(url.database).removeprefix("file:")
    return url.set(query={}).render_as_string(hide_password=True)


def read_sql(url: sa.URL, leave_out: frozenset[str] = frozenset()) -> list[RawTable]:
    """The tables of the connection's default schema, sorted by name, their rows in order of primary key.

    Raises
    ------
    DataError : the URL names no known kind of database, there is no table, a table cannot be read.
    ResourceError : the driver is missing or the server does not answer. None of them shows the password.
    """
    try:
        engine = sa.create_engine(url)
    except (NoSuchModuleError, ImportError) as error:
        if isinstance(error, ImportError):
            raise ResourceError(
                f"the driver for '{shown_url(url)}' is not installed; run `pip install 'relscale[sql]'`."
            ) from None
        raise DataError(
            f"'{url.drivername}' is no kind of database known here; use sqlite, postgresql or mysql."
        ) from None
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.connection.dbapi_connection.text_factory = _text_or_bytes  # type: ignore[union-attr]
            tables = _read_tables(connection, leave_out)
    except SQLAlchemyError as error:
        raise ResourceError(
            f"'{shown_url(url)}' cannot be read ({_reason(error, url)}); check address, name and rights."
        ) from None
    finally:
        engine.dispose()
    if not tables:
        raise DataError(
            f"'{shown_url(url)}' has no tables; check its name, or the schema in its search path."
        )
    return tables


def _reason(error: SQLAlchemyError, url: sa.URL) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    text = " ".join(str(cause).split())[:300].rstrip(".")
    return text.replace(str(url.password), "***") if url.password else text


def _read_tables(connection: sa.Connection, leave_out: frozenset[str]) -> list[RawTable]:
    catalogue = sa.inspect(connection)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sa.exc.SAWarning)  # types that SQLAlchemy does not know are read too
        return [
            _read_table(connection, catalogue, name)
            for name in sorted(catalogue.get_table_names())
            if name not in leave_out
        ]


def _read_table(connection: sa.Connection, catalogue: Any, name: str) -> RawTable:
    primary_key = tuple(catalogue.get_pk_constraint(name).get("constrained_columns") or ())
    keys = tuple(
        RawKey(
            columns=tuple(key["constrained_columns"]),
            parent=key["referred_table"],
            parent_columns=tuple(key["referred_columns"] or ()),
        )
        for key in sorted(catalogue.get_foreign_keys(name), key=lambda key: key["constrained_columns"])
    )
    columns = [column["name"] for column in catalogue.get_columns(name)]
    return RawTable(
        name=name,
        data=_read_rows(connection, name, columns, primary_key),
        primary_key=primary_key,
        foreign_keys=keys,
    )


def _read_rows(
    connection: sa.Connection, name: str, columns: Sequence[str], order: Sequence[str]
) -> pa.Table:
    # Without declared types the driver's values come as they are: SQLite holds dates of any form.
    fields: dict[str, sa.ColumnClause[Any]] = {
        column: sa.column(sa.quoted_name(column, quote=True)) for column in columns
    }
    query = sa.select(*fields.values()).select_from(sa.table(sa.quoted_name(name, quote=True)))
    query = query.order_by(*(fields[column] for column in order))
    result = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query)
    parts: list[list[pa.Array]] = [[] for _ in columns]
    for number, rows in enumerate(result.partitions()):
        for column, part, values in zip(columns, parts, zip(*rows, strict=True), strict=True):
            kinds = list(map(type, values))
            if _NotText in kinds:
                row = number * _ROWS_AT_ONCE + kinds.index(_NotText) + 1
                raise DataError(
                    f"table '{name}', column '{column}', row {row} is not UTF-8 text; mend that value."
                )
            part.append(_arrow(values))
    return pa.table({column: _joined(part) for column, part in zip(columns, parts, strict=True)})


def _arrow(values: Sequence[Any]) -> pa.Array:
    """Values of one type as they are; lists and documents as JSON, all else, and mixtures, as text."""
    kinds = {type(value) for value in values} - {type(None)}
    if all(issubclass(kind, _PLAIN) for kind in kinds):
        try:
            return pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, OverflowError):
            pass
    return pa.array([None if value is None else _text(value) for value in values], pa.large_string())


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)


def _joined(parts: Sequence[pa.Array]) -> pa.ChunkedArray:
    """The parts of a column one after another; as text where they do not fit together."""
    kinds = {part.type for part in parts} - {pa.null()}
    if len(kinds) <= 1:
        kind = next(iter(kinds), pa.null())
        return pa.chunked_array([pc.cast(part, kind) for part in parts], kind)
    if all(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) for kind in kinds
    ):
        return pa.chunked_array([pc.cast(part, pa.float64()) for part in parts])
    return pa.chunked_array([_arrow_text(part) for part in parts])


def _arrow_text(part: pa.Array) -> pa.Array:
    return pa.array(
        [None if value is None else _text(value) for value in part.to_pylist()], pa.large_string()
    )
