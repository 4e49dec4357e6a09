"""Encoders of numbers as tables: terms interpolated where a line fits, computed where it does not.

An encoder of numbers is a function of one variable that thousands of rows evaluate. It is computed at a few
ranks of the rows' own values; a pair of intervals whose middle does not lie on the line between its ends is
divided further.
"""

from typing import NamedTuple

import numpy as np

from relscale.generation.networks import WIDTH
from relscale.generation.ranks import BLOCK
from relscale.generation.tiles import TILE, Edges, Rule, encode, tile, transpose
from relscale.generation.totals import combine_lines, combine_rows
from relscale.platform.compiled import compiled

PAIRS = 7
"""Pairs of intervals at first: their 15 knots fill 16 lanes."""
KNOTS = 1024
"""Knots of a table, at most."""
FEWEST = 8
"""Rungs that a pair must span to be divided: it is as cheap to compute the rows of a smaller one."""
TOLERANCE = np.float32(1e-3)
"""Error of interpolation relative to an edge's typical term, at the middle of a pair of intervals."""

ZERO, ONE = np.float32(0), np.float32(1)


class Tables(NamedTuple):
    """Room for the tables of several edges [E], each of up to KNOTS knots in the order of their computation.

    rungs        int32 [E, KNOTS]           of a knot, on its signal's ladder
    terms        float32 [E, KNOTS, WIDTH]
    sizes        float32 [E, KNOTS]         mean of the absolute terms
    n_intervals  int64 [E]
    intervals    int32 [E, KNOTS, 2]        knots at the lower and the upper end
    good         bool [E, KNOTS]            between them, terms may be interpolated
    pairs        int32 [KNOTS, 3]           of intervals still to be tested: lower end, middle, upper end
    stray        int32 [BLOCK]              rows that are computed as they are
    slope        float32 [WIDTH]            of an interval
    straight     int32 [TILE]               0, 1, 2, ...
    """

    rungs: np.ndarray
    terms: np.ndarray
    sizes: np.ndarray
    n_intervals: np.ndarray
    intervals: np.ndarray
    good: np.ndarray
    pairs: np.ndarray
    stray: np.ndarray
    slope: np.ndarray
    straight: np.ndarray


@compiled
def empty_tables(n_edges: int) -> Tables:
    """Room for that many edges."""
    return Tables(
        np.empty((n_edges, KNOTS), np.int32),
        np.empty((n_edges, KNOTS, WIDTH), np.float32),
        np.empty((n_edges, KNOTS), np.float32),
        np.zeros(n_edges, np.int64),
        np.empty((n_edges, KNOTS, 2), np.int32),
        np.empty((n_edges, KNOTS), np.bool_),
        np.empty((KNOTS, 3), np.int32),
        np.empty(BLOCK, np.int32),
        np.empty(WIDTH, np.float32),
        np.arange(TILE).astype(np.int32),
    )


