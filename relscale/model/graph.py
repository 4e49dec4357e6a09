"""What the sampler's kernel reads: one database as plain arrays, and the rules of a context."""

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from relscale.model.config import SamplerConfig
from relscale.model.store import DatabaseStore
from relscale.model.tasks import TaskSpec

VISIBILITIES = ("temporal", "strict", "train-only")
"""As `SamplerConfig.visibility` names them; the kernel reads their places."""


class Graph(NamedTuple):
    """One database: arrays of `mapping.DatabaseArrays`, then its K columns and T task targets.

    cell_value, cell_text   the same bits, read as float32 and as int32
    text_rows    int32        the database's strings as rows of the text table
    val_time, test_time  int  the val and test timestamps, in microseconds
    column_type  int8 [K]     SemType
    column_text  int32 [K]    row of the text table that holds the column's name
    column_rows  int64 [K, 2] first row of the column's table and the row after its last, all splits
    target_of    int32 [K]    number of the target that a column is; -1: no task predicts it
    hidden       bool [T, K]  columns that give a target away
    own          int64 [T, 5] a target's start in own_ptr, first entity row, number of entity rows (0 for
                              autocomplete, whose labels have no rows of their own), end of its train rows,
                              end of its val rows
    """

    node_time: np.ndarray
    cell_ptr: np.ndarray
    cell_column: np.ndarray
    cell_value: np.ndarray
    cell_text: np.ndarray
    parents: np.ndarray
    child_ptr: np.ndarray
    child_idx: np.ndarray
    own_ptr: np.ndarray
    own_idx: np.ndarray
    text_rows: np.ndarray
    val_time: int
    test_time: int
    column_type: np.ndarray
    column_text: np.ndarray
    column_rows: np.ndarray
    target_of: np.ndarray
    hidden: np.ndarray
    own: np.ndarray


class Rules(NamedTuple):
    """The settings of `SamplerConfig` as numbers."""

    length: int
    local: int
    width: int
    mask_prob: float
    latest: bool
    own_first: bool
    visibility: int
    n_walks: int
    walk_length: int


_columns: "WeakKeyDictionary[DatabaseStore, tuple[np.ndarray, ...]]" = WeakKeyDictionary()
"""What `Graph` says about columns and targets: dearer to work out than a context."""


def graph_of(database: DatabaseStore) -> Graph:
    """The database as the kernel reads it; its arrays stay those of the store."""
    if database not in _columns:
        _columns[database] = (*_column_arrays(database), *_target_arrays(database))
    arrays = database.arrays
    return Graph(
        arrays.node_time,
        arrays.cell_ptr,
        arrays.cell_column,
        arrays.cell_bits.view(np.float32),
        arrays.cell_bits,
        arrays.parents,
        arrays.child_ptr,
        arrays.child_idx,
        arrays.own_ptr,
        arrays.own_idx,
        database.text_rows,
        database.val_timestamp,
        database.test_timestamp,
        *_columns[database],
    )


def rules_of(config: SamplerConfig) -> Rules:
    """The settings as the kernel reads them."""
    return Rules(
        length=config.context_length,
        local=config.local_context_length or config.context_length,
        width=config.bfs_width,
        mask_prob=config.mask_prob,
        latest=config.prefer_latest,
        own_first=config.own_rows_first,
        visibility=VISIBILITIES.index(config.visibility),
        n_walks=config.n_walks,
        walk_length=config.walk_length,
    )


def _column_arrays(database: DatabaseStore) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`Graph.column_type`, `.column_text` and `.column_rows`."""
    ranges: dict[str, tuple[int, int]] = {}
    for table in database.tables:  # the splits of a task lie one after another
        first = ranges.get(table.name, (table.offset, 0))[0]
        ranges[table.name] = first, table.offset + table.n_rows
    columns = database.columns
    return (
        np.array([column.sem_type for column in columns], np.int8),
        np.array([column.text_row for column in columns], np.int32),
        np.array([ranges[column.table] for column in columns], np.int64).reshape(-1, 2),
    )


def _target_arrays(database: DatabaseStore) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`Graph.target_of`, `.hidden` and `.own`; tasks on the same column hide what any of them hides."""
    targets: dict[int, list[TaskSpec]] = {}
    for task in database.tasks:
        targets.setdefault(database.column_index(task.table, task.target_col), []).append(task)
    target_of = np.full(len(database.columns), -1, np.int32)
    hidden = np.zeros((len(targets), len(database.columns)), np.bool_)
    own = np.zeros((len(targets), 5), np.int64)
    start = 0
    for number, (column, tasks) in enumerate(targets.items()):
        target_of[column] = number
        for pair in {pair for task in tasks for pair in task.remove_columns}:
            if pair in database.column_numbers:  # keys give no cells
                hidden[number, database.column_numbers[pair]] = True
        if not tasks[0].is_autocomplete:
            entity = database.table(tasks[0].entity_table)
            splits = [database.table(tasks[0].name, split) for split in ("train", "val")]
            ends = (table.offset + table.n_rows for table in splits)
            own[number] = start, entity.offset, entity.n_rows, *ends
            start += entity.n_rows + 1
    return target_of, hidden, own
