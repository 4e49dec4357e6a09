"""Child rows that wait to be visited, one depth at a time, inside the sampler's kernel.

The pool of a depth is made of the children and label rows of all rows visited one depth above, at most
`bfs_width` children of each. It is never written out: a rank in it is looked up as a segment (what one row
brings in) and a place there, and only segments with more children than the width keep a list of those
chosen so far. A row that is drawn twice has been visited and is drawn past, which gives the same law as
drawing without replacement; when too many draws are in vain, the rows that remain are listed after all.
"""

from typing import NamedTuple

import numpy as np

from relscale.model.draws import FREE, below, slot_of
from relscale.model.graph import Graph, Rules
from relscale.model.visible import child_range, own_range
from relscale.platform.compiled import compiled

FIRST, SPAN, OWN, SIZE, PLACE, LEFT = range(6)
"""Of a segment: start in child_idx or own_idx, rows there, whether own_idx, rows of it in the pool, start of
the list of chosen rows in the arena (-1: none yet), rows not yet taken (only where the latest go first)."""

(
    DEPTH, DEEPEST, SEGMENTS, REST, MISSES, LISTED, USED, SHORT, ROWS, CELLS, LABEL_END, LAST_TIME, VISITS,
) = range(13)  # fmt: skip
"""Of the counts: depth of the open pool, deepest visited row, segments of the pool, ranks left in it, draws
in vain, start in the arena of the list of remaining rows (-1: not listed), used part of the arena, whether
the arena was too short, rows and cells of the context, what the splits hide from its seed (see
`visible.split_bounds`), visits of this walk."""


class Scratch(NamedTuple):
    """Room for the work on one context; H and M are sizes of hash tables, S the context length.

    state       uint64 [1]        random numbers
    counts      int64 [13]        see DEPTH .. VISITS
    rows        int32 [S]         rows of the context in the order of their first visit
    seen, seen_depth  int32 [H]   visited rows and their smallest depth
    waiting     int32 [.., 2]     parents to visit, with their depths
    visit_row, visit_next  int32 [S]   visits of this walk, chained by depth
    head, tail  int32 [S+2]       first and last visit of a depth
    segment     int64 [2S, 6]     segments of the open pool
    ends        int64 [2S]        running sum of their sizes
    arena       int32             lists of rows
    column_ends int64             running sum of cells by column
    counted     int32 [M]         rows that random walks met
    visits      int64 [M]         how often
    candidate   int32             rows that may serve as further seeds
    rank        int64 [.., 2]     what they are taken by, the greatest first
    """

    state: np.ndarray
    counts: np.ndarray
    rows: np.ndarray
    seen: np.ndarray
    seen_depth: np.ndarray
    waiting: np.ndarray
    visit_row: np.ndarray
    visit_next: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    segment: np.ndarray
    ends: np.ndarray
    arena: np.ndarray
    column_ends: np.ndarray
    counted: np.ndarray
    visits: np.ndarray
    candidate: np.ndarray
    rank: np.ndarray


@compiled
def next_child(graph: Graph, rules: Rules, scratch: Scratch, target: int, limit: int) -> tuple[int, int]:
    """Take a row from the pool of the smallest depth that has one: the row and its depth, or -1 and -1."""
    counts = scratch.counts
    while counts[SHORT] == 0:
        if counts[REST] == 0:
            if counts[DEPTH] > counts[DEEPEST]:
                break
            counts[DEPTH] += 1
            _open(graph, rules, scratch, target, limit)
        elif rules.latest:
            row = _take_latest(graph, scratch)
            if not _in_vain(graph, rules, scratch, target, row):
                return row, counts[DEPTH]
        elif counts[LISTED] >= 0:
            place = counts[LISTED] + below(scratch.state, counts[REST])
            row = scratch.arena[place]
            counts[REST] -= 1
            scratch.arena[place] = scratch.arena[counts[LISTED] + counts[REST]]
            return row, counts[DEPTH]
        elif counts[MISSES] * 4 >= counts[REST]:
            _list(graph, rules, scratch, target)
        else:
            row = _draw(graph, scratch)
            if not _in_vain(graph, rules, scratch, target, row):
                return row, counts[DEPTH]
            counts[MISSES] += 1
    return -1, -1


