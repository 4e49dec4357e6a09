"""The values of a causal model's nodes, compiled: terms are joined in blocks of rows, blurred, decoded."""

from typing import NamedTuple

import numpy as np

from relscale.generation import interpolation, noise, tiles, totals
from relscale.generation.arithmetic import bound
from relscale.generation.interpolation import approximate, interpolate
from relscale.generation.networks import WIDTH, Networks
from relscale.generation.noise import blur
from relscale.generation.tiles import (
    DECODING,
    TILE,
    Edges,
    Rule,
    Signals,
    encode,
    hide,
    multiply,
    read,
    tile,
    transpose,
)
from relscale.generation.totals import combine, combine_rows, finish, reset
from relscale.platform.compiled import compiled, inlined, kept

BLOCK = 5120
"""Rows that are joined at once, at most: their totals (640 KB) stay in the second cache."""
SOURCES = (__file__, *tiles.SOURCES, totals.__file__, interpolation.__file__, noise.__file__)


class _Tables(NamedTuple):
    """What edges look up: terms of codes [edges, levels, WIDTH]; ladders [edges, knots], or room for one."""

    codes: np.ndarray
    n_knots: np.ndarray
    knots: np.ndarray
    terms: np.ndarray
    good: np.ndarray


@compiled
def block_size(n_rows: int) -> int:
    """Rows of a block: as even as possible, at most BLOCK."""
    n_blocks = (n_rows + BLOCK - 1) // BLOCK
    return (n_rows + n_blocks - 1) // n_blocks


@compiled
def _prepare(
    signals: Signals,
    edges: Edges,
    first: int,
    last: int,
    rule: Rule,
    scratch: np.ndarray,
) -> _Tables:
    length, n_rows = signals.ladder.shape[1], signals.codes.shape[1]
    room = last - first if n_rows > BLOCK else 1  # a single block needs one ladder at a time
    n_knots = np.zeros(room, np.int64)
    knots, good = np.empty((room, length), np.float32), np.empty((room, length), np.bool_)
    terms = np.empty((room, length, WIDTH), np.float32)
    tables = _Tables(_tabulate(signals, edges, first, last, rule, scratch), n_knots, knots, terms, good)
    if n_rows > BLOCK and length > 0:
        for e in range(first, last):
            if not (edges.constant[e] or signals.coded[edges.tail[e]]):
                _climb(signals, edges, e, rule, tables, e - first, scratch)
    return tables


@compiled
def _climb(
    signals: Signals, edges: Edges, e: int, rule: Rule, tables: _Tables, place: int, scratch: np.ndarray
) -> None:
    """Compute the ladder of edge e into its place of the tables."""
    tables.n_knots[place] = approximate(
        *(edges, e, signals.ladder[edges.tail[e]], rule),
        *(tables.knots[place], tables.terms[place], tables.good[place], scratch),
    )


@compiled
def _tabulate(
    signals: Signals, edges: Edges, first: int, last: int, rule: Rule, scratch: np.ndarray
) -> np.ndarray:
    """Terms of every level of coded signals, and of constant encoders; [edges, most levels, WIDTH]."""
    n_levels = np.ones(last - first, np.int64)
    for e in range(first, last):
        if signals.coded[edges.tail[e]] and not edges.constant[e]:
            k = edges.n_categories[e]
            n_levels[e - first] = k if k > 0 else signals.n_levels[edges.tail[e]]
    tables = np.empty((last - first, n_levels.max(), WIDTH), np.float32)
    for e in range(first, last):
        tail, n = edges.tail[e], n_levels[e - first]
        if not (signals.coded[tail] or edges.constant[e]):
            continue
        a, b = tile(scratch[0], n), tile(scratch[1], n)
        if edges.n_categories[e] > 0:
            for k in range(n):
                a[:, k] = edges.classes[edges.class_start[e] + k]
        else:
            a[0, :n] = signals.levels[tail, :n]
        transpose(b if encode(edges, e, a, b, rule, 0) else a, tables[e - first, :n])
    return tables


