"""One bounded breadth-first walk from a seed, inside the sampler's kernel."""

from relscale.model.draws import slot_of
from relscale.model.graph import Graph, Rules
from relscale.model.pools import CELLS, DEEPEST, DEPTH, REST, ROWS, VISITS, Scratch, hidden_label, next_child
from relscale.model.store import NO_TIME
from relscale.model.visible import own_range, parent_is_visible
from relscale.platform.compiled import compiled


@compiled
def walk(graph: Graph, rules: Rules, scratch: Scratch, start: int, seed: int, target: int) -> bool:
    """Visit rows around `start`; False when the context can hold no more.

    start : the seed of the context or, later, another row that may show its label beside it. The walk
        sees what is visible at the time of `start`.
    """
    counts = scratch.counts
    limit = graph.node_time[start]
    parent_limit = limit if limit != NO_TIME else graph.node_time[seed]
    counts[DEPTH], counts[DEEPEST], counts[REST], counts[VISITS] = 0, -1, 0, 0
    n_local, n_waiting = 0, 0
    row, depth = start, 0
    while row >= 0:
        slot = slot_of(scratch.seen, row)
        known = scratch.seen[slot] == row
        if not known or scratch.seen_depth[slot] > depth:
            # A row without cells counts as one, which bounds the walk.
            n_cells = max(1, graph.cell_ptr[row + 1] - graph.cell_ptr[row])
            n_local += n_cells
            if row != seed or known:
                if not known and counts[CELLS] + n_cells >= rules.length:
                    return False
                if n_local >= rules.local:
                    return True
            if not known:
                _enter(scratch, row, n_cells)
            scratch.seen[slot], scratch.seen_depth[slot] = row, depth
            _record(scratch, row, depth)
            n_waiting = _push_parents(graph, scratch, row, depth + 1, parent_limit, n_waiting)
            if rules.own_first and row == seed and not _enter_own_rows(graph, rules, scratch, seed, target):
                return False
        if n_waiting > 0:
            n_waiting -= 1
            row, depth = scratch.waiting[n_waiting, 0], scratch.waiting[n_waiting, 1]
        else:
            row, depth = next_child(graph, rules, scratch, target, limit)
    return True


@compiled
def _enter(scratch: Scratch, row: int, n_cells: int) -> None:
    """Add a row to the context."""
    scratch.rows[scratch.counts[ROWS]] = row
    scratch.counts[ROWS] += 1
    scratch.counts[CELLS] += n_cells


@compiled
def _record(scratch: Scratch, row: int, depth: int) -> None:
    """Note a visit, so that the row's children join the pool of the next depth."""
    counts, visit = scratch.counts, scratch.counts[VISITS]
    scratch.visit_row[visit], scratch.visit_next[visit] = row, -1
    while counts[DEEPEST] < depth:
        counts[DEEPEST] += 1
        scratch.head[counts[DEEPEST]] = -1
    if scratch.head[depth] < 0:
        scratch.head[depth] = visit
    else:
        scratch.visit_next[scratch.tail[depth]] = visit
    scratch.tail[depth] = visit
    counts[VISITS] += 1


@compiled
def _push_parents(graph: Graph, scratch: Scratch, row: int, depth: int, limit: int, n_waiting: int) -> int:
    for k in range(graph.parents.shape[1]):
        parent = graph.parents[row, k]
        if parent < 0:
            continue
        slot = slot_of(scratch.seen, parent)
        if scratch.seen[slot] == parent and scratch.seen_depth[slot] <= depth:
            continue
        if parent_is_visible(graph, parent, limit):
            scratch.waiting[n_waiting, 0], scratch.waiting[n_waiting, 1] = parent, depth
            n_waiting += 1
    return n_waiting


@compiled
def _enter_own_rows(graph: Graph, rules: Rules, scratch: Scratch, seed: int, target: int) -> bool:
    """Add the label rows of the seed's entity, the latest first; False when the context can hold no more.

    Their only parent is the entity, which the seed brings in, and they have no children.
    """
    if target < 0 or graph.own[target, 2] == 0:
        return True
    first, end = own_range(graph, graph.parents[seed, 0], target, graph.node_time[seed])
    for place in range(end - 1, first - 1, -1):
        row = graph.own_idx[place]
        if hidden_label(scratch, row):
            continue
        n_cells = max(1, graph.cell_ptr[row + 1] - graph.cell_ptr[row])
        if scratch.counts[CELLS] + n_cells >= rules.length:
            return False
        _enter(scratch, row, n_cells)
        slot = slot_of(scratch.seen, row)
        scratch.seen[slot], scratch.seen_depth[slot] = row, 2
    return True
