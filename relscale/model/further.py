"""Further seeds of a context: rows of the target's table near the seed, then random ones.

As RT-J (relational-transformer 1.10): rows are ranked by how often random walks from the seed meet them. All
of them lie in the strict past of the seed and have a label; what a walk around one sees is bounded by that
row's own time.
"""

from relscale.model.draws import FREE, below, next_bits, slot_of
from relscale.model.graph import Graph, Rules
from relscale.model.pools import CELLS, LAST_TIME, SHORT, Scratch, hidden_label
from relscale.model.visible import child_range, own_range, parent_is_visible, serves_as_seed
from relscale.model.walk import walk
from relscale.platform.compiled import compiled

OVERSAMPLED = 4
"""Random rows drawn for each that is used, where the latest go first (RT-J)."""


@compiled
def add_further_seeds(
    graph: Graph, rules: Rules, scratch: Scratch, seed: int, column: int, target: int
) -> None:
    """Walk around one further seed after another until the context is full or none is left."""
    n = _met_on_walks(graph, rules, scratch, seed, column, target)
    if not _walk_around(graph, rules, scratch, n, seed, target):
        return
    n = _random_rows(graph, rules, scratch, seed, column, target)
    _walk_around(graph, rules, scratch, n, seed, target)


@compiled
def _walk_around(graph: Graph, rules: Rules, scratch: Scratch, n: int, seed: int, target: int) -> bool:
    """Walk around the `n` candidates, the greatest rank first; False when the context can hold no more."""
    for k in range(n // 2 - 1, -1, -1):
        _sift(scratch, k, n)
    while n > 0 and scratch.counts[SHORT] == 0:
        if not walk(graph, rules, scratch, scratch.candidate[0], seed, target):
            return False
        n -= 1
        _move(scratch, n, 0)
        _sift(scratch, 0, n)
    return True


@compiled
def _met_on_walks(graph: Graph, rules: Rules, scratch: Scratch, seed: int, column: int, target: int) -> int:
    """Make candidates of the rows that random walks from the seed meet; returns their number."""
    limit, n = graph.node_time[seed], 0
    for _ in range(rules.n_walks):
        row = seed
        for _ in range(rules.walk_length):
            row = _neighbour(graph, rules, scratch, row, target, limit)
            if row < 0:
                break
            if _serves(graph, scratch, row, seed, column, target):
                slot = slot_of(scratch.counted, row)
                if scratch.counted[slot] == FREE:
                    scratch.counted[slot], scratch.visits[slot] = row, 0
                    scratch.candidate[n] = row
                    n += 1
                scratch.visits[slot] += 1
    for k in range(n):
        slot = slot_of(scratch.counted, scratch.candidate[k])
        _rank(graph, rules, scratch, k, scratch.visits[slot])
    for k in range(len(scratch.counted) if n > 0 else 0):
        scratch.counted[k] = FREE
    return n


@compiled
def _serves(graph: Graph, scratch: Scratch, row: int, seed: int, column: int, target: int) -> bool:
    """Whether a row may show its label beside the seed."""
    if hidden_label(scratch, row) or graph.node_time[row] > scratch.counts[LAST_TIME]:
        return False
    return serves_as_seed(graph, row, seed, column, target, graph.node_time[seed])


@compiled
def _neighbour(graph: Graph, rules: Rules, scratch: Scratch, row: int, target: int, limit: int) -> int:
    """A uniformly random visible parent, child or label row of `row`; -1 if there is none.

    A hidden label is not stepped on: the walk stays where it is.
    """
    n_parents = 0
    for k in range(graph.parents.shape[1]):
        n_parents += parent_is_visible(graph, graph.parents[row, k], limit)
    first, end = child_range(graph, row, limit)
    own_first, own_end = own_range(graph, row, target, limit)
    total = n_parents + (end - first) + (own_end - own_first)
    if total == 0:
        return -1
    rank = below(scratch.state, total)
    if rank < n_parents:
        for k in range(graph.parents.shape[1]):
            if parent_is_visible(graph, graph.parents[row, k], limit):
                if rank == 0:
                    return graph.parents[row, k]
                rank -= 1
    rank -= n_parents
    if rank < end - first:
        return graph.child_idx[first + rank]
    label = graph.own_idx[own_first + rank - (end - first)]
    return row if hidden_label(scratch, label) else label


@compiled
def _random_rows(graph: Graph, rules: Rules, scratch: Scratch, seed: int, column: int, target: int) -> int:
    """Make candidates of random rows of the target's table, as many as cells are left; their number.

    Rows are drawn with replacement where the table is larger: a walk around a row that served before ends
    at once.
    """
    first, end = graph.column_rows[column, 0], graph.column_rows[column, 1]
    n_draws = rules.length - scratch.counts[CELLS]
    if rules.latest:
        n_draws *= OVERSAMPLED
    n = 0
    for k in range(min(n_draws, end - first)):
        row = first + k if end - first <= n_draws else first + below(scratch.state, end - first)
        if _serves(graph, scratch, row, seed, column, target):
            scratch.candidate[n] = row
            _rank(graph, rules, scratch, n, 0)
            n += 1
    return n


@compiled
def _rank(graph: Graph, rules: Rules, scratch: Scratch, k: int, n_visits: int) -> None:
    """Rank a candidate: by time where the latest go first, then by visits, then at random."""
    scratch.rank[k, 0] = graph.node_time[scratch.candidate[k]] if rules.latest else 0
    scratch.rank[k, 1] = (n_visits << 32) + (next_bits(scratch.state) >> 32)


@compiled
def _sift(scratch: Scratch, k: int, n: int) -> None:
    """Restore the heap of candidates below place `k`: no rank is greater than that of the place above."""
    row, time, rest = scratch.candidate[k], scratch.rank[k, 0], scratch.rank[k, 1]
    while 2 * k + 1 < n:
        below_k = 2 * k + 1
        if below_k + 1 < n and _is_greater(
            scratch, below_k + 1, scratch.rank[below_k, 0], scratch.rank[below_k, 1]
        ):
            below_k += 1
        if not _is_greater(scratch, below_k, time, rest):
            break
        _move(scratch, below_k, k)
        k = below_k
    scratch.candidate[k], scratch.rank[k, 0], scratch.rank[k, 1] = row, time, rest


@compiled
def _is_greater(scratch: Scratch, k: int, time: int, rest: int) -> bool:
    return scratch.rank[k, 0] > time or (scratch.rank[k, 0] == time and scratch.rank[k, 1] > rest)


@compiled
def _move(scratch: Scratch, source: int, place: int) -> None:
    scratch.candidate[place] = scratch.candidate[source]
    scratch.rank[place, 0], scratch.rank[place, 1] = scratch.rank[source, 0], scratch.rank[source, 1]
