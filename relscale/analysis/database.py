"""A RelBench 3 folder in memory, for looking at: typed columns, and the parent row of every child row."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from relscale.platform.errors import DataError

Kind = Literal["number", "boolean", "category", "text", "time", "other"]

MAX_ROWS = 200_000
"""Values are read of so many rows of a table at most, evenly spread; keys are always read whole."""
MAX_CATEGORIES = 50
"""A column of strings with more distinct values than this is text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that is neither key nor time of its table.

    values : float64 of the table's read rows, NaN where missing: numbers as they are, booleans 0 and 1,
        times in seconds since 1970, categories and texts as codes (0 the commonest), others 0.
    labels : the words behind the codes, commonest first; empty for the other kinds.
    """

    name: str
    kind: Kind
    values: np.ndarray
    labels: tuple[str, ...] = ()

    @property
    def missing_share(self) -> float:
        return float(np.isnan(self.values).mean()) if len(self.values) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table: `rows` are the int64 numbers of the rows whose values were read, in order.

    times : float64 seconds since 1970 of those rows, NaN where missing; None without a time column.
    n_columns : of the file, keys and time counted.
    """

    name: str
    n_rows: int
    n_columns: int
    time_col: str | None
    rows: np.ndarray
    columns: tuple[Column, ...]
    times: np.ndarray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A foreign key. parents : int64 of all child rows, the row of the parent table, -1 where there is none.

    n_broken : keys that are not null and yet name no row of the parent table.
    """

    child: str
    key: str
    parent: str
    parents: np.ndarray
    n_parents: int
    n_broken: int

    @property
    def label(self) -> str:
        return f"{self.child}.{self.key} → {self.parent}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database as it lies in its folder; timestamps in seconds since 1970, None where not given."""

    name: str
    tables: Mapping[str, Table]
    links: tuple[Link, ...]
    val_timestamp: float | None
    test_timestamp: float | None
    n_bytes: int

    @property
    def n_rows(self) -> int:
        return sum(table.n_rows for table in self.tables.values())

    @property
    def n_cells(self) -> int:
        return sum(table.n_rows * table.n_columns for table in self.tables.values())


def read_database(folder: Path, *, max_rows: int = MAX_ROWS) -> Database:
    """Read manifest.yaml and db/*.parquet of a RelBench 3 folder; nothing is written.

    Parameters
    ----------
    folder : the database's folder, synthetic or real.
    max_rows : values are read of so many rows of each table at most, evenly spread.

    Raises
    ------
    DataError : the manifest or a table's file is missing or broken, or they contradict each other.

    Source: the RelBench 3 layout (relbench.manifest).
    """
    manifest = _manifest(folder)
    specs: dict[str, dict[str, Any]] = manifest["tables"]
    files = {name: folder / "db" / f"{name}.parquet" for name in specs}
    tables = {name: _table(name, spec, files[name], max_rows) for name, spec in specs.items()}
    pkeys: dict[str, pa.Array] = {}
    links = [
        _link(name, key, parent, specs, files, pkeys)
        for name, spec in specs.items()
        for key, parent in (spec.get("fkeys") or {}).items()
    ]
    return Database(
        name=str(manifest.get("name") or folder.name),
        tables=tables,
        links=tuple(links),
        val_timestamp=_seconds(manifest.get("val_timestamp"), folder),
        test_timestamp=_seconds(manifest.get("test_timestamp"), folder),
        n_bytes=sum(path.stat().st_size for path in files.values()),
    )


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.yaml"
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"'{folder}' has no manifest.yaml; give a RelBench 3 database folder.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"'{path}' is not valid YAML ({reason}); restore the file.") from error
    tables = manifest.get("tables") if isinstance(manifest, dict) else None
    if not isinstance(tables, dict) or not all(isinstance(spec, dict) for spec in tables.values()):
        raise DataError(f"'{path}' names no tables; restore the manifest of a RelBench 3 database.")
    if not tables:
        raise DataError(f"'{path}' has an empty list of tables; give a database with at least one table.")
    return manifest


def _seconds(value: Any, folder: Path) -> float | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise DataError(f"'{folder}/manifest.yaml' has the timestamp '{value}', not an ISO date.") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@contextlib.contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file to read from; DataError if it is missing, or broken anywhere that is read."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(f"'{path}' is missing, and the manifest names its table; restore it.") from error
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"'{path}' is not a readable Parquet file ({reason}); restore it.") from error


