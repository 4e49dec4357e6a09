"""Encoders of numbers as tables: terms interpolated where a line fits, computed where it does not.

An encoder of numbers is a function of one variable that thousands of rows evaluate. It is computed at a few
ranks of the rows' own values; a pair of intervals whose middle does not lie on the line between its ends is
divided further.
"""

from typing import NamedTuple

import numpy as np

from relscale.generation.networks import WIDTH
from relscale.generation.ranks import BLOCK
from relscale.generation.tiles import ANY_ROW, TILE, Edges, Rule, encode, tile, transpose
from relscale.generation.totals import MAX, PRODUCT, SUM, combine, combine_rows
from relscale.generation.vectors import add_line, put_line, raise_line, scale_line
from relscale.platform.compiled import compiled

PAIRS = 7
"""Pairs of intervals at first: their 15 knots fill 16 lanes."""
KNOTS, MANY_KNOTS = 256, 1024
"""Knots of a table, for signals of one block of rows and of more. What a table leaves the next may use."""
FEWEST = 8
"""Rungs that a pair must span to be divided: it is as cheap to compute the rows of a smaller one."""
TOLERANCE = np.float32(1e-3)
"""Error of interpolation relative to an edge's typical term, at the middle of a pair of intervals."""

ZERO, ONE = np.float32(0), np.float32(1)
NOTHING = np.float32(-1e30)
"""A term that adds nothing to a sum of exponentials."""


class Tables(NamedTuple):
    """Room for the tables of several edges [E], one after the other.

    first        int64 [E + 1]              of the knots, and of the intervals, of each table
    rungs        int32 [..]                 of a knot, on its signal's ladder
    terms        float32 [.., WIDTH]
    sizes        float32 [..]               mean of the absolute terms
    n_intervals  int64 [E]
    intervals    int32 [.., 2]              knots at the lower and the upper end
    good         bool [..]                  between them, terms may be interpolated
    origins      float32 [..]               of intervals: x at the lower end
    bases        float32 [.., WIDTH]        their terms there
    slopes       float32 [.., WIDTH]        and the rise of these with x
    places       int16 [E, BLOCK]           the interval of each row of a block, -1 if it is not good
    pairs        int32 [.., 3]              of intervals still to be tested: lower end, middle, upper end
    stray        int32 [BLOCK]              rows that are computed as they are
    lines        float32 [TILE, WIDTH]      interpolated terms
    straight     int32 [TILE]               0, 1, 2, ...
    """

    first: np.ndarray
    rungs: np.ndarray
    terms: np.ndarray
    sizes: np.ndarray
    n_intervals: np.ndarray
    intervals: np.ndarray
    good: np.ndarray
    origins: np.ndarray
    bases: np.ndarray
    slopes: np.ndarray
    places: np.ndarray
    pairs: np.ndarray
    stray: np.ndarray
    lines: np.ndarray
    straight: np.ndarray


def empty_tables(n_edges: int, n_knots: int) -> Tables:
    """Room for that many edges, with so many knots each."""
    room = n_edges * n_knots
    return Tables(
        np.zeros(n_edges + 1, np.int64),
        np.empty(room, np.int32),
        np.empty((room, WIDTH), np.float32),
        np.empty(room, np.float32),
        np.zeros(n_edges, np.int64),
        np.empty((room, 2), np.int32),
        np.empty(room, bool),
        np.empty(room, np.float32),
        np.empty((room, WIDTH), np.float32),
        np.empty((room, WIDTH), np.float32),
        np.empty((n_edges, BLOCK), np.int16),
        np.empty((room, 3), np.int32),
        np.empty(BLOCK, np.int32),
        np.empty((TILE, WIDTH), np.float32),
        np.arange(TILE, dtype=np.int32),
    )


