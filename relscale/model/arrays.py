"""A database's content in the token store: pure, from tables in memory to arrays."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relscale.model import cells, links
from relscale.model.cells import TypedColumn
from relscale.model.context import SemType
from relscale.model.mapping import DatabaseArrays
from relscale.model.source import SourceDatabase, SourceTable
from relscale.model.tasks import PREDICTABLE, SPLITS, TaskSpec
from relscale.platform.errors import DataError

MAX_COLUMNS = int(np.iinfo(np.int16).max)
MAX_ROWS = int(np.iinfo(np.int32).max)
MAX_SCORE = 100.0
"""Z-scores are cut here. Rows after the val timestamp may lie any distance from the statistics of those
before it, and the loss grows with the distance: one cell at 10,000 would outweigh a whole training run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseContent:
    """What is written for one database; `strings` are sorted, `meta` is JSON-able."""

    arrays: DatabaseArrays
    strings: pa.Array
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scaled:
    """A typed column with its statistics."""

    column: TypedColumn
    table: SourceTable
    mean: float
    std: float

    @property
    def title(self) -> str:
        return f"{self.column.name} of {self.table.name}"

    @property
    def trainable(self) -> bool:
        return not self.table.is_task and cells.is_trainable(self.column)


def database_content(database: SourceDatabase) -> DatabaseContent:
    """Type and normalize all cells of a database, link its rows.

    Means and deviations come from rows up to the val timestamp (all rows of a table without time), for
    labels from the train split, for datetimes from all such rows of the database together. RT and
    PluRel use all rows of a table, later ones too.

    Raises
    ------
    DataError : two columns share a name and a table name, or there are too many rows or columns.
    """
    typed = [_typed_columns(table, database) for table in database.tables]
    scaled = _scaled(database, typed)
    columns = [column for table in scaled for column in table]
    offsets = np.cumsum([0, *(table.n_rows for table in database.tables)])
    _check_limits(database, columns, int(offsets[-1]))
    strings = _strings(columns)
    arrays = _arrays(database, scaled, offsets, strings)
    meta = {
        "name": database.name,
        "prior": database.prior,
        "val_timestamp": database.val_timestamp,
        "test_timestamp": database.test_timestamp,
        "n_strings": len(strings),
        "n_cells": len(arrays.cell_bits),
        "tables": [
            info
            for table, at in zip(database.tables, offsets, strict=False)
            for info in _infos(table, int(at), arrays)
        ],
        "columns": _column_meta(columns, strings),
        "tasks": [asdict(task) for task in database.tasks],
        "skipped_tasks": database.skipped_tasks,
    }
    return DatabaseContent(arrays=arrays, strings=strings, meta=meta)


def _typed_columns(table: SourceTable, database: SourceDatabase) -> list[TypedColumn]:
    """The columns of a table; those that tasks predict in the type of the task."""
    task_of: dict[str, TaskSpec] = {}
    for task in database.tasks:
        if task.table == table.name and task.is_autocomplete != table.is_task:
            if task.target_col not in table.data.column_names:
                raise DataError(
                    f"task '{task.name}': its target '{task.target_col}' is a key; give another target_col."
                )
            other = task_of.get(task.target_col)
            if other is None or other.task_type not in PREDICTABLE:
                task_of[task.target_col] = task
            elif task.task_type in PREDICTABLE and task.task_type != other.task_type:
                raise DataError(
                    f"tasks '{other.name}' and '{task.name}' predict '{task.target_col}' as "
                    f"{other.task_type} and {task.task_type}; remove one of them."
                )
    return [_typed_column(table, name, task_of.get(name)) for name in table.data.column_names]


def _typed_column(table: SourceTable, name: str, task: TaskSpec | None) -> TypedColumn:
    if task is None:
        return cells.typed_column(name, table.data[name])
    where = f"task '{task.name}'"
    column = cells.target_column(name, table.data[name], task.task_type, where=where)
    if table.is_task and not column.valid.all():
        row = int(np.argmin(column.valid))
        raise DataError(
            f"{where}: the label '{name}' is no number in row {row} of its train, val and test files "
            "together; leave such rows out."
        )
    return column


def _scaled(database: SourceDatabase, typed: Sequence[Sequence[TypedColumn]]) -> list[list[_Scaled]]:
    known = [_known_rows(table, database.val_timestamp) for table in database.tables]
    moments = [
        column.values[column.valid & rows]
        for columns, rows in zip(typed, known, strict=True)
        for column in columns
        if column.sem_type == SemType.DATETIME
    ]
    datetimes = cells.datetime_statistics(moments)
    result = []
    for table, columns, rows in zip(database.tables, typed, known, strict=True):
        part = []
        for column in columns:
            mean, std = datetimes if column.sem_type == SemType.DATETIME else (0.0, 1.0)
            if column.sem_type in (SemType.NUMBER, SemType.BOOLEAN):
                mean, std = cells.statistics(column, rows)
            part.append(_Scaled(column=column, table=table, mean=mean, std=std))
        result.append(part)
    return result


def _known_rows(table: SourceTable, val_timestamp: int) -> np.ndarray:
    """bool [n]: rows whose values may shape the normalization."""
    if table.is_task:
        return np.arange(table.n_rows) < table.split_rows[0]
    return table.time <= val_timestamp  # NO_TIME is before everything