def _one_column(path: Path, name: str) -> pa.Array:
    with _open(path) as file:
        return file.read(columns=[name]).column(0).combine_chunks()


def _table(name: str, spec: dict[str, Any], path: Path, max_rows: int) -> Table:
    time_col = spec.get("time_col")
    keys = {spec.get("pkey"), time_col, *(spec.get("fkeys") or {})} - {None}
    with _open(path) as file:
        names, n_rows = file.schema_arrow.names, file.metadata.num_rows
        absent = sorted(keys - set(names))
        if absent:
            raise DataError(f"'{path}' has no column '{absent[0]}', which the manifest names; restore it.")
        rows = np.arange(n_rows)
        if n_rows > max_rows:
            rows = np.unique(np.linspace(0, n_rows - 1, max_rows).astype(np.int64))
        read = {}
        for column in names:  # one by one: a long table is never whole in memory
            if column == time_col or column not in keys:
                data = file.read(columns=[column]).column(0).combine_chunks()
                read[column] = _column(column, data if len(rows) == n_rows else data.take(pa.array(rows)))
    return Table(
        name=name,
        n_rows=n_rows,
        n_columns=len(names),
        time_col=time_col,
        rows=rows,
        columns=tuple(column for column in read.values() if column.name not in keys),
        times=read[time_col].values if time_col else None,
    )


def _column(name: str, data: pa.Array) -> Column:
    kind = data.type
    if pa.types.is_dictionary(kind):
        data, kind = data.dictionary_decode(), kind.value_type
    if pa.types.is_boolean(kind):
        return Column(name=name, kind="boolean", values=_floats(data.cast(pa.int8())))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Column(name=name, kind="number", values=_floats(data))
    if pa.types.is_temporal(kind):
        if not pa.types.is_timestamp(kind) and not pa.types.is_date(kind):
            return Column(name=name, kind="other", values=_other(data))
        micros = data.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        return Column(name=name, kind="time", values=_floats(micros.cast(pa.int64())) / 1e6)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _strings(name, data)
    return Column(name=name, kind="other", values=_other(data))


def _floats(data: pa.Array) -> np.ndarray:
    values = data.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan)


def _other(data: pa.Array) -> np.ndarray:
    return np.where(data.is_null().to_numpy(zero_copy_only=False), np.nan, 0.0)


def _strings(name: str, data: pa.Array) -> Column:
    coded = data.dictionary_encode()
    words, codes = coded.dictionary.to_pylist(), _floats(coded.indices)
    present = np.isfinite(codes)
    order = np.argsort(-np.bincount(codes[present].astype(np.int64), minlength=len(words)), kind="stable")
    codes[present] = np.argsort(order)[codes[present].astype(np.int64)]
    kind: Kind = "category" if len(words) <= MAX_CATEGORIES else "text"
    return Column(name=name, kind=kind, values=codes, labels=tuple(str(words[place]) for place in order))


def _link(
    child: str,
    key: str,
    parent: str,
    specs: dict[str, dict[str, Any]],
    files: dict[str, Path],
    pkeys: dict[str, pa.Array],
) -> Link:
    if parent not in specs or not specs[parent].get("pkey"):
        raise DataError(
            f"'{child}.{key}' refers to '{parent}', which is no table with a primary key in the manifest; "
            "mend manifest.yaml."
        )
    if parent not in pkeys:
        pkeys[parent] = _one_column(files[parent], specs[parent]["pkey"])
    values = _one_column(files[child], key)
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    try:
        values = values.cast(pkeys[parent].type)
    except pa.ArrowException as error:
        raise DataError(
            f"'{child}.{key}' is of type {values.type}, the primary key of '{parent}' of type "
            f"{pkeys[parent].type}; store both as one type."
        ) from error
    found = pc.index_in(values, value_set=pkeys[parent], skip_nulls=True)
    parents = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    n_broken = int((parents < 0).sum()) - values.null_count
    return Link(
        child=child, key=key, parent=parent, parents=parents, n_parents=len(pkeys[parent]), n_broken=n_broken
    )