@compiled
def approximate(
    edges: Edges, e: int, ladder: np.ndarray, rule: Rule, tables: Tables, t: int, scratch: np.ndarray
) -> None:
    """Tabulate the encoder of numbers of edge e on the ladder, as table t.

    Every pair of intervals over which interpolation from the ends gives the middle to TOLERANCE becomes two
    good intervals; any other is divided, until it spans fewer than FEWEST rungs.
    """
    rungs, terms, sizes = tables.rungs[t], tables.terms[t], tables.sizes[t]
    intervals, good, pairs = tables.intervals[t], tables.good[t], tables.pairs
    n_knots = 2 * PAIRS + 1
    for k in range(n_knots):
        rungs[k] = k * (len(ladder) - 1) // (2 * PAIRS)
    _compute_knots(edges, e, ladder, rule, tables, t, 0, n_knots, scratch)
    typical = ZERO
    for k in range(PAIRS // 2 + 1, 3 * PAIRS // 2 + 1):
        typical += sizes[k] / np.float32(PAIRS)
    for p in range(PAIRS):
        pairs[p, 0], pairs[p, 1], pairs[p, 2] = 2 * p, 2 * p + 1, 2 * p + 2
    first, n_pairs, n = 0, PAIRS, 0
    while first < n_pairs:
        end, n_known = n_pairs, n_knots
        for p in range(first, end):
            low, middle, high = pairs[p, 0], pairs[p, 1], pairs[p, 2]
            if _fits(terms, sizes, ladder, rungs, low, middle, high, typical):
                intervals[n, 0], intervals[n, 1], good[n] = low, middle, True
                intervals[n + 1, 0], intervals[n + 1, 1], good[n + 1] = middle, high, True
                n += 2
            elif rungs[high] - rungs[low] < FEWEST or n_knots + 2 > KNOTS:
                intervals[n, 0], intervals[n, 1], good[n] = low, high, False
                n += 1
            else:
                rungs[n_knots] = (rungs[low] + rungs[middle]) // 2
                rungs[n_knots + 1] = (rungs[middle] + rungs[high]) // 2
                pairs[n_pairs, 0], pairs[n_pairs, 1], pairs[n_pairs, 2] = low, n_knots, middle
                pairs[n_pairs + 1, 0], pairs[n_pairs + 1, 1], pairs[n_pairs + 1, 2] = middle, n_knots + 1, high
                n_knots, n_pairs = n_knots + 2, n_pairs + 2
        _compute_knots(edges, e, ladder, rule, tables, t, n_known, n_knots, scratch)
        first = end
    tables.n_intervals[t] = n


@compiled
def _compute_knots(
    edges: Edges,
    e: int,
    ladder: np.ndarray,
    rule: Rule,
    tables: Tables,
    t: int,
    first: int,
    end: int,
    scratch: np.ndarray,
) -> None:
    """Terms of edge e at the knots first to end of table t, and their sizes."""
    for start in range(first, end, TILE):
        count = min(TILE, end - start)
        a, b = tile(scratch[0], count), tile(scratch[1], count)
        for k in range(count):
            a[0, k] = ladder[tables.rungs[t, start + k]]
        terms, size = b if encode(edges, e, a, b, rule, 0) else a, scratch[2]
        transpose(terms, tables.terms[t, start : start + count])
        for k in range(count):
            size[k] = ZERO
        for j in range(WIDTH):
            for k in range(count):
                size[k] += abs(terms[j, k])
        for k in range(count):
            tables.sizes[t, start + k] = size[k] / np.float32(WIDTH)


@compiled
def _fits(
    terms: np.ndarray,
    sizes: np.ndarray,
    ladder: np.ndarray,
    rungs: np.ndarray,
    low: int,
    middle: int,
    high: int,
    typical: float,
) -> bool:
    """Whether the terms in the middle lie on the line between the ends."""
    start, width = ladder[rungs[low]], ladder[rungs[high]] - ladder[rungs[low]]
    share = (ladder[rungs[middle]] - start) / width if width > ZERO else np.float32(0.5)
    most, n_wrong = TOLERANCE * (typical + sizes[middle]), 0
    for j in range(terms.shape[1]):
        line = terms[low, j] + share * (terms[high, j] - terms[low, j])
        n_wrong += 0 if abs(line - terms[middle, j]) <= most else 1  # not-a-number is wrong
    return n_wrong == 0


@compiled
def interpolate(
    mode: int,
    edges: Edges,
    e: int,
    x: np.ndarray,
    order: np.ndarray,
    ladder: np.ndarray,
    rule: Rule,
    tables: Tables,
    t: int,
    total: np.ndarray,
    spare: np.ndarray,
    scratch: np.ndarray,
) -> None:
    """Join the terms of edge e, of table t, for a block of rows to the totals [rows, WIDTH].

    x : the rows' values; order : the rows by ascending value; ladder : of the whole signal. Rows in intervals
    that are not good are computed as they are.
    """
    rungs, terms, intervals = tables.rungs[t], tables.terms[t], tables.intervals[t]
    n_stray, stray, slope = 0, tables.stray, tables.slope
    for i in range(tables.n_intervals[t]):
        low, high = intervals[i, 0], intervals[i, 1]
        start, end = _find(x, order, ladder, rungs[low]), _find(x, order, ladder, rungs[high])
        if start == end:
            continue
        if tables.good[t, i]:
            from_x, to_x = ladder[rungs[low]], ladder[rungs[high]]
            per_x = ONE / (to_x - from_x) if to_x > from_x else ZERO
            for j in range(WIDTH):
                slope[j] = (terms[high, j] - terms[low, j]) * per_x
            combine_lines(mode, terms, low, slope, x, from_x, order, start, end, total, spare)
        else:
            for k in range(start, end):
                stray[n_stray] = order[k]
                n_stray += 1
    for first in range(0, n_stray, TILE):
        some = stray[first : min(first + TILE, n_stray)]
        a, b = tile(scratch[0], len(some)), tile(scratch[1], len(some))
        rows = scratch[2, : len(some) * WIDTH].reshape((len(some), WIDTH))
        for r in range(len(some)):
            a[0, r] = x[some[r]]
        transpose(b if encode(edges, e, a, b, rule, 0) else a, rows)
        combine_rows(mode, rows, 0, tables.straight, some, 0, len(some), total, spare)


@compiled
def _find(x: np.ndarray, order: np.ndarray, ladder: np.ndarray, rung: int) -> int:
    """How many of the rows lie below a rung of the ladder; all of them below the last."""
    if rung == len(ladder) - 1:
        return len(x)
    if len(ladder) == len(x):  # of a single block, the ladder is its sorted values
        return rung
    low, high = 0, len(x)
    while low < high:
        middle = (low + high) // 2
        if x[order[middle]] < ladder[rung]:
            low = middle + 1
        else:
            high = middle
    return 0 if rung == 0 else low
