"""The sampler's kernel: bounded breadth-first walks over one database, compiled by numba.

A row is visible at the seed's time; NO_TIME is earlier than every time, so that one comparison also serves
rows and seeds without time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from relscale.model.context import MAX_PARENTS, SemType
from relscale.model.store import NO_TIME

NUMBER, TEXT, BOOLEAN = int(SemType.NUMBER), int(SemType.TEXT), int(SemType.BOOLEAN)


class Graph(NamedTuple):
    """One database: arrays of `store.DatabaseArrays`, then its K columns and T task targets.

    cell_value, cell_text   the same bits, read as float32 and as int32
    column_type  int8 [K]     SemType
    column_text  int32 [K]    row of the text table that holds the column's name
    text_rows    int32        the database's strings as rows of the text table
    target_of    int32 [K]    number of the target that a column is; -1: no task predicts it
    hidden       bool [T, K]  columns that give a target away
    own          int64 [T, 4] a target's start in own_ptr, first entity row, number of entity rows (0 for
                              autocomplete, whose labels have no rows of their own), end of its train rows
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
    column_type: np.ndarray
    column_text: np.ndarray
    text_rows: np.ndarray
    target_of: np.ndarray
    hidden: np.ndarray
    own: np.ndarray


class _Pools(NamedTuple):
    """Child rows that wait, by depth: segments of one arena, a chain of segments per depth.

    A segment is what one visited row brought in. A uniform choice from a depth walks its chain and
    removes by swapping with the segment's last element.
    """

    start: np.ndarray
    size: np.ndarray
    following: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    total: np.ndarray


def _kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile, and keep the machine code beside this file or in the user's cache folder.

    Compiling takes 6 to 20 s, which every new worker would pay. The kept code is renewed when this file
    changes; what it takes from other files (MAX_PARENTS, SemType, NO_TIME) is part of the store's format.
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder can be written
        return njit(nogil=True)(function)


@_kept
def fill_contexts(
    graph: Graph,
    here: np.ndarray,
    seed_node: np.ndarray,
    seed_column: np.ndarray,
    key: np.uint64,
    first_index: int,
    width: int,
    mask_prob: float,
    node: np.ndarray,
    parents: np.ndarray,
    column: np.ndarray,
    sem_type: np.ndarray,
    value: np.ndarray,
    text: np.ndarray,
    masked: np.ndarray,
    target: np.ndarray,
) -> None:
    """Write the contexts of some items into the places `here` of a batch.

    seed_node, seed_column : the items. key, first_index : address of the random streams.
    The arrays from `node` on are those of `ContextBatch`, filled with padding.
    """
    length = node.shape[1]
    rows = np.empty(length, np.int32)
    state = np.empty(1, np.uint64)
    for i in range(len(here)):
        at = here[i]
        state[0] = key
        state[0] = _next(state) ^ np.uint64(first_index + at)
        n_rows = _collect(graph, seed_node[i], graph.target_of[seed_column[i]], length, width, state, rows)
        cells, owners = _visible_cells(graph, rows[:n_rows], seed_column[i], length)
        order = _by_column(graph, cells)
        share = mask_prob * _unit(state)
        for place in range(len(order)):
            cell, row = cells[order[place]], owners[order[place]]
            col = graph.cell_column[cell]
            kind = graph.column_type[col]
            node[at, place] = row
            for k in range(graph.parents.shape[1]):
                parents[at, place, k] = graph.parents[row, k]
            column[at, place] = graph.column_text[col]
            sem_type[at, place] = kind
            if kind == TEXT:
                text[at, place] = graph.text_rows[graph.cell_text[cell]]
            else:
                value[at, place] = graph.cell_value[cell]
            if row == seed_node[i] and col == seed_column[i]:
                target[at] = place
                masked[at, place] = True
            elif share > 0 and kind in (NUMBER, BOOLEAN):
                masked[at, place] = _unit(state) < share