@compiled
def _join_block(
    signals: Signals,
    edges: Edges,
    first: int,
    last: int,
    mode: int,
    foreign: np.ndarray,
    foreign_rows: np.ndarray,
    rule: Rule,
    tables: _Tables,
    start: int,
    total: np.ndarray,
    spare: np.ndarray,
    scratch: np.ndarray,
) -> None:
    """The joined terms of len(total) rows from `start` on, into `total` [rows, WIDTH]."""
    end = start + len(total)
    rows, zeros = np.arange(len(total)), np.zeros(len(total), np.int32)
    reset(mode, total.reshape(-1), spare.reshape(-1))
    for key in range(len(foreign_rows)):
        combine_rows(mode, foreign, foreign_rows[key, start:end], rows, total, spare)
    n_direct, by_row = 0, len(rule.activations) > 0
    for e in range(first, last):
        i, tail = e - first, edges.tail[e]
        if edges.constant[e] and not by_row:
            combine_rows(mode, tables.codes[i], zeros, rows, total, spare)
        elif signals.coded[tail] and not by_row:
            combine_rows(mode, tables.codes[i], signals.codes[tail, start:end], rows, total, spare)
        elif signals.ladder.shape[1] > 0:
            if len(tables.n_knots) == 1:
                i = 0
                _climb(signals, edges, e, rule, tables, 0, scratch)
            x, order = signals.numbers[tail, start:end], signals.order[tail, start:end]
            interpolate(
                *(mode, edges, e, x, order, rule, total, spare, scratch),
                *(tables.knots[i, : tables.n_knots[i]], tables.terms[i], tables.good[i]),
            )
        else:
            n_direct += 1
    if n_direct > 0:
        _join_direct(signals, edges, first, last, mode, rule, start, total, spare, scratch)
    finish(mode, total.reshape(-1), spare.reshape(-1))


@compiled
def _join_direct(
    signals: Signals,
    edges: Edges,
    first: int,
    last: int,
    mode: int,
    rule: Rule,
    start: int,
    total: np.ndarray,
    spare: np.ndarray,
    scratch: np.ndarray,
) -> None:
    """Join the terms of edges that are computed row by row to the totals of a block."""
    by_row = len(rule.activations) > 0
    for row in range(0, len(total), TILE):
        count = min(TILE, len(total) - row)
        a, b, joined = tile(scratch[0], count), tile(scratch[1], count), tile(scratch[3], count)
        sums, logs = joined.reshape(-1), scratch[4, : joined.size]
        reset(mode, sums, logs)
        for e in range(first, last):
            tail, at = edges.tail[e], start + row
            if not by_row and (edges.constant[e] or signals.coded[tail]):
                continue
            read(signals, edges, e, at, count, a)
            combine(mode, (b if encode(edges, e, a, b, rule, at) else a).reshape(-1), sums, logs)
        finish(mode, sums, logs)
        rows = scratch[2, : count * WIDTH].reshape((count, WIDTH))
        transpose(joined, rows)
        combine(
            mode,
            rows.reshape(-1),
            total[row : row + count].reshape(-1),
            spare[row : row + count].reshape(-1),
        )


@kept(*SOURCES)
def compute_node(
    signals: Signals,
    edges: Edges,
    first: int,
    last: int,
    mode: int,
    foreign: np.ndarray,
    foreign_rows: np.ndarray,
    rule: Rule,
    decoders: Networks,
    decoder: int,
    classes: np.ndarray,
    noise: np.ndarray,
    key: np.ndarray,
    numbers: np.ndarray,
    codes: np.ndarray,
) -> None:
    """Values of a node: decode(joined terms + noise).

    Parameters
    ----------
    signals, edges : where terms come from; the node's are those of the edges first to last.
    mode : position in AGGREGATIONS.
    foreign : float32 [.., WIDTH], joined terms of parent rows.
    foreign_rows : int32 [keys, n], the rows of `foreign` that a row of the table reads.
    rule : clamps, and whether rows share their activations.
    decoders, decoder : the node's network is that of this number.
    classes : float32 [K, WIDTH], class embeddings; none for a number.
    noise : float32 [NOISE_LEVELS], the equally likely values of the noise in a unit.
    key : uint32 [2], of the random bits that choose among them.
    numbers, codes : the result, float32 [n] if there are no classes, else int32 [n].
    """
    n_rows, n_classes = signals.codes.shape[1], len(classes)
    size = block_size(n_rows)
    block, spare = np.empty((size, WIDTH), np.float32), np.empty((size, WIDTH), np.float32)
    scratch = np.zeros((5, WIDTH * TILE), np.float32)
    tables = _prepare(signals, edges, first, last, rule, scratch)
    head, n_out = _head(decoders, decoder, classes)
    buffer = np.empty(WIDTH * TILE, np.uint16)
    for start in range(0, n_rows, size):
        total = block[: min(size, n_rows - start)]
        _join_block(
            *(signals, edges, first, last, mode, foreign, foreign_rows, rule, tables, start),
            *(total, spare[: len(total)], scratch),
        )
        for row in range(0, len(total), TILE):
            count, at = min(TILE, len(total) - row), start + row
            a, b = tile(scratch[0], count), tile(scratch[1], count)
            for j in range(WIDTH):
                for r in range(count):
                    a[j, r] = total[row + r, j]
            blur(a, noise, at, (key[0], key[1]), buffer)
            if hide(decoders, decoder, a, b, rule, at, DECODING):
                a, b = b, a
            multiply(head, 0, WIDTH, n_out, a, b)
            if n_classes == 0:
                numbers[at : at + count] = b[0, :count]
            else:
                _choose(b, n_classes, codes[at : at + count])


