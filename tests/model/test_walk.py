"""The compiled walk equals a plain loop over lists that draws the same random numbers."""

import numpy as np
import pytest

from relscale.model.config import SamplerConfig
from relscale.model.context import ContextBatch
from relscale.model.items import Items, task_items, training_items
from relscale.model.sampler import sample_contexts
from relscale.model.store import NO_TIME, DatabaseStore, TokenStore
from relscale.platform.seeds import Purpose, integer

BITS = 2**64


class Splitmix:
    """splitmix64 in Python integers."""

    def __init__(self, state: int) -> None:
        self.state = state

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) % BITS
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % BITS
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % BITS
        return z ^ (z >> 31)

    def below(self, n: int) -> int:
        return ((self.next() >> 32) * n) >> 32

    def choose(self, rows: list[int], size: int) -> list[int]:
        """Floyd's sample; all of them if there are no more than `size`."""
        if len(rows) <= size:
            return list(rows)
        ranks: list[int] = []
        for last in range(len(rows) - size, len(rows)):
            rank = self.below(last + 1)
            ranks.append(last if rank in ranks else rank)
        return [rows[rank] for rank in ranks]


class Oracle:
    """The procedure of the sampler's docstring on lists and dictionaries."""

    def __init__(self, database: DatabaseStore) -> None:
        self.database = database
        arrays = database.arrays
        self.time = arrays.node_time.tolist()
        self.parents = [[p for p in row if p >= 0] for row in arrays.parents.tolist()]
        self.cells = [
            arrays.cell_column[first:end].tolist()
            for first, end in zip(arrays.cell_ptr[:-1], arrays.cell_ptr[1:], strict=True)
        ]
        self.table = {}
        self.children: dict[int, list[int]] = {}
        self.labels: dict[tuple[str, int], list[int]] = {}
        for table in database.tables:
            for node in range(table.offset, table.offset + table.n_rows):
                self.table[node] = table
                for parent in self.parents[node]:
                    if table.kind == "db":
                        self.children.setdefault(parent, []).append(node)
                    else:
                        self.labels.setdefault((table.name, parent), []).append(node)
        for rows in [*self.children.values(), *self.labels.values()]:
            rows.sort(key=lambda node: (self.time[node], node))

    def rows(self, seed: int, column: int, config: SamplerConfig, rng: Splitmix) -> list[int]:
        limit, task = self.time[seed], self.database.columns[column]
        stack: list[tuple[int, int]] = []
        pools: dict[int, list[list[int]]] = {}
        best: dict[int, int] = {}
        n_cells, depth, row = 0, 0, seed
        while True:
            if row not in best or best[row] > depth:
                n_cells += max(1, len(self.cells[row]))
                if n_cells >= config.context_length and row != seed:
                    return list(best)
                best[row] = depth
                for parent in self.parents[row]:
                    if limit == NO_TIME or self.time[parent] <= limit:
                        stack.append((depth + 1, parent))
                children = [c for c in self.children.get(row, []) if self.time[c] <= limit]
                own = self.labels.get((task.table, row), []) if task.is_task else []
                own = [label for label in own if self.time[label] < limit]
                for rows, size in ((children, config.bfs_width), (own, config.context_length)):
                    if rows:
                        pools.setdefault(depth + 1, []).append(rng.choose(rows, size))
            if stack:
                depth, row = stack.pop()
                continue
            waiting = [d for d in sorted(pools) if any(pools[d])]
            if not waiting:
                return list(best)
            depth = waiting[0]
            rank = rng.below(sum(map(len, pools[depth])))
            for segment in pools[depth]:
                if rank < len(segment):
                    row = segment[rank]
                    segment[rank] = segment[-1]
                    segment.pop()
                    break
                rank -= len(segment)

    def tokens(self, seed: int, column: int, config: SamplerConfig, rng: Splitmix) -> list[tuple[int, int]]:
        """(row, column) of every token, in order."""
        hidden, entity = set(), -1
        for task in self.database.tasks:
            if self.database.column_index(task.table, task.target_col) == column:
                hidden |= {self.database.column_index(*pair) for pair in task.remove_columns}
                entity = -1 if task.is_autocomplete else self.parents[seed][0]
        found = []
        for row in self.rows(seed, column, config, rng):
            same_time = self.time[row] == self.time[seed] != NO_TIME
            for cell in self.cells[row]:
                if (row, cell) == (seed, column) or not (
                    cell in hidden and (row in (seed, entity) or same_time)
                ):
                    found.append((row, cell))
        if len(found) > config.context_length:  # only a seed wider than the context
            before = [pair for pair in found if pair != (seed, column)][: config.context_length - 1]
            found = [pair for pair in found if pair == (seed, column) or pair in before]
        return sorted(found, key=lambda pair: pair[1])


def _assert_equal(store: TokenStore, name: str, items: Items, config: SamplerConfig) -> None:
    database, seed, first_index = store.database(name), 5, 77
    oracle = Oracle(database)
    batch: ContextBatch = sample_contexts(store, [name], items, config, seed=seed, first_index=first_index)
    key = integer(seed, Purpose.CONTEXT)
    column_of = {column.text_row: i for i, column in enumerate(database.columns)}
    for i in range(len(items)):
        rng = Splitmix(Splitmix(key).next() ^ (first_index + i))
        expected = oracle.tokens(int(items.node[i]), int(items.column[i]), config, rng)
        n = int((batch.node[i] >= 0).sum())
        columns = [column_of[row] for row in batch.column[i, :n].tolist()]
        assert list(zip(batch.node[i, :n].tolist(), columns, strict=True)) == expected


@pytest.mark.parametrize("length", [3, 9, 20, 40, 128])
@pytest.mark.parametrize("width", [1, 2, 50])
def test_equal_on_every_cell_of_the_hand_made_database(handmade_store: TokenStore, length: int, width: int):
    shop = handmade_store.database("shop")
    parts = [task_items(shop, task.name, split) for task in shop.tasks for split in ("train", "val", "test")]
    parts.append(training_items(handmade_store, ["shop"], seed=0).locate(0, 60))
    items = Items(**{f: np.concatenate([getattr(p, f) for p in parts]) for f in Items.__slots__})
    _assert_equal(handmade_store, "shop", items, SamplerConfig(context_length=length, bfs_width=width))


@pytest.mark.parametrize(("length", "width"), [(256, 128), (1024, 4)])
def test_equal_on_the_real_database(rel_f1_store: TokenStore, length: int, width: int):
    database = rel_f1_store.database("rel-f1")
    parts = [task_items(database, task.name, "test").slice(0, 25) for task in database.tasks]
    parts.append(training_items(rel_f1_store, ["rel-f1"], seed=0).locate(0, 40))
    items = Items(**{f: np.concatenate([getattr(p, f) for p in parts]) for f in Items.__slots__})
    _assert_equal(rel_f1_store, "rel-f1", items, SamplerConfig(context_length=length, bfs_width=width))