@compiled
def approximate(
    edges: Edges, e: int, ladder: np.ndarray, rule: Rule, tables: Tables, t: int, scratch: np.ndarray
) -> None:
    """Tabulate the encoder of numbers of edge e on the ladder, as table t.

    Every pair of intervals over which interpolation from the ends gives the middle to TOLERANCE becomes two
    good intervals; any other is divided, until it spans fewer than FEWEST rungs.
    """
    rungs, terms, sizes, base = tables.rungs, tables.terms, tables.sizes, tables.first[t]
    intervals, good, pairs = tables.intervals, tables.good, tables.pairs
    end_knot, n, most = base + 2 * PAIRS + 1, base, (t + 1) * (len(rungs) // len(tables.n_intervals))
    for k in range(2 * PAIRS + 1):
        rungs[base + k] = k * (len(ladder) - 1) // (2 * PAIRS)
    _compute_knots(edges, e, ladder, rule, tables, base, end_knot, scratch)
    typical = ZERO
    for k in range(PAIRS // 2 + 1, 3 * PAIRS // 2 + 1):
        typical += sizes[base + k] / np.float32(PAIRS)
    for p in range(PAIRS):
        pairs[p, 0], pairs[p, 1], pairs[p, 2] = base + 2 * p, base + 2 * p + 1, base + 2 * p + 2
    first, n_pairs = 0, PAIRS
    while first < n_pairs:
        end, known = n_pairs, end_knot
        for p in range(first, end):
            low, middle, high = pairs[p, 0], pairs[p, 1], pairs[p, 2]
            if _fits(terms, sizes, ladder, rungs, low, middle, high, typical):
                intervals[n, 0], intervals[n, 1], good[n] = low, middle, True
                intervals[n + 1, 0], intervals[n + 1, 1], good[n + 1] = middle, high, True
                n += 2
            elif rungs[high] - rungs[low] < FEWEST or end_knot + 2 > most:
                intervals[n, 0], intervals[n, 1], good[n] = low, high, False
                n += 1
            else:
                rungs[end_knot] = (rungs[low] + rungs[middle]) // 2
                rungs[end_knot + 1] = (rungs[middle] + rungs[high]) // 2
                pairs[n_pairs, 0], pairs[n_pairs, 1], pairs[n_pairs, 2] = low, end_knot, middle
                pairs[n_pairs + 1, 0], pairs[n_pairs + 1, 1], pairs[n_pairs + 1, 2] = (
                    middle,
                    end_knot + 1,
                    high,
                )
                end_knot, n_pairs = end_knot + 2, n_pairs + 2
        _compute_knots(edges, e, ladder, rule, tables, known, end_knot, scratch)
        first = end
    tables.n_intervals[t], tables.first[t + 1] = n - base, end_knot
    for i in range(base, n):
        low, high = intervals[i, 0], intervals[i, 1]
        start, width = ladder[rungs[low]], ladder[rungs[high]] - ladder[rungs[low]]
        per_x = ONE / width if width > ZERO else ZERO
        tables.origins[i] = start
        for j in range(WIDTH):
            tables.bases[i, j] = terms[low, j]
            tables.slopes[i, j] = (terms[high, j] - terms[low, j]) * per_x


@compiled
def _compute_knots(
    edges: Edges,
    e: int,
    ladder: np.ndarray,
    rule: Rule,
    tables: Tables,
    first: int,
    end: int,
    scratch: np.ndarray,
) -> None:
    """Terms of edge e at the knots first to end, and their sizes."""
    for start in range(first, end, TILE):
        count = min(TILE, end - start)
        a, b = tile(scratch[0], count), tile(scratch[1], count)
        for k in range(count):
            a[0, k] = ladder[tables.rungs[start + k]]
        terms, size = b if encode(edges, e, a, b, rule, ANY_ROW) else a, scratch[2]
        transpose(terms, tables.terms[start : start + count])
        for k in range(count):
            size[k] = ZERO
        for j in range(WIDTH):
            for k in range(count):
                size[k] += abs(terms[j, k])
        for k in range(count):
            tables.sizes[start + k] = size[k] / np.float32(WIDTH)


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
def find_intervals(
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
    """Find the interval of every row of a block in table t of edge e; join terms of rows without a good one.

    x : the rows' values; order : the rows by ascending value; ladder : of the whole signal.
    """
    rungs, intervals, good, places = tables.rungs, tables.intervals, tables.good, tables.places[t]
    n_stray, stray, base = 0, tables.stray, tables.first[t]
    for i in range(base, base + tables.n_intervals[t]):
        start = _find(x, order, ladder, rungs[intervals[i, 0]])
        end = _find(x, order, ladder, rungs[intervals[i, 1]])
        for k in range(start, end):
            places[order[k]] = i - base if good[i] else -1
        if not good[i]:
            for k in range(start, end):
                stray[n_stray] = order[k]
                n_stray += 1
    for first in range(0, n_stray, TILE):
        some = stray[first : min(first + TILE, n_stray)]
        a, b = tile(scratch[0], len(some)), tile(scratch[1], len(some))
        rows = scratch[2, : len(some) * WIDTH].reshape((len(some), WIDTH))
        for r in range(len(some)):
            a[0, r] = x[some[r]]
        transpose(b if encode(edges, e, a, b, rule, ANY_ROW) else a, rows)
        combine_rows(mode, rows, ANY_ROW, tables.straight, some, ANY_ROW, len(some), total, spare)


@compiled
def interpolate(
    mode: int,
    x: np.ndarray,
    tables: Tables,
    t: int,
    start: int,
    end: int,
    total: np.ndarray,
    spare: np.ndarray,
) -> None:
    """Join the interpolated terms of table t to the totals [rows, WIDTH] of a tile, the rows start to end."""
    bases, slopes, origins, places = tables.bases, tables.slopes, tables.origins, tables.places[t]
    first, lines = tables.first[t], tables.lines
    if mode == SUM:
        for row in range(start, end):
            i = first + places[row]
            if places[row] >= 0:
                add_line(total, row, bases, i, slopes, i, x[row] - origins[i])
    elif mode == MAX:
        for row in range(start, end):
            i = first + places[row]
            if places[row] >= 0:
                raise_line(total, row, bases, i, slopes, i, x[row] - origins[i])
    elif mode == PRODUCT:
        for row in range(start, end):
            i = first + places[row]
            if places[row] >= 0:
                scale_line(total, row, bases, i, slopes, i, x[row] - origins[i])
    else:
        for row in range(start, end):
            i = first + places[row]
            if places[row] >= 0:
                put_line(lines, row - start, bases, i, slopes, i, x[row] - origins[i])
            else:
                for j in range(WIDTH):
                    lines[row - start, j] = NOTHING
        flat = lines[: end - start].reshape(-1)
        combine(mode, flat, total[start:end].reshape(-1), spare[start:end].reshape(-1))


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
