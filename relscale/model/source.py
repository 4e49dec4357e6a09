"""Reading a RelBench 3 folder: tables with checked keys and times."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relscale.model.context import MAX_PARENTS
from relscale.model.mapping import NO_TIME
from relscale.model.tasks import SPLITS, TaskSpec, read_tasks
from relscale.platform import remote
from relscale.platform.errors import DataError
from relscale.platform.storage import RECEIPT, digest_files, digest_of, read_json

if TYPE_CHECKING:
    from relbench.manifest import DatasetManifest, TableSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """The rows of a db table, or those of a task's label files (train, val, test, one after another).

    data        the columns that give cells: neither primary nor foreign keys
    time        int64 [n], microseconds since 1970, NO_TIME where there is none
    fkeys       column -> (parent table, int64 [n] row numbers, -1 for null)
    split_rows  rows of train, val and test; empty for a db table
    """

    name: str
    data: pa.Table
    n_rows: int
    time_col: str | None
    time: np.ndarray
    fkeys: dict[str, tuple[str, np.ndarray]] = field(default_factory=dict)
    split_rows: tuple[int, ...] = ()

    @property
    def is_task(self) -> bool:
        """Whether the rows are labels."""
        return bool(self.split_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDatabase:
    """A RelBench 3 folder in memory; tables sorted by name, then the label tables sorted by task."""

    name: str
    val_timestamp: int
    test_timestamp: int
    tables: tuple[SourceTable, ...]
    tasks: tuple[TaskSpec, ...]
    skipped_tasks: dict[str, str]
    prior: str | None
    """What made the database up; None of a real one."""


def database_name(folder: Path) -> str:
    """Name in the manifest; DataError if there is no manifest or the name cannot be a folder's.

    Of a database on a store only what its record says of it is read.
    """
    name = (remote.about(folder) or {}).get("name")
    if name is None:
        remote.stage(folder, only=("manifest.yaml",))
        name = _manifest(folder).name
    if not name or "/" in name or name.startswith("."):
        raise DataError(f"'{folder}/manifest.yaml' gives the database the name '{name}'; use a plain word.")
    return name


def source_digest(folder: Path) -> str:
    """SHA-256 of everything that the tokens of a RelBench 3 folder depend on.

    Of a database on a store it is known from the record.
    """
    if remote.origin(folder):
        files = remote.digests(folder)
        parts = [files["manifest.yaml"], *(digest_of(_below(part, files)) for part in ("db", "tasks"))]
    else:
        parts = [hashlib.sha256((folder / "manifest.yaml").read_bytes()).hexdigest()]
        parts += [digest_files(folder / part) for part in ("db", "tasks")]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _below(part: str, files: Mapping[str, str]) -> dict[str, str]:
    prefix = f"{part}/"
    return {name.removeprefix(prefix): value for name, value in files.items() if name.startswith(prefix)}


def read_database(folder: Path) -> SourceDatabase:
    """Read and check a RelBench 3 folder.

    Raises
    ------
    DataError : no such folder, a table, column or parent table that the manifests name is missing, a
        primary key is not 0..n-1, a foreign key is dangling, a table has more than 5 foreign keys, a time
        column is no timestamp, a label is missing.
    """
    manifest = _manifest(folder)
    tasks, skipped = read_tasks(folder)
    n_rows = {name: _metadata(folder / "db" / f"{name}.parquet").num_rows for name in manifest.tables}
    tables = [_read_table(folder, name, manifest.tables[name], n_rows) for name in sorted(manifest.tables)]
    columns = {
        table.name: {*table.data.column_names, *table.fkeys, manifest.tables[table.name].pkey}
        for table in tables
    }
    for task in tasks:
        _check_task(task, columns)
    tables += [_read_labels(folder, task, n_rows) for task in tasks if not task.is_autocomplete]
    return SourceDatabase(
        name=manifest.name,
        val_timestamp=_moment(manifest.val_timestamp, folder),
        test_timestamp=_moment(manifest.test_timestamp, folder),
        tables=tuple(tables),
        tasks=tasks,
        skipped_tasks=skipped,
        prior=_prior(folder),
    )


def _prior(folder: Path) -> str | None:
    receipt = folder / RECEIPT
    return read_json(receipt).get("prior") if receipt.is_file() else None


def _manifest(folder: Path) -> "DatasetManifest":
    from relbench.manifest import DatasetManifest

    path = folder / "manifest.yaml"
    if not path.is_file():
        raise DataError(f"'{folder}' is not a RelBench 3 folder (no manifest.yaml); check the path.")
    try:
        return DatasetManifest.load(path)
    except Exception as error:  # yaml and relbench raise many kinds
        reason = " ".join(str(error).split())
        raise DataError(f"'{path}' is not a RelBench 3 manifest ({reason}); mend it.") from error


def _moment(value: Any, folder: Path) -> int:
    import pandas as pd

    try:
        moment = pd.Timestamp(str(value))
    except ValueError as error:
        raise DataError(f"'{folder}/manifest.yaml': '{value}' is no date; write it as 2005-01-01.") from error
    moment = moment.tz_convert(None) if moment.tzinfo else moment
    return int(moment.to_datetime64().astype("datetime64[us]").astype(np.int64))


def _metadata(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except FileNotFoundError as error:
        raise DataError(f"'{path}' does not exist, but its manifest needs it; add it.") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"'{path}' is not a Parquet file ({error}); write it again.") from error


def _read_table(folder: Path, name: str, spec: "TableSpec", n_rows: dict[str, int]) -> SourceTable:
    if len(spec.fkeys) > MAX_PARENTS:
        raise DataError(
            f"table '{name}' in '{folder}' has {len(spec.fkeys)} foreign keys, a Relational Transformer sees "
            f"at most {MAX_PARENTS}; leave the database out, or declare fewer in its manifest."
        )
    unknown = sorted(set(spec.fkeys.values()) - set(n_rows))
    if unknown:
        raise DataError(
            f"table '{name}' in '{folder}' refers to table '{unknown[0]}', which the manifest lacks; add it."
        )
    path = folder / "db" / f"{name}.parquet"
    data = _read_parquet(path, [spec.pkey, spec.time_col, *spec.fkeys])
    if spec.pkey:
        _check_pkey(data, spec.pkey, path)
    fkeys = {
        column: (parent, _row_numbers(data, column, parent, n_rows[parent], path))
        for column, parent in spec.fkeys.items()
    }
    return SourceTable(
        name=name,
        data=data.drop_columns([*fkeys, *([spec.pkey] if spec.pkey else [])]),
        n_rows=data.num_rows,
        time_col=spec.time_col,
        time=_times(data, spec.time_col, path),
        fkeys=fkeys,
    )


def _read_labels(folder: Path, task: TaskSpec, n_rows: dict[str, int]) -> SourceTable:
    entity_col, place = task.entity_col, folder / "tasks" / task.name
    assert entity_col is not None
    columns = [column for column in (task.time_col, entity_col, task.target_col) if column]
    parts, entities = [], []
    for split in SPLITS:
        path = place / f"{split}.parquet"
        _metadata(path)
        part = _read_parquet(path, columns).select(columns)
        for column in columns:
            if part[column].null_count:
                row = int(np.argmax(part[column].is_null().to_numpy()))
                raise DataError(f"'{path}': column '{column}' is null in row {row}; leave such rows out.")
        entities.append(_row_numbers(part, entity_col, task.entity_table, n_rows[task.entity_table], path))
        parts.append(part)
    data = pa.concat_tables(parts, promote_options="permissive")
    return SourceTable(
        name=task.name,
        data=data.drop_columns([entity_col]),
        n_rows=data.num_rows,
        time_col=task.time_col,
        time=_times(data, task.time_col, place),
        fkeys={entity_col: (task.entity_table, np.concatenate(entities))},
        split_rows=tuple(part.num_rows for part in parts),
    )


def _read_parquet(path: Path, named: Sequence[str | None]) -> pa.Table:
    data = pq.read_table(path, partitioning=None)
    missing = [column for column in named if column and column not in data.column_names]
    if missing:
        has = ", ".join(data.column_names)
        raise DataError(f"'{path}' has no column '{missing[0]}', but its manifest names it; it has: {has}.")
    return data


def _check_task(task: TaskSpec, columns: dict[str, set[str | None]]) -> None:
    wanted = [(task.entity_table, None), *task.remove_columns]
    if task.is_autocomplete:
        wanted.append((task.entity_table, task.target_col))
    for table, column in wanted:
        if table not in columns:
            raise DataError(
                f"task '{task.name}' names table '{table}', which the database lacks; mend its manifest."
            )
        if column is not None and column not in columns[table]:
            raise DataError(
                f"task '{task.name}' names column '{column}', which table '{table}' lacks; mend its manifest."
            )


def _check_pkey(data: pa.Table, column: str, path: Path) -> None:
    values = data[column].to_numpy()
    wrong = np.flatnonzero(values != np.arange(len(values)))
    if len(wrong):
        raise DataError(
            f"'{path}': primary key '{column}' is {values[wrong[0]]} in row {wrong[0]}; RelBench 3 numbers "
            "rows 0..n-1 in order, so renumber it and the foreign keys that refer to it."
        )


def _row_numbers(data: pa.Table, column: str, parent: str, n_parents: int, path: Path) -> np.ndarray:
    try:
        values = pc.fill_null(pc.cast(data[column], pa.float64()), np.nan).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"'{path}': foreign key '{column}' is {data[column].type}, expected row numbers."
        ) from error
    null = np.isnan(values)
    wrong = np.flatnonzero(~null & ((values < 0) | (values >= n_parents) | (values != np.floor(values))))
    if len(wrong):
        raise DataError(
            f"'{path}': foreign key '{column}' is {data[column][int(wrong[0])].as_py()} in row {wrong[0]}, "
            f"but '{parent}' has rows 0..{n_parents - 1}; set it to null or add the row."
        )
    return np.where(null, -1, values).astype(np.int64)


def _times(data: pa.Table, column: str | None, path: Path) -> np.ndarray:
    if column is None:
        return np.full(data.num_rows, NO_TIME)
    if not (pa.types.is_timestamp(data[column].type) or pa.types.is_date(data[column].type)):
        raise DataError(f"'{path}': time column '{column}' is {data[column].type}; store it as a timestamp.")
    return microseconds(data[column])


def microseconds(column: pa.ChunkedArray) -> np.ndarray:
    """int64 [n] of a timestamp or date column, NO_TIME where null; finer units are cut off."""
    moments = pc.cast(column, pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
    return pc.fill_null(pc.cast(moments, pa.int64()), NO_TIME).to_numpy()
