"""Encoders of numbers as tables: terms interpolated where a line fits, computed where it does not.

An encoder of numbers is a function of one variable that thousands of rows evaluate. It is computed on a
ladder of ranks of the rows' own values; between two rungs the terms are interpolated if a test in the middle
allows it.
"""

import numpy as np

from relscale.generation.networks import WIDTH
from relscale.generation.tiles import TILE, Edges, Rule, encode, tile, transpose
from relscale.generation.totals import combine_lines, combine_rows
from relscale.platform.compiled import compiled

RUNGS = 31
"""Pairs of intervals between the rungs of the coarse ladder."""
TOLERANCE = np.float32(1e-3)
"""Error of interpolation relative to an edge's typical term, at the middle of a pair of intervals."""

ZERO, ONE = np.float32(0), np.float32(1)


@compiled
def approximate(
    edges: Edges,
    e: int,
    ladder: np.ndarray,
    rule: Rule,
    knots: np.ndarray,
    terms: np.ndarray,
    good: np.ndarray,
    scratch: np.ndarray,
) -> int:
    """Tabulate the encoder of numbers of edge e on the ladder; the number of knots.

    terms [knots, WIDTH]; good[k] : between knots k and k + 1 the terms may be interpolated, since over that
    pair of intervals interpolation from the ends gives the middle to TOLERANCE. A pair that fails is divided
    further as far as the ladder goes.
    """
    step = (len(ladder) - 1) // (2 * RUNGS)
    coarse = np.empty((2 * RUNGS + 1, WIDTH), np.float32)
    a, b = tile(scratch[0], len(coarse)), tile(scratch[1], len(coarse))
    a[0, : len(coarse)] = ladder[::step]
    transpose(b if encode(edges, e, a, b, rule, 0) else a, coarse)
    typical = np.abs(coarse[RUNGS // 2 : 3 * RUNGS // 2]).mean()
    fits = np.empty(RUNGS, np.bool_)
    for pair in range(RUNGS):
        fits[pair] = _fits(coarse[2 * pair :], ladder[2 * pair * step :: step], typical)
    bad = np.flatnonzero(~fits) if step > 1 else np.empty(0, np.int64)
    fine = _refine(edges, e, ladder, bad, rule, scratch)
    n, n_refined = 0, 0
    for pair in range(RUNGS):
        if fits[pair] or step == 1:
            knots[n : n + 2] = ladder[2 * pair * step :: step][:2]
            terms[n : n + 2] = coarse[2 * pair : 2 * pair + 2]
            good[n : n + 2] = fits[pair]
            n += 2
            continue
        x, dense = ladder[2 * pair * step :], fine[n_refined]
        n_refined += 1
        knots[n : n + 2 * step], terms[n : n + 2 * step] = x[: 2 * step], dense[: 2 * step]
        for r in range(0, 2 * step, 2):
            good[n + r : n + r + 2] = _fits(dense[r:], x[r:], typical)
        n += 2 * step
    knots[n], terms[n], good[n] = ladder[-1], coarse[2 * RUNGS], False
    return n + 1


@compiled
def _refine(
    edges: Edges,
    e: int,
    ladder: np.ndarray,
    pairs: np.ndarray,
    rule: Rule,
    scratch: np.ndarray,
) -> np.ndarray:
    """Terms of edge e on all rungs of some pairs, both ends included; [pairs, rungs, WIDTH]."""
    step = (len(ladder) - 1) // (2 * RUNGS)
    size = 2 * step + 1
    terms = np.empty((len(pairs), size, WIDTH), np.float32)
    at_once = TILE // size
    for first in range(0, len(pairs), at_once):
        some = pairs[first : min(first + at_once, len(pairs))]
        a, b = tile(scratch[0], len(some) * size), tile(scratch[1], len(some) * size)
        for i in range(len(some)):
            start = 2 * some[i] * step
            a[0, i * size : (i + 1) * size] = ladder[start : start + size]
        dense = b if encode(edges, e, a, b, rule, 0) else a
        for i in range(len(some)):
            for r in range(size):
                terms[first + i, r] = dense[:, i * size + r]
    return terms


@compiled
def _fits(terms: np.ndarray, x: np.ndarray, typical: float) -> bool:
    """Whether terms[1] lie on the line between terms[0] and terms[2], at inputs x."""
    share = (x[1] - x[0]) / (x[2] - x[0]) if x[2] > x[0] else np.float32(0.5)
    worst, size = ZERO, ZERO
    for j in range(terms.shape[1]):
        error = abs(terms[0, j] + share * (terms[2, j] - terms[0, j]) - terms[1, j])
        worst = worst if error <= worst else error  # not-a-number stays
        size += abs(terms[1, j])
    return bool(worst <= TOLERANCE * (typical + size / np.float32(WIDTH)))


@compiled
def interpolate(
    mode: int,
    edges: Edges,
    e: int,
    x: np.ndarray,
    order: np.ndarray,
    rule: Rule,
    total: np.ndarray,
    spare: np.ndarray,
    scratch: np.ndarray,
    knots: np.ndarray,
    terms: np.ndarray,
    good: np.ndarray,
) -> None:
    """Join the terms of edge e for a block of rows to the totals [rows, WIDTH].

    x : the rows' values; order : the rows by ascending value. Rows in intervals that are not good are
    computed as they are.
    """
    start, n_stray, n_knots = 0, 0, len(knots)
    stray = np.empty(len(x), np.int32)
    slope, straight = np.empty(WIDTH, np.float32), np.arange(TILE)
    for k in range(n_knots - 1):
        end, high = start, knots[k + 1]
        while end < len(x) and (x[order[end]] <= high or k == n_knots - 2):
            end += 1
        if end == start:
            continue
        if good[k]:
            low, base = knots[k], terms[k]
            per_x = ONE / (high - low) if high > low else ZERO
            for j in range(WIDTH):
                slope[j] = (terms[k + 1, j] - base[j]) * per_x
            combine_lines(mode, base, slope, x, low, order[start:end], total, spare)
        else:
            stray[n_stray : n_stray + end - start] = order[start:end]
            n_stray += end - start
        start = end
    for first in range(0, n_stray, TILE):
        some = stray[first : min(first + TILE, n_stray)]
        a, b = tile(scratch[0], len(some)), tile(scratch[1], len(some))
        rows = scratch[2, : len(some) * WIDTH].reshape((len(some), WIDTH))
        for r in range(len(some)):
            a[0, r] = x[some[r]]
        transpose(b if encode(edges, e, a, b, rule, 0) else a, rows)
        combine_rows(mode, rows, straight[: len(some)], some, total, spare)
