"""Items: which cell each context predicts."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from relscale.model.context import SemType
from relscale.model.store import NO_TIME, DatabaseStore, TokenStore
from relscale.platform.errors import ConfigError, DataError
from relscale.platform.seeds import Purpose, integer, stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Cells to predict, one per context.

    database int32 [n]  index into the list of names that the items were made for
    column   int32 [n]  index into `DatabaseStore.columns`
    node     int64 [n]  row that holds the cell
    """

    database: np.ndarray
    column: np.ndarray
    node: np.ndarray

    def __len__(self) -> int:
        return len(self.node)

    def slice(self, start: int, stop: int) -> "Items":
        """The items start..stop-1."""
        where = slice(start, stop)
        return Items(database=self.database[where], column=self.column[where], node=self.node[where])


class ItemSequence(Protocol):
    """An endless sequence of training items, each a function of (seed, its number) alone."""

    @property
    def store(self) -> TokenStore:
        """Where the cells are."""

    @property
    def names(self) -> tuple[str, ...]:
        """The databases that `Items.database` indexes."""

    def locate(self, start: int, count: int) -> Items:
        """Items number start .. start + count - 1; a longer range begins with the same items."""

    def cells_per_database(self) -> np.ndarray:
        """int64 [n_names]: cells of each database that can be drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingItems:
    """An endless sequence of training items, each a function of (seed, its number) alone.

    Every non-null cell of every column is equally likely, so columns are drawn in proportion to their
    rows, as in PluRel (arXiv:2602.04029); drawing is with replacement, which differs from PluRel's
    shuffled epochs only where a run sees most cells of a corpus.
    """

    store: TokenStore
    names: tuple[str, ...]
    key: int
    database: np.ndarray
    column: np.ndarray
    first: np.ndarray
    """int64 [n_columns]: the row of a label column's first cell; -1 of a feature column."""
    ends: np.ndarray
    """int64 [n_columns]: running sum of the columns' cells."""

    @property
    def n_cells(self) -> int:
        """Cells that can be drawn."""
        return int(self.ends[-1])

    def cells_per_database(self) -> np.ndarray:
        """int64 [n_names]: cells of each database that can be drawn."""
        counts = np.zeros(len(self.names), np.int64)
        np.add.at(counts, self.database, np.diff(self.ends, prepend=0))
        return counts

    def locate(self, start: int, count: int) -> Items:
        """Items number start .. start + count - 1; a longer range begins with the same items."""
        return self.at(np.arange(start, start + count, dtype=np.uint64))

    def at(self, numbers: np.ndarray) -> Items:
        """The items of those numbers, uint64 [n]."""
        cell = (uniform(self.key, numbers) * self.n_cells).astype(np.int64)
        place = np.searchsorted(self.ends, cell, side="right")
        rank = cell - np.where(place > 0, self.ends[place - 1], 0)
        database, column = self.database[place], self.column[place]
        node = self.first[place] + rank
        of_feature = self.first[place] < 0
        for index in np.unique(database[of_feature]):
            here = np.flatnonzero((database == index) & of_feature)
            arrays = self.store.database(self.names[index]).arrays
            node[here] = arrays.column_rows[arrays.column_ptr[column[here]] + rank[here]]
        return Items(database=database, column=column, node=node)


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedItems:
    """Items of feature columns, a share of them replaced by labels of forecast tasks."""

    features: TrainingItems
    labels: TrainingItems
    label_share: float
    key: int

    @property
    def store(self) -> TokenStore:
        """Where the cells are."""
        return self.features.store

    @property
    def names(self) -> tuple[str, ...]:
        """The databases that `Items.database` indexes."""
        return self.features.names

    def cells_per_database(self) -> np.ndarray:
        """int64 [n_names]: cells of each database that can be drawn."""
        return self.features.cells_per_database() + self.labels.cells_per_database()

    def locate(self, start: int, count: int) -> Items:
        """Items number start .. start + count - 1; a longer range begins with the same items."""
        numbers = np.arange(start, start + count, dtype=np.uint64)
        is_label = uniform(self.key, numbers) < self.label_share
        result = items_of(*np.zeros((3, count), np.int64))
        for where, source in ((~is_label, self.features), (is_label, self.labels)):
            part = source.at(numbers[where])
            for field in fields(Items):
                getattr(result, field.name)[where] = getattr(part, field.name)
        return result


def training_items(
    store: TokenStore, names: Sequence[str], seed: int, *, label_share: float = 0.0
) -> TrainingItems | MixedItems:
    """The training items of some databases of a store.

    Parameters
    ----------
    label_share : of the items that are labels of forecast tasks' train splits, where the databases have any.

    Raises
    ------
    DataError : no database has a number or boolean feature column with two different values.
    """
    database, columns = _trainable_columns(store, names)
    is_label = columns["first"] >= 0
    if is_label.all():
        raise DataError(
            f"none of the {len(names)} databases has a number or boolean column with two different values, "
            "so there is nothing to train on; add databases."
        )

    def of(which: np.ndarray, *address: int) -> TrainingItems:
        return TrainingItems(
            store=store,
            names=tuple(names),
            key=integer(seed, Purpose.ITEMS, *address),
            database=database[which],
            column=columns["column"][which],
            first=columns["first"][which],
            ends=np.cumsum(columns["n_cells"][which]),
        )

    if not label_share or not is_label.any():
        return of(~is_label)
    return MixedItems(
        features=of(~is_label),
        labels=of(is_label, 1),
        label_share=label_share,
        key=integer(seed, Purpose.ITEMS, 2),
    )


