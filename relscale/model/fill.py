"""The sampler's kernel: contexts of a database's items, from rows to the arrays of a batch."""

from typing import NamedTuple

import numpy as np

from relscale.model import draws, further, pools, visible
from relscale.model import graph as graph_module
from relscale.model import walk as walk_module
from relscale.model.context import MAX_PARENTS, SemType
from relscale.model.draws import FREE, next_bits, table_size, unit
from relscale.model.further import OVERSAMPLED, add_further_seeds
from relscale.model.graph import Graph, Rules
from relscale.model.pools import CELLS, LABEL_END, LAST_TIME, ROWS, SHORT, USED, VISITS, Scratch
from relscale.model.store import NO_TIME
from relscale.model.visible import split_bounds
from relscale.model.walk import walk
from relscale.platform.compiled import compiled, kept

NUMBER, TEXT, BOOLEAN = int(SemType.NUMBER), int(SemType.TEXT), int(SemType.BOOLEAN)
ARENA = 64
"""Rows per cell of a context that the lists of rows have room for at first."""


class Tokens(NamedTuple):
    """The arrays of a `ContextBatch`, not yet filled."""

    node: np.ndarray
    parents: np.ndarray
    column: np.ndarray
    sem_type: np.ndarray
    value: np.ndarray
    text: np.ndarray
    masked: np.ndarray
    target: np.ndarray


def new_scratch(rules: Rules, n_columns: int, arena: int = 0) -> Scratch:
    """Room for the work on one context of a database of so many columns."""
    length, n_met = rules.length, rules.n_walks * rules.walk_length
    n_candidates = max(n_met, OVERSAMPLED * length) if n_met else 0
    return Scratch(
        state=np.empty(1, np.uint64),
        counts=np.zeros(VISITS + 1, np.int64),
        rows=np.empty(length, np.int32),
        seen=np.empty(table_size(length), np.int32),
        seen_depth=np.empty(table_size(length), np.int32),
        waiting=np.empty((MAX_PARENTS * (length + 1), 2), np.int32),
        visit_row=np.empty(length + 1, np.int32),
        visit_next=np.empty(length + 1, np.int32),
        head=np.empty(length + 2, np.int32),
        tail=np.empty(length + 2, np.int32),
        segment=np.empty((2 * length + 2, pools.LEFT + 1), np.int64),
        ends=np.empty(2 * length + 2, np.int64),
        arena=np.empty(max(arena, ARENA * length), np.int32),
        column_ends=np.empty(n_columns + 1, np.int64),
        counted=np.full(table_size(n_met) if n_met else 0, FREE, np.int32),
        visits=np.empty(table_size(n_met) if n_met else 0, np.int64),
        candidate=np.empty(n_candidates, np.int32),
        rank=np.empty((n_candidates, 2), np.int64),
    )


@kept(
    __file__,
    *(str(module.__file__) for module in (draws, further, graph_module, pools, visible, walk_module)),
)
def fill_contexts(
    graph: Graph,
    rules: Rules,
    scratch: Scratch,
    here: np.ndarray,
    seed_node: np.ndarray,
    seed_column: np.ndarray,
    key: np.uint64,
    first_index: int,
    tokens: Tokens,
    done: int,
) -> int:
    """Write the contexts of some items into the places `here` of a batch.

    seed_node, seed_column : the items. key, first_index : address of the random streams.
    done : items that earlier calls finished.

    Returns the number of finished items: fewer than all where the arena of `scratch` is too short for one.
    """
    for i in range(done, len(here)):
        at, seed, column = here[i], seed_node[i], seed_column[i]
        target = graph.target_of[column]
        scratch.state[0] = key
        scratch.state[0] = next_bits(scratch.state) ^ np.uint64(first_index + at)
        counts = scratch.counts
        counts[ROWS], counts[CELLS], counts[USED], counts[SHORT] = 0, 0, 0, 0
        bounds = split_bounds(graph, rules.visibility, seed, target)
        counts[LABEL_END], counts[LAST_TIME] = bounds
        for slot in range(len(scratch.seen)):
            scratch.seen[slot] = FREE
        if walk(graph, rules, scratch, seed, seed, target) and rules.n_walks > 0:
            add_further_seeds(graph, rules, scratch, seed, column, target)
        if counts[SHORT] == 1:
            return i
        _write(graph, rules, scratch, at, column, target, tokens)
    return len(here)


@compiled
def _write(
    graph: Graph, rules: Rules, scratch: Scratch, at: int, column: int, target: int, tokens: Tokens
) -> None:
    """Write the cells of the context's rows, sorted by column, stably; then the padding."""
    share = rules.mask_prob * unit(scratch.state) if rules.mask_prob > 0 else 0.0
    n, ends, seed = 0, scratch.column_ends, scratch.rows[0]
    for k in range(len(ends)):
        ends[k] = 0
    for counting in (True, False):
        if not counting:
            for k in range(len(ends) - 1):
                ends[k + 1] += ends[k]
        has_target = False
        n = 0
        for k in range(scratch.counts[ROWS]):
            row = scratch.rows[k]
            hides = target >= 0 and _hides(graph, seed, row, target)
            hides_column = row != seed and graph.node_time[row] > scratch.counts[LAST_TIME]
            for cell in range(graph.cell_ptr[row], graph.cell_ptr[row + 1]):
                col = graph.cell_column[cell]
                is_target = row == seed and col == column
                if is_target:
                    has_target = True
                elif (hides and graph.hidden[target, col]) or (hides_column and col == column):
                    continue
                elif n == rules.length - (0 if has_target else 1):
                    continue  # the last place is kept for the target of a row wider than the context
                n += 1
                if counting:
                    ends[col + 1] += 1
                    continue
                place = ends[col]
                ends[col] += 1
                _write_cell(graph, at, place, row, cell, col, tokens)
                tokens.masked[at, place] = is_target
                if is_target:
                    tokens.target[at] = place
                elif share > 0 and graph.column_type[col] in (NUMBER, BOOLEAN):
                    tokens.masked[at, place] = unit(scratch.state) < share
    _pad(at, n, tokens)


@compiled
def _write_cell(graph: Graph, at: int, place: int, row: int, cell: int, col: int, tokens: Tokens) -> None:
    kind, width = graph.column_type[col], graph.parents.shape[1]
    tokens.node[at, place] = row
    for k in range(MAX_PARENTS):
        tokens.parents[at, place, k] = graph.parents[row, k] if k < width else -1
    tokens.column[at, place] = graph.column_text[col]
    tokens.sem_type[at, place] = kind
    if kind == TEXT:
        tokens.text[at, place] = graph.text_rows[graph.cell_text[cell]]
        tokens.value[at, place] = 0
    else:
        tokens.text[at, place] = 0
        tokens.value[at, place] = graph.cell_value[cell]


@compiled
def _pad(at: int, n: int, tokens: Tokens) -> None:
    for place in range(n, tokens.node.shape[1]):
        tokens.node[at, place] = -1
        for k in range(MAX_PARENTS):
            tokens.parents[at, place, k] = -1
        tokens.column[at, place] = 0
        tokens.sem_type[at, place] = 0
        tokens.value[at, place] = 0
        tokens.text[at, place] = 0
        tokens.masked[at, place] = False


@compiled
def _hides(graph: Graph, seed: int, row: int, target: int) -> bool:
    """Whether a row is the seed, of the seed's instant, or the entity that the seed's label is about."""
    time = graph.node_time[seed]
    if row == seed or (time != NO_TIME and graph.node_time[row] == time):
        return True
    return graph.own[target, 2] > 0 and graph.parents[seed, 0] == row
