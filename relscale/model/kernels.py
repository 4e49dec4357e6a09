"""Attention within groups of cells, compiled for the CPU.

Arrays are float32 and contiguous; heads have a width that is a multiple of 16.

A group is a set of queries that look at the same keys: the cells of a column at each other, the cells of
a row at its own and its parents' cells, the cells of a row at its children's cells. So nothing is computed
for pairs that a relation forbids, which at 1,024 cells are 97 to 99 of 100.
"""

from typing import Any

import numpy as np

from relscale.model import pointwise
from relscale.model.pointwise import LOG2_E, ONE, ZERO, dot
from relscale.platform import compiled as compiled_module
from relscale.platform import lanes as lanes_module
from relscale.platform.compiled import inlined, kept
from relscale.platform.lanes import (
    LANES,
    add,
    add_product,
    exp2,
    first,
    greater,
    greatest,
    load,
    multiply,
    spread,
    store,
    subtract,
    total,
    turn,
)

TOGETHER = 4
"""Queries computed at once: they share what is loaded of a key, and their sums hide each other's latency."""

_SOURCES = (__file__, pointwise.__file__, lanes_module.__file__, compiled_module.__file__)
_MINUS_INFINITY = np.float32(-np.inf)


@kept(*_SOURCES)
def attend(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    query_ptr: np.ndarray,
    query: np.ndarray,
    key_ptr: np.ndarray,
    key: np.ndarray,
    n_heads: int,
    out: np.ndarray,
    level: np.ndarray,
    keys_turned: np.ndarray,
    scores: np.ndarray,
) -> None:
    """out = softmax(q k^T / sqrt(e)) v within each group; rows of `out` outside all groups stay as they are.

    q, out : [Q, d]. k, v : [K, d]. query_ptr, query, key_ptr, key : see `groups.Groups`.
    level : [Q, n_heads], log2 of each softmax's sum, for `attend_backward`.
    keys_turned, scores : room for e and for 4 times the greatest number of keys, each rounded up to 16.
    """
    d = q.shape[1]
    e = d // n_heads
    scale = np.float32(LOG2_E / np.sqrt(np.float32(e)))
    for g in range(len(query_ptr) - 1):
        q_end, k_start = query_ptr[g + 1], key_ptr[g]
        n_keys = key_ptr[g + 1] - k_start
        padded = (n_keys + LANES - 1) // LANES * LANES
        for h in range(n_heads):
            column = h * e
            _turn_rows(k, d, column, e, key, k_start, n_keys, padded, keys_turned)
            for at in range(query_ptr[g], q_end, TOGETHER):
                # A group's last query stands in for those that are missing to a multiple of four.
                q0, q1 = query[at], query[min(at + 1, q_end - 1)]
                q2, q3 = query[min(at + 2, q_end - 1)], query[min(at + 3, q_end - 1)]
                i0, i1, i2, i3 = q0 * d + column, q1 * d + column, q2 * d + column, q3 * d + column
                m0 = spread(_MINUS_INFINITY)
                m1 = m2 = m3 = m0
                for t in range(0, padded, LANES):
                    s0 = spread(ZERO)
                    s1 = s2 = s3 = s0
                    for j in range(e):
                        x = load(keys_turned, j * padded + t)
                        s0 = add_product(s0, spread(q[q0, column + j]), x)
                        s1 = add_product(s1, spread(q[q1, column + j]), x)
                        s2 = add_product(s2, spread(q[q2, column + j]), x)
                        s3 = add_product(s3, spread(q[q3, column + j]), x)
                    none, factor, n = spread(_MINUS_INFINITY), spread(scale), n_keys - t
                    s0, s1 = first(n, multiply(s0, factor), none), first(n, multiply(s1, factor), none)
                    s2, s3 = first(n, multiply(s2, factor), none), first(n, multiply(s3, factor), none)
                    m0, m1, m2, m3 = greater(m0, s0), greater(m1, s1), greater(m2, s2), greater(m3, s3)
                    store(scores, t, s0)
                    store(scores, padded + t, s1)
                    store(scores, 2 * padded + t, s2)
                    store(scores, 3 * padded + t, s3)
                r0 = _to_weights(scores, 0, padded, greatest(m0), level, q0 * n_heads + h)
                r1 = _to_weights(scores, padded, padded, greatest(m1), level, q1 * n_heads + h)
                r2 = _to_weights(scores, 2 * padded, padded, greatest(m2), level, q2 * n_heads + h)
                r3 = _to_weights(scores, 3 * padded, padded, greatest(m3), level, q3 * n_heads + h)
                for part in range(0, e, LANES):
                    o0 = spread(ZERO)
                    o1 = o2 = o3 = o0
                    for i in range(n_keys):
                        x = load(v, key[k_start + i] * d + column + part)
                        o0 = add_product(o0, spread(scores[i]), x)
                        o1 = add_product(o1, spread(scores[padded + i]), x)
                        o2 = add_product(o2, spread(scores[2 * padded + i]), x)
                        o3 = add_product(o3, spread(scores[3 * padded + i]), x)
                    store(out, i0 + part, multiply(o0, spread(r0)))
                    store(out, i1 + part, multiply(o1, spread(r1)))
                    store(out, i2 + part, multiply(o2, spread(r2)))
                    store(out, i3 + part, multiply(o3, spread(r3)))