def check_training_context(
    store: TokenStore, names: Sequence[str], context_length: int, *, label_share: float = 0.0
) -> None:
    """ConfigError if a row that training may start from has more cells than a context holds.

    All cells of the row count, those that a task hides too.
    """
    database, columns = _trainable_columns(store, names)
    if not label_share:
        database, columns = database[columns["first"] < 0], columns[columns["first"] < 0]
    if len(columns) and columns["row_width"].max() > context_length:
        widest = int(columns["row_width"].argmax())
        owner = store.database(names[database[widest]])
        table = owner.columns[columns["column"][widest]].table
        check_width(int(columns["row_width"][widest]), context_length, table, owner.name)


def check_task_context(database: DatabaseStore, task_name: str, context_length: int) -> None:
    """ConfigError if a row of a task's target has more cells than a context holds."""
    task = database.task(task_name)
    table = database.table(task.table, "db" if task.is_autocomplete else "test")
    check_width(table.row_width, context_length, table.name, database.name)


def check_width(width: int, context_length: int, table: str, database: str) -> None:
    """ConfigError if a row of `width` cells does not fit a context."""
    if width > context_length:
        raise ConfigError(
            f"sampler.context_length is {context_length}, but a row of table '{table}' of database "
            f"'{database}' has {width} cells, and the predicted row must fit; set it to at least {width}."
        )


def evaluation_items(
    store: TokenStore, names: Sequence[str], *, columns_per_type: int, rows_per_column: int, seed: int
) -> Items:
    """A fixed set of items: per database some boolean and some number columns, of each some rows.

    Parameters
    ----------
    columns_per_type : at most so many boolean and so many number columns of a database (PluRel: 5).
    rows_per_column : at most so many different rows of a column (PluRel: 10).

    Returns
    -------
    Items ordered by database, type, column as drawn. A database's items depend on its name and the seed,
    not on the other databases.
    """
    parts = [np.empty((3, 0), np.int64)]
    for index, name in enumerate(names):
        arrays = store.database(name).arrays
        rng = stream(seed, Purpose.EVALUATION, int(hashlib.sha256(name.encode()).hexdigest()[:15], 16))
        for sem_type in (SemType.BOOLEAN, SemType.NUMBER):
            for column in rng.permutation(_trainable(store, name, sem_type))[:columns_per_type]:
                rows = arrays.column_rows[arrays.column_ptr[column] : arrays.column_ptr[column + 1]]
                chosen = rng.choice(rows, min(rows_per_column, len(rows)), replace=False)
                parts.append(np.stack([np.full(len(chosen), index), np.full(len(chosen), column), chosen]))
    return items_of(*np.concatenate(parts, axis=1))


def task_items(database: DatabaseStore, task_name: str, split: str) -> Items:
    """The items of one split of a task, in the row order of its label file.

    An autocomplete task has no label files: its items are the entity table's rows with a value, in row
    order, split by time as RelBench does (train up to the val timestamp, val up to the test timestamp).
    Without a time column all rows are train.

    Raises
    ------
    DataError : the database has no such task (those it has are listed).
    """
    task = database.task(task_name)
    column = database.column_index(task.table, task.target_col)
    if task.is_autocomplete:
        arrays = database.arrays
        nodes = np.asarray(arrays.column_rows[arrays.column_ptr[column] : arrays.column_ptr[column + 1]])
        nodes = nodes[_split_of(database, arrays.node_time[nodes]) == split]
    else:
        table = database.table(task_name, split)
        nodes = np.arange(table.offset, table.offset + table.n_rows)
    return items_of(np.zeros(len(nodes)), np.full(len(nodes), column), nodes)


def _trainable(store: TokenStore, name: str, sem_type: SemType) -> list[int]:
    columns = enumerate(store.database(name).columns)
    return [i for i, column in columns if column.trainable and column.sem_type == sem_type]


def _trainable_columns(store: TokenStore, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """int32 [n] place in `names`, and the store's TRAINABLE record of every column, in that order."""
    places = np.array([store.place(name) for name in names], np.int32)
    first = np.searchsorted(store.trainable["database"], places)
    count = np.searchsorted(store.trainable["database"], places, side="right") - first
    record = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
    return np.repeat(np.arange(len(names), dtype=np.int32), count), store.trainable[record]


def _split_of(database: DatabaseStore, time: np.ndarray) -> np.ndarray:
    later = (time > database.val_timestamp).astype(int) + (time > database.test_timestamp)
    return np.array(["train", "val", "test"])[np.where(time == NO_TIME, 0, later)]


def items_of(database: np.ndarray, column: np.ndarray, node: np.ndarray) -> Items:
    """The arrays [n] in the types of `Items`."""
    return Items(
        database=np.asarray(database, np.int32),
        column=np.asarray(column, np.int32),
        node=np.asarray(node, np.int64),
    )


def uniform(key: int, number: np.ndarray) -> np.ndarray:
    """float64 in [0, 1) per number: the splitmix64 generator (Steele et al. 2014) read at any place."""
    z = np.uint64(key) + (number + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53
