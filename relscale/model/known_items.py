"""Training items of real databases: cells that were known by the val timestamp, mixed by kind.

No target is later than its database's val timestamp. Nor is any cell of its context: the sampler shows
nothing later than the target's row. That says nothing where a row has no time, so rows without time are
trained on only in databases in which foreign keys lead from none of them to a row later than that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from relscale.model.config import TargetsConfig
from relscale.model.items import Items, check_width, items_of, task_items, uniform
from relscale.model.store import NO_TIME, DatabaseStore, TokenStore
from relscale.platform.errors import DataError
from relscale.platform.seeds import Purpose, integer


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Cells of one column that can be drawn.

    kind      a share of `TargetsConfig`
    database  index into the list of names. column: into `DatabaseStore.columns`
    nodes     int64 [n] rows, at least one
    """

    kind: str
    database: int
    column: int
    nodes: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownItems:
    """An endless sequence of items from pools, each a function of (seed, its number) alone.

    `ends`, float64 [n_pools], is the running sum of the pools' probabilities.
    """

    store: TokenStore
    names: tuple[str, ...]
    key: int
    pools: tuple[Pool, ...]
    ends: np.ndarray

    def cells_per_database(self) -> np.ndarray:
        """int64 [n_names]: cells of each database that can be drawn."""
        counts = np.zeros(len(self.names), np.int64)
        for pool in self.pools:
            counts[pool.database] += len(pool.nodes)
        return counts

    def locate(self, start: int, count: int) -> Items:
        """Items number start .. start + count - 1; a longer range begins with the same items."""
        draw = uniform(self.key, np.arange(start, start + count, dtype=np.uint64))
        place = np.minimum(np.searchsorted(self.ends, draw, side="right"), len(self.ends) - 1)
        low = np.where(place > 0, self.ends[place - 1], 0.0)
        within = (draw - low) / (self.ends[place] - low)
        node = np.empty(count, np.int64)
        for index in np.unique(place):
            here, nodes = place == index, self.pools[index].nodes
            node[here] = nodes[np.minimum((within[here] * len(nodes)).astype(np.int64), len(nodes) - 1)]
        database = np.array([pool.database for pool in self.pools])[place]
        column = np.array([pool.column for pool in self.pools])[place]
        return items_of(database, column, node)


def is_real(store: TokenStore) -> bool:
    """Whether a database of the store has label tables and was not made up by a prior."""
    databases = map(store.database, store.names)
    return any(one.prior is None and not all(task.is_autocomplete for task in one.tasks) for one in databases)


def known_items(store: TokenStore, names: Sequence[str], targets: TargetsConfig, seed: int) -> KnownItems:
    """The training items of some databases of a store.

    Raises
    ------
    DataError : no database has a cell of a kind with a share that was known by its val timestamp.
    """
    pools = tuple(_pools(store, names, targets))
    if not pools:
        raise DataError(
            f"the {len(names)} databases have no cell to train on with targets {targets!r} that was known by "
            f"their val timestamps; give another kind a share, or add databases."
        )
    size = np.array([len(pool.nodes) for pool in pools], np.float64)
    weight = np.empty(len(pools))
    kinds = np.array([pool.kind for pool in pools])
    for kind in np.unique(kinds):
        here = kinds == kind
        weight[here] = getattr(targets, kind) * size[here] / size[here].sum()
    ends = np.cumsum(weight / weight.sum())
    return KnownItems(
        store=store, names=tuple(names), key=integer(seed, Purpose.ITEMS), pools=pools, ends=ends
    )


def task_training_items(store: TokenStore, name: str, task: str, seed: int) -> KnownItems:
    """The training items of one task of a database: its train split; DataError if it has no known row."""
    database = store.database(name)
    pool = _task_pool(database, 0, task)
    if not len(pool.nodes):
        raise DataError(f"task '{task}' of database '{name}' has no row to train on by the val timestamp.")
    key = integer(seed, Purpose.ITEMS)
    return KnownItems(store=store, names=(name,), key=key, pools=(pool,), ends=np.ones(1))


def check_known_context(
    store: TokenStore, names: Sequence[str], targets: TargetsConfig, context_length: int
) -> None:
    """ConfigError if a row that training may start from has more cells than a context holds."""
    for pool in _pools(store, names, targets):
        database = store.database(names[pool.database])
        table = database.columns[pool.column].table
        widest = max(info.row_width for info in database.tables if info.name == table)
        check_width(widest, context_length, table, database.name)


def _pools(store: TokenStore, names: Sequence[str], targets: TargetsConfig) -> Iterator[Pool]:
    """All pools with cells and a share, in the order of names, tasks, columns."""
    for place, name in enumerate(names):
        for pool in _database_pools(store.database(name), place):
            if len(pool.nodes) and getattr(targets, pool.kind):
                yield pool


def _database_pools(database: DatabaseStore, place: int) -> Iterator[Pool]:
    predicted = set()
    for task in database.predictable_tasks:
        pool = _task_pool(database, place, task.name)
        if pool.column not in predicted:  # two tasks on a column ask for the same cells
            yield pool
        predicted.add(pool.column)
    arrays = database.arrays
    for column, about in enumerate(database.columns):
        if about.trainable and column not in predicted:
            nodes = arrays.column_rows[arrays.column_ptr[column] : arrays.column_ptr[column + 1]]
            yield Pool(
                kind="columns",
                database=place,
                column=column,
                nodes=known_rows(database, np.asarray(nodes, np.int64)),
            )


def _task_pool(database: DatabaseStore, place: int, name: str) -> Pool:
    task, items = database.task(name), task_items(database, name, "train")
    return Pool(
        kind="autocomplete" if task.is_autocomplete else "forecast",
        database=place,
        column=database.column_index(task.table, task.target_col),
        nodes=known_rows(database, items.node),
    )


def known_rows(database: DatabaseStore, nodes: np.ndarray) -> np.ndarray:
    """Those of the rows whose contexts hold nothing later than the val timestamp."""
    time = database.arrays.node_time[nodes]
    timeless = _timeless_rows_are_known(database)
    return nodes[np.where(time == NO_TIME, timeless, time <= database.val_timestamp)]


def _timeless_rows_are_known(database: DatabaseStore) -> bool:
    """Whether foreign keys lead, over any number of rows, from no row without time to one after the split.

    The context of a row without time holds only such rows and what they refer to, at any distance.
    """
    arrays = database.arrays
    time = arrays.node_time
    reached = np.zeros(len(time), np.bool_)
    new = np.flatnonzero(time == NO_TIME)
    while len(new):
        reached[new] = True
        parents = np.unique(arrays.parents[new])
        new = parents[(parents >= 0) & ~reached[parents]]
    return not (time[reached] > database.val_timestamp).any()