@compiled
def _open(graph: Graph, rules: Rules, scratch: Scratch, target: int, limit: int) -> None:
    """Make the pool of depth `counts[DEPTH]` from the rows visited one depth above."""
    counts, n, total = scratch.counts, 0, 0
    visit = scratch.head[counts[DEPTH] - 1]
    while visit >= 0:
        row = scratch.visit_row[visit]
        for own in range(2):
            if own == 1:
                first, end = own_range(graph, row, target, limit)
                size = end - first
            else:
                first, end = child_range(graph, row, limit)
                size = min(end - first, rules.width)
            if size > 0:
                scratch.segment[n, FIRST], scratch.segment[n, SPAN] = first, end - first
                scratch.segment[n, OWN], scratch.segment[n, SIZE] = own, size
                scratch.segment[n, PLACE], scratch.segment[n, LEFT] = -1, size
                total += size
                scratch.ends[n] = total
                n += 1
        visit = scratch.visit_next[visit]
    counts[SEGMENTS], counts[REST], counts[MISSES], counts[LISTED] = n, total, 0, -1
    counts[USED] = 0


@compiled
def _in_vain(graph: Graph, rules: Rules, scratch: Scratch, target: int, row: int) -> bool:
    """Whether a row cannot enter: visited at no greater depth, or a label that the split hides."""
    slot = slot_of(scratch.seen, row)
    if scratch.seen[slot] == row and scratch.seen_depth[slot] <= scratch.counts[DEPTH]:
        return True
    return hidden_label(scratch, row)


@compiled
def hidden_label(scratch: Scratch, row: int) -> bool:
    """Whether a row is a label of a split that the seed must not see."""
    return row >= scratch.counts[LABEL_END]  # db rows come before all label rows, other tasks' are never met


@compiled
def _draw(graph: Graph, scratch: Scratch) -> int:
    """A row of the pool, uniformly; -1 if the arena is too short."""
    rank = below(scratch.state, scratch.counts[REST])
    low, high = 0, scratch.counts[SEGMENTS] - 1
    while low < high:
        middle = (low + high) // 2
        if scratch.ends[middle] <= rank:
            low = middle + 1
        else:
            high = middle
    return _row_at(graph, scratch, low, rank - (scratch.ends[low - 1] if low > 0 else 0))


@compiled
def _row_at(graph: Graph, scratch: Scratch, number: int, place: int) -> int:
    """Row at a place of a segment; of more children than the width, each place holds a random one."""
    segment, arena, counts = scratch.segment, scratch.arena, scratch.counts
    first, span, size = segment[number, FIRST], segment[number, SPAN], segment[number, SIZE]
    if segment[number, OWN] == 1:
        return graph.own_idx[first + place]
    if span == size:
        return graph.child_idx[first + place]
    start = segment[number, PLACE]
    if start < 0:
        start = counts[USED]
        if start + size > len(arena):
            counts[SHORT] = 1
            return 0
        segment[number, PLACE] = start
        counts[USED] += size
        for k in range(start, start + size):
            arena[k] = FREE
    if arena[start + place] == FREE:
        # Positions in child_idx, not rows: a row that refers twice to its parent counts twice.
        chosen = below(scratch.state, span)
        while _holds(arena, start, size, chosen):
            chosen = below(scratch.state, span)
        arena[start + place] = chosen
    return graph.child_idx[first + arena[start + place]]


@compiled
def _holds(arena: np.ndarray, start: int, size: int, value: int) -> bool:
    found = False
    for k in range(start, start + size):  # without a way out: one vector loop
        found |= arena[k] == value
    return found


@compiled
def _list(graph: Graph, rules: Rules, scratch: Scratch, target: int) -> None:
    """Write the rows of the pool that can still enter into the arena."""
    counts, start = scratch.counts, 0
    listed = 0
    for number in range(counts[SEGMENTS]):
        for place in range(scratch.segment[number, SIZE]):
            row = _row_at(graph, scratch, number, place)
            if counts[SHORT] == 1:
                return
            if not _in_vain(graph, rules, scratch, target, row):
                start = len(scratch.arena) - 1 - listed  # from the end: lists of segments grow at the front
                if start < counts[USED]:
                    counts[SHORT] = 1
                    return
                scratch.arena[start] = row
                listed += 1
    counts[LISTED], counts[REST] = start, listed


@compiled
def _take_latest(graph: Graph, scratch: Scratch) -> int:
    """The latest row of the pool, of the earliest visited parent among equals."""
    best, best_row, best_time = -1, -1, 0
    for number in range(scratch.counts[SEGMENTS]):
        if scratch.segment[number, LEFT] > 0:
            row = _last_row(graph, scratch, number)
            if best < 0 or graph.node_time[row] > best_time:
                best, best_row, best_time = number, row, graph.node_time[row]
    scratch.segment[best, LEFT] -= 1
    scratch.counts[REST] -= 1
    return best_row


@compiled
def _last_row(graph: Graph, scratch: Scratch, number: int) -> int:
    taken = scratch.segment[number, SIZE] - scratch.segment[number, LEFT]
    place = scratch.segment[number, FIRST] + scratch.segment[number, SPAN] - 1 - taken
    return graph.own_idx[place] if scratch.segment[number, OWN] == 1 else graph.child_idx[place]