@inlined
def _head(decoders: Networks, decoder: int, classes: np.ndarray) -> tuple[np.ndarray, int]:
    """The decoder's last matrix, flat, multiplied by the class embeddings if there are any; its width."""
    last = decoders.first[decoder + 1] - 1
    n_out = decoders.n_out[last]
    matrix = decoders.weights[decoders.start[last] : decoders.start[last] + WIDTH * n_out]
    if len(classes) == 0:
        return matrix, n_out
    padded = (len(classes) + 3) // 4 * 4
    head = np.zeros((WIDTH, padded), np.float32)
    for i in range(WIDTH):
        for k in range(len(classes)):
            for j in range(WIDTH):
                head[i, k] += matrix[i * WIDTH + j] * classes[k, j]
    return head.reshape(-1), padded


@inlined
def _choose(logits: np.ndarray, n_classes: int, codes: np.ndarray) -> None:
    """The class of the largest logit [classes, TILE] in each row, the first among equals."""
    for r in range(len(codes)):
        best = 0
        for k in range(1, n_classes):
            if logits[k, r] > logits[best, r]:
                best = k
        codes[r] = best


@kept(*SOURCES)
def join_columns(
    signals: Signals, edges: Edges, modes: np.ndarray, shares: np.ndarray, rule: Rule
) -> np.ndarray:
    """Join the terms of all edges for every row, by several aggregations at once.

    Parameters
    ----------
    signals, edges : the columns of a parent table, one edge from each, of weight 1 and without interpolation.
    modes : int64 [modes], positions in AGGREGATIONS.
    shares : float32 [modes], factors of the terms.

    Returns
    -------
    float32 [modes, n, WIDTH].
    """
    n_rows = signals.codes.shape[1]
    joined = np.empty((len(modes), n_rows, WIDTH), np.float32)
    spare = np.empty((len(modes), TILE * WIDTH), np.float32)
    scratch = np.zeros((5, WIDTH * TILE), np.float32)
    raw, unclamped = scratch[2], Rule(np.float32(np.inf), rule.hidden_limit, rule.activations, rule.key)
    tables, by_row = (
        _tabulate(signals, edges, 0, len(edges.tail), unclamped, scratch),
        len(rule.activations) > 0,
    )
    for row in range(0, n_rows, TILE):
        count = min(TILE, n_rows - row)
        rows = raw[: count * WIDTH].reshape((count, WIDTH))
        for m in range(len(modes)):
            reset(modes[m], joined[m, row : row + count].reshape(-1), spare[m])
        for e in range(len(edges.tail)):
            if not by_row and (edges.constant[e] or signals.coded[edges.tail[e]]):
                for r in range(count):
                    code = 0 if edges.constant[e] else signals.codes[edges.tail[e], row + r]
                    rows[r] = tables[e, code]
            else:
                a, b = tile(scratch[0], count), tile(scratch[1], count)
                read(signals, edges, e, row, count, a)
                transpose(b if encode(edges, e, a, b, unclamped, row) else a, rows)
            for m in range(len(modes)):
                terms = scratch[3, : rows.size]
                for i in range(len(terms)):
                    terms[i] = bound(shares[m] * raw[i], rule.term_limit)
                combine(modes[m], terms, joined[m, row : row + count].reshape(-1), spare[m])
        for m in range(len(modes)):
            finish(modes[m], joined[m, row : row + count].reshape(-1), spare[m])
    return joined


@kept(*SOURCES)
def find_levels(values: np.ndarray, most: int, levels: np.ndarray, codes: np.ndarray) -> int:
    """Write distinct values and each value's place among them; their number, or 0 if there are too many."""
    n = 0
    for i in range(len(values)):
        k = codes[i - 1] if i > 0 else 0  # neighbours are often equal
        if not (k < n and levels[k] == values[i]):
            k = 0
            while k < n and levels[k] != values[i]:
                k += 1
        if k == n:
            if n == most:
                return 0
            levels[n] = values[i]
            n += 1
        codes[i] = k
    return n