@njit(nogil=True)
def _collect(
    graph: Graph, seed: int, target: int, length: int, width: int, state: np.ndarray, rows: np.ndarray
) -> int:
    """Fill `rows` with the rows of a context in the order of their first visit; returns their number.

    Every visit counts at least one cell, so there are at most `length` of them.
    """
    limit = graph.node_time[seed]
    best_node, best_depth = _table(length)
    waiting = np.empty((MAX_PARENTS * (length + 1), 2), np.int64)
    pools = _Pools(
        np.empty(2 * length + 2, np.int64),
        np.empty(2 * length + 2, np.int64),
        np.empty(2 * length + 2, np.int64),
        np.empty(length + 2, np.int64),
        np.empty(length + 2, np.int64),
        np.zeros(length + 2, np.int64),
    )
    arena = np.empty(8 * length, np.int32)
    n_rows, n_cells, n_waiting, n_arena, n_segments = 0, 0, 0, 0, 0
    row, depth = seed, 0
    while row >= 0:
        slot = _slot(best_node, row)
        known = best_node[slot] == row
        if not known or best_depth[slot] > depth:
            n_cells += max(1, graph.cell_ptr[row + 1] - graph.cell_ptr[row])
            if n_cells >= length and row != seed:
                break
            best_node[slot], best_depth[slot] = row, depth
            if not known:
                rows[n_rows] = row
                n_rows += 1
            for k in range(graph.parents.shape[1]):
                parent = graph.parents[row, k]
                if parent >= 0 and (limit == NO_TIME or graph.node_time[parent] <= limit):
                    waiting[n_waiting, 0], waiting[n_waiting, 1] = parent, depth + 1
                    n_waiting += 1
            for is_own in (False, True):
                if is_own:
                    # Of more label rows than the context has cells not all can enter, and they would enter
                    # in random order: a uniform sample of `length` of them serves as well.
                    first, end = _own_rows(graph, row, target, limit)
                    source, size = graph.own_idx, min(end - first, length)
                else:
                    first, end = _child_rows(graph, row, limit)
                    source, size = graph.child_idx, min(end - first, width)
                if size > 0:
                    arena = _grown(arena, n_arena, size)
                    _choose(source, first, end, arena[n_arena : n_arena + size], state)
                    _add(pools, depth + 1, n_segments, n_arena, size)
                    n_arena += size
                    n_segments += 1
        if n_waiting > 0:
            n_waiting -= 1
            row, depth = waiting[n_waiting, 0], waiting[n_waiting, 1]
        else:
            row, depth = _take(pools, arena, state)
    return n_rows


@njit(nogil=True)
def _child_rows(graph: Graph, row: int, limit: int) -> tuple[int, int]:
    """Range in child_idx of the children not later than `limit`."""
    first, high = graph.child_ptr[row], graph.child_ptr[row + 1]
    low = first
    while low < high:
        middle = (low + high) // 2
        if graph.node_time[graph.child_idx[middle]] <= limit:
            low = middle + 1
        else:
            high = middle
    return first, low


@njit(nogil=True)
def _own_rows(graph: Graph, row: int, target: int, limit: int) -> tuple[int, int]:
    """Range in own_idx of the visible label rows of the seed's own task that refer to `row`."""
    entity = row - graph.own[target, 1] if target >= 0 else -1
    if entity < 0 or entity >= graph.own[target, 2]:
        return 0, 0
    place = graph.own[target, 0] + entity
    first, high = graph.own_ptr[place], graph.own_ptr[place + 1]
    low = first
    while low < high:
        middle = (low + high) // 2
        label = graph.own_idx[middle]
        if (label < graph.own[target, 3]) if limit == NO_TIME else (graph.node_time[label] < limit):
            low = middle + 1
        else:
            high = middle
    return first, low


@njit(nogil=True)
def _choose(source: np.ndarray, first: int, end: int, chosen: np.ndarray, state: np.ndarray) -> None:
    """Fill `chosen` with different elements of source[first:end], uniformly (Floyd's algorithm)."""
    size = len(chosen)
    if size == end - first:
        for k in range(size):
            chosen[k] = source[first + k]
        return
    seen, _ = _table(size)
    for k in range(size):
        last = end - first - size + k
        rank = _below(state, last + 1)
        slot = _slot(seen, rank)
        if seen[slot] == rank:
            rank = last
            slot = _slot(seen, rank)
        seen[slot] = rank
        chosen[k] = source[first + rank]


@njit(nogil=True)
def _grown(arena: np.ndarray, used: int, more: int) -> np.ndarray:
    """The arena, or a larger copy of its used part, with room for `more` elements."""
    if used + more <= len(arena):
        return arena
    larger = np.empty(2 * len(arena) + more, np.int32)
    for k in range(used):
        larger[k] = arena[k]
    return larger