@inlined
def _to_weights(scores: np.ndarray, at: int, n: int, top: float, level: np.ndarray, place: int) -> float:
    """Scores to powers of two below 1, in place; returns what makes them sum to 1."""
    sums = spread(ZERO)
    for t in range(at, at + n, LANES):
        weight = exp2(subtract(load(scores, t), spread(top)))
        sums = add(sums, weight)
        store(scores, t, weight)
    whole = total(sums)
    level.flat[place] = top + np.log2(whole)
    return ONE / whole


@inlined
def _turn_rows(
    x: np.ndarray,
    d: int,
    column: int,
    e: int,
    row: np.ndarray,
    start: int,
    n: int,
    padded: int,
    out: np.ndarray,
) -> None:
    """out[j, i] = x[row[start + i], column + j] for j < e and i < padded; 0 from n on."""
    for t in range(0, padded, LANES):
        for part in range(0, e, LANES):
            for i in range(LANES):
                place = (part + i) * padded + t
                if t + i < n:
                    store(out, place, load(x, row[start + t + i] * d + column + part))
                else:
                    store(out, place, spread(ZERO))
            turn(out, part * padded + t, padded)


@kept(*_SOURCES)
def attend_backward(
    d_out: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    out: np.ndarray,
    level: np.ndarray,
    query_ptr: np.ndarray,
    query: np.ndarray,
    key_ptr: np.ndarray,
    key: np.ndarray,
    n_heads: int,
    d_q: np.ndarray,
    d_k: np.ndarray,
    d_v: np.ndarray,
    keys_turned: np.ndarray,
    values_turned: np.ndarray,
    weights: np.ndarray,
    slopes: np.ndarray,
) -> None:
    """Gradients of `attend`, written to d_q and added to d_k and d_v.

    keys_turned, values_turned : room as in `attend`; weights, slopes : as `scores` there.
    """
    d = q.shape[1]
    e = d // n_heads
    root = np.float32(ONE / np.sqrt(np.float32(e)))
    scale = np.float32(LOG2_E * root)
    for g in range(len(query_ptr) - 1):
        q_end, k_start = query_ptr[g + 1], key_ptr[g]
        n_keys = key_ptr[g + 1] - k_start
        padded = (n_keys + LANES - 1) // LANES * LANES
        for h in range(n_heads):
            column = h * e
            _turn_rows(k, d, column, e, key, k_start, n_keys, padded, keys_turned)
            _turn_rows(v, d, column, e, key, k_start, n_keys, padded, values_turned)
            for at in range(query_ptr[g], q_end, TOGETHER):
                n = min(TOGETHER, q_end - at)
                q0, q1 = query[at], query[min(at + 1, q_end - 1)]
                q2, q3 = query[min(at + 2, q_end - 1)], query[min(at + 3, q_end - 1)]
                i0, i1, i2, i3 = q0 * d + column, q1 * d + column, q2 * d + column, q3 * d + column
                mean0, mean1 = dot(d_out, out, i0, e), dot(d_out, out, i1, e)
                mean2, mean3 = dot(d_out, out, i2, e), dot(d_out, out, i3, e)
                for t in range(0, padded, LANES):
                    s0 = spread(ZERO)
                    s1 = s2 = s3 = p0 = p1 = p2 = p3 = s0
                    for j in range(e):
                        x, y = load(keys_turned, j * padded + t), load(values_turned, j * padded + t)
                        s0 = add_product(s0, spread(q[q0, column + j]), x)
                        s1 = add_product(s1, spread(q[q1, column + j]), x)
                        s2 = add_product(s2, spread(q[q2, column + j]), x)
                        s3 = add_product(s3, spread(q[q3, column + j]), x)
                        p0 = add_product(p0, spread(d_out[q0, column + j]), y)
                        p1 = add_product(p1, spread(d_out[q1, column + j]), y)
                        p2 = add_product(p2, spread(d_out[q2, column + j]), y)
                        p3 = add_product(p3, spread(d_out[q3, column + j]), y)
                    _slope(weights, slopes, t, s0, p0, scale, root, level[q0, h], mean0)
                    _slope(weights, slopes, padded + t, s1, p1, scale, root, level[q1, h], mean1)
                    _slope(weights, slopes, 2 * padded + t, s2, p2, scale, root, level[q2, h], mean2)
                    _slope(weights, slopes, 3 * padded + t, s3, p3, scale, root, level[q3, h], mean3)
                for part in range(0, e, LANES):
                    here = column + part
                    g0 = spread(ZERO)
                    g1 = g2 = g3 = g0
                    a0, a1, a2, a3 = (
                        load(q, i0 + part),
                        load(q, i1 + part),
                        load(q, i2 + part),
                        load(q, i3 + part),
                    )
                    b0, b1 = load(d_out, i0 + part), load(d_out, i1 + part)
                    b2, b3 = load(d_out, i2 + part), load(d_out, i3 + part)
                    if n < 4:
                        a3 = b3 = spread(ZERO)
                    if n < 3:
                        a2 = b2 = spread(ZERO)
                    if n < 2:
                        a1 = b1 = spread(ZERO)
                    for i in range(n_keys):
                        place = key[k_start + i] * d + here
                        x = load(k, place)
                        z0, z1 = spread(slopes[i]), spread(slopes[padded + i])
                        z2, z3 = spread(slopes[2 * padded + i]), spread(slopes[3 * padded + i])
                        g0, g1 = add_product(g0, z0, x), add_product(g1, z1, x)
                        g2, g3 = add_product(g2, z2, x), add_product(g3, z3, x)
                        y = add_product(load(d_k, place), z0, a0)
                        y = add_product(y, z1, a1)
                        y = add_product(y, z2, a2)
                        store(d_k, place, add_product(y, z3, a3))
                        y = add_product(load(d_v, place), spread(weights[i]), b0)
                        y = add_product(y, spread(weights[padded + i]), b1)
                        y = add_product(y, spread(weights[2 * padded + i]), b2)
                        store(d_v, place, add_product(y, spread(weights[3 * padded + i]), b3))
                    store(d_q, i0 + part, g0)
                    store(d_q, i1 + part, g1)
                    store(d_q, i2 + part, g2)
                    store(d_q, i3 + part, g3)


@inlined
def _slope(
    weights: np.ndarray,
    slopes: np.ndarray,
    at: int,
    score: Any,
    d_weight: Any,
    scale: float,
    root: float,
    level: float,
    mean: float,
) -> None:
    """The softmax's weights again, and what the scores have on the loss."""
    weight = exp2(subtract(multiply(score, spread(scale)), spread(level)))
    store(weights, at, weight)
    store(slopes, at, multiply(multiply(weight, spread(root)), subtract(d_weight, spread(mean))))
