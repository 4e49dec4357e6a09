"""Which rows are visible at a time, inside the sampler's kernel.

NO_TIME is earlier than every time, so that one comparison also serves rows and seeds without time.
"""

import numpy as np

from relscale.model.graph import VISIBILITIES, Graph
from relscale.model.store import NO_TIME
from relscale.platform.compiled import compiled

TEMPORAL, STRICT = VISIBILITIES.index("temporal"), VISIBILITIES.index("strict")
NOTHING = int(np.iinfo(np.int64).max)
"""A bound beyond every row and time, so that nothing is hidden by its split."""


@compiled
def split_bounds(graph: Graph, visibility: int, seed: int, target: int) -> tuple[int, int]:
    """What the splits hide from a seed: label rows from the first number on; later than the second, cells.

    The first is of targets with label rows, the second of columns of db tables.
    """
    if visibility == TEMPORAL:
        return NOTHING, NOTHING
    if target >= 0 and graph.own[target, 2] > 0:
        after_val = visibility == STRICT and seed >= graph.own[target, 4]
        return graph.own[target, 4 if after_val else 3], NOTHING
    after_val = visibility == STRICT and graph.node_time[seed] > graph.test_time
    return NOTHING, graph.test_time if after_val else graph.val_time


@compiled
def parent_is_visible(graph: Graph, parent: int, limit: int) -> bool:
    """Whether a row is there and not later than `limit`; NO_TIME is no limit."""
    return parent >= 0 and (limit == NO_TIME or graph.node_time[parent] <= limit)


@compiled
def child_range(graph: Graph, row: int, limit: int) -> tuple[int, int]:
    """Range in child_idx of the children not later than `limit`."""
    first, high = graph.child_ptr[row], graph.child_ptr[row + 1]
    if first == high or graph.node_time[graph.child_idx[high - 1]] <= limit:
        return first, high
    low = first
    while low < high:
        middle = (low + high) // 2
        if graph.node_time[graph.child_idx[middle]] <= limit:
            low = middle + 1
        else:
            high = middle
    return first, low


@compiled
def own_range(graph: Graph, row: int, target: int, limit: int) -> tuple[int, int]:
    """Range in own_idx of the label rows of a target that refer to `row` and are earlier than `limit`.

    Without a limit: label rows without time, of the train split.
    """
    entity = row - graph.own[target, 1] if target >= 0 else -1
    if entity < 0 or entity >= graph.own[target, 2]:
        return 0, 0
    place = graph.own[target, 0] + entity
    first, high = graph.own_ptr[place], graph.own_ptr[place + 1]
    low = first
    while low < high:
        middle = (low + high) // 2
        label = graph.own_idx[middle]
        time = graph.node_time[label]
        if (time == NO_TIME and label < graph.own[target, 3]) if limit == NO_TIME else time < limit:
            low = middle + 1
        else:
            high = middle
    return first, low


@compiled
def serves_as_seed(graph: Graph, row: int, seed: int, column: int, target: int, limit: int) -> bool:
    """Whether a row may show its label beside the seed: strictly earlier, with a value. Splits aside."""
    if row == seed or row < graph.column_rows[column, 0] or row >= graph.column_rows[column, 1]:
        return False
    time = graph.node_time[row]
    if time != NO_TIME and time >= limit:
        return False
    if limit == NO_TIME and target >= 0 and graph.own[target, 2] > 0 and row >= graph.own[target, 3]:
        return False
    for cell in range(graph.cell_ptr[row], graph.cell_ptr[row + 1]):
        if graph.cell_column[cell] == column:
            return True
    return False