@njit(nogil=True)
def _add(pools: _Pools, depth: int, segment: int, start: int, size: int) -> None:
    pools.start[segment], pools.size[segment] = start, size
    if pools.total[depth] == 0:
        pools.head[depth] = segment
    else:
        pools.following[pools.tail[depth]] = segment
    pools.tail[depth] = segment
    pools.total[depth] += size


@njit(nogil=True)
def _take(pools: _Pools, arena: np.ndarray, state: np.ndarray) -> tuple[int, int]:
    """Remove a random row of the smallest depth that has one: the row and its depth, or -1 and -1."""
    depth = 1
    while depth < len(pools.total) and pools.total[depth] == 0:
        depth += 1
    if depth == len(pools.total):
        return -1, -1
    rank = _below(state, pools.total[depth])
    segment = pools.head[depth]
    while rank >= pools.size[segment]:
        rank -= pools.size[segment]
        segment = pools.following[segment]
    pools.total[depth] -= 1
    pools.size[segment] -= 1
    chosen = pools.start[segment] + rank
    row = arena[chosen]
    arena[chosen] = arena[pools.start[segment] + pools.size[segment]]
    return row, depth


@njit(nogil=True)
def _visible_cells(
    graph: Graph, rows: np.ndarray, seed_column: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cells of the rows in visiting order, without those that give the target away; their rows."""
    cells = np.empty(length, np.int64)
    owners = np.empty(length, np.int32)
    seed, target = rows[0], graph.target_of[seed_column]
    has_target = False
    n = 0
    for row in rows:
        hides = target >= 0 and _hides(graph, seed, row, target)
        for cell in range(graph.cell_ptr[row], graph.cell_ptr[row + 1]):
            col = graph.cell_column[cell]
            if row == seed and col == seed_column:
                has_target = True
            elif (hides and graph.hidden[target, col]) or n == length - (0 if has_target else 1):
                continue  # the last place is kept for the target of a row wider than the context
            cells[n], owners[n] = cell, row
            n += 1
    return cells[:n], owners[:n]


@njit(nogil=True)
def _hides(graph: Graph, seed: int, row: int, target: int) -> bool:
    """Whether a row is the seed, of the seed's instant, or the entity that the seed's label is about."""
    time = graph.node_time[seed]
    if row == seed or (time != NO_TIME and graph.node_time[row] == time):
        return True
    return graph.own[target, 2] > 0 and graph.parents[seed, 0] == row


@njit(nogil=True)
def _by_column(graph: Graph, cells: np.ndarray) -> np.ndarray:
    """Places of the cells in the order of their columns, stable (a counting sort)."""
    ends = np.zeros(len(graph.column_type) + 1, np.int64)
    for cell in cells:
        ends[graph.cell_column[cell] + 1] += 1
    for col in range(len(graph.column_type)):
        ends[col + 1] += ends[col]
    order = np.empty(len(cells), np.int64)
    for place, cell in enumerate(cells):
        col = graph.cell_column[cell]
        order[ends[col]] = place
        ends[col] += 1
    return order


@njit(nogil=True)
def _table(n: int) -> tuple[np.ndarray, np.ndarray]:
    """An empty hash table for `n` non-negative integers: keys (-1 is free) and their values."""
    size = 4
    while size < 2 * n:
        size *= 2
    return np.full(size, -1, np.int64), np.empty(size, np.int64)


@njit(nogil=True)
def _slot(keys: np.ndarray, key: int) -> int:
    """Place of `key` in a hash table, or the free place where it belongs (linear probing)."""
    last = len(keys) - 1
    slot = (key * 0x9E3779B1 >> 7) & last
    while keys[slot] != -1 and keys[slot] != key:
        slot = (slot + 1) & last
    return slot


@njit(nogil=True)
def _next(state: np.ndarray) -> np.uint64:
    """Next 64 random bits: splitmix64 (Steele, Lea and Flood 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(nogil=True)
def _below(state: np.ndarray, n: int) -> int:
    """An integer in [0, n), n < 2^32, by multiplication and shift."""
    high = (_next(state) >> np.uint64(32)) * np.uint64(n)
    return np.int64(high >> np.uint64(32))  # type: ignore[return-value]  # int() would stay unsigned


@njit(nogil=True)
def _unit(state: np.ndarray) -> float:
    """A float in [0, 1)."""
    return (_next(state) >> np.uint64(11)) * 2.0**-53