def _check_limits(database: SourceDatabase, columns: Sequence[_Scaled], n_rows: int) -> None:
    twice = [title for title, n in Counter(column.title for column in columns).items() if n > 1]
    if twice:
        raise DataError(
            f"database '{database.name}' has two columns '{twice[0]}'; rename a table, task or column."
        )
    if n_rows > MAX_ROWS or len(columns) > MAX_COLUMNS:
        raise DataError(
            f"database '{database.name}' has {n_rows} rows and {len(columns)} columns; at most {MAX_ROWS} "
            f"and {MAX_COLUMNS} fit a token store, so leave tables out."
        )


def _strings(columns: Sequence[_Scaled]) -> pa.Array:
    """The distinct column titles and texts, sorted by their bytes."""
    texts = [column.column.strings for column in columns if column.column.strings is not None]
    titles = pa.array([column.title for column in columns], pa.large_string())
    strings = pc.unique(pa.chunked_array([titles, *texts], pa.large_string()))
    return strings.take(pc.sort_indices(strings))


def _arrays(
    database: SourceDatabase, scaled: Sequence[Sequence[_Scaled]], offsets: np.ndarray, strings: pa.Array
) -> DatabaseArrays:
    counts, cell_columns, bits, first = [], [], [], 0
    for table, columns in zip(database.tables, scaled, strict=True):
        part = (_bits(column, strings) for column in columns)
        count, cell_column, cell_bits = cells.row_cells(
            [column.column for column in columns], part, table.n_rows, first
        )
        counts.append(count)
        cell_columns.append(cell_column)
        bits.append(cell_bits)
        first += len(columns)
    time = np.concatenate([table.time for table in database.tables])
    db_tables = [table for table in database.tables if not table.is_task]
    place = dict(zip([table.name for table in db_tables], map(int, offsets), strict=False))
    parents = links.parent_rows(database.tables, place)
    child_ptr, child_idx = links.child_rows(parents, sum(table.n_rows for table in db_tables), time)
    own_ptr, own_idx = _own_rows(database, offsets)
    column_ptr, column_rows = _column_rows(scaled, offsets)
    return DatabaseArrays(
        node_time=time,
        cell_ptr=_running(np.concatenate(counts)),
        cell_column=np.concatenate(cell_columns),
        cell_bits=np.concatenate(bits),
        parents=parents,
        child_ptr=child_ptr,
        child_idx=child_idx,
        own_ptr=own_ptr,
        own_idx=own_idx,
        column_ptr=column_ptr,
        column_rows=column_rows,
    )


def _bits(scaled: _Scaled, strings: pa.Array) -> np.ndarray:
    """int32 [n]: string numbers of a text column, else the float32 z-scores' bits."""
    column = scaled.column
    if column.strings is not None:
        number = pc.index_in(column.strings, strings).to_numpy().astype(np.int32)
        return number[column.values] if len(number) else np.zeros(len(column.values), np.int32)
    values = np.where(column.valid, column.values, scaled.mean)
    scores = np.clip((values - scaled.mean) / scaled.std, -MAX_SCORE, MAX_SCORE)
    return scores.astype(np.float32).view(np.int32)


def _own_rows(database: SourceDatabase, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n_rows = {table.name: table.n_rows for table in database.tables if not table.is_task}
    places, rows, n_before = [np.empty(0, np.int64)], [np.empty(0, np.int32)], 0
    for table, offset in zip(database.tables, offsets, strict=False):
        if table.is_task:
            ((entity_table, _),) = table.fkeys.values()
            part, row = links.label_rows(table, int(offset), n_rows[entity_table])
            places.append(part + n_before)
            rows.append(row)
            n_before += len(row)
    return np.concatenate(places), np.concatenate(rows)


def _column_rows(scaled: Sequence[Sequence[_Scaled]], offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parts = []
    for columns, offset in zip(scaled, offsets, strict=False):
        for column in columns:
            scalar = column.column.sem_type in (SemType.NUMBER, SemType.BOOLEAN) and not column.table.is_task
            rows = np.flatnonzero(column.column.valid) if scalar else np.empty(0, np.int64)
            parts.append((rows + offset).astype(np.int32))
    return _running(np.array([len(part) for part in parts])), np.concatenate(parts)


def _running(counts: np.ndarray) -> np.ndarray:
    places = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=places[1:])
    return places


def _infos(table: SourceTable, offset: int, arrays: DatabaseArrays) -> list[dict[str, Any]]:
    """`store.TableInfo` of a db table, or of the three splits of a task."""
    widths = np.diff(arrays.cell_ptr[offset : offset + table.n_rows + 1])
    same = {"name": table.name, "time_col": table.time_col, "row_width": int(widths.max(initial=0))}
    if not table.is_task:
        return [{**same, "kind": "db", "offset": offset, "n_rows": table.n_rows}]
    offsets = np.cumsum([offset, *table.split_rows])
    return [
        {**same, "kind": kind, "offset": int(at), "n_rows": n_rows}
        for kind, at, n_rows in zip(SPLITS, offsets, table.split_rows, strict=False)
    ]


def _column_meta(columns: Sequence[_Scaled], strings: pa.Array) -> list[dict[str, Any]]:
    place = pc.index_in(
        pa.array([column.title for column in columns], pa.large_string()), strings
    ).to_pylist()
    return [
        {
            "table": scaled.table.name,
            "name": scaled.column.name,
            "sem_type": int(scaled.column.sem_type),
            "string": place[i],
            "mean": scaled.mean,
            "std": scaled.std,
            "n_cells": int(scaled.column.valid.sum()),
            "is_task": scaled.table.is_task,
            "trainable": scaled.trainable,
        }
        for i, scaled in enumerate(columns)
    ]
