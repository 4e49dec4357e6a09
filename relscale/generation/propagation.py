"""The values of a causal model's nodes, compiled: terms are joined in blocks of rows, blurred, decoded."""

from typing import NamedTuple

import numpy as np

from relscale.generation import interpolation, noise, ranks, tiles, totals
from relscale.generation.arithmetic import bound
from relscale.generation.interpolation import KNOTS, Tables, approximate, empty_tables, find_intervals, interpolate
from relscale.generation.networks import WIDTH, Networks
from relscale.generation.noise import NOISE_LEVELS, blur, fill_quantiles
from relscale.generation.vectors import multiply
from relscale.generation.ranks import block_size, rank
from relscale.generation.tiles import (
    DECODING,
    TILE,
    Edges,
    Nodes,
    Rule,
    Signals,
    encode,
    hide,
    read,
    tile,
    transpose,
)
from relscale.generation.totals import (
    EXPSUM,
    LOGEXP,
    SUM,
    combine,
    combine_rows,
    exponentials,
    finish,
    reset,
)
from relscale.platform.compiled import compiled, inlined, kept, spliced

SOURCES = (
    *(__file__, *tiles.SOURCES),
    *(module.__file__ for module in (totals, interpolation, noise, ranks)),
)


class Foreign(NamedTuple):
    """Joined terms of the rows of all parents, and which of them each row of a table reads.

    terms  float32 [aggregations, rows of all parents, WIDTH]
    place  int64 [AGGREGATIONS]  of an aggregation in `terms`
    rows   int32 [foreign keys, rows]
    """

    terms: np.ndarray
    place: np.ndarray
    rows: np.ndarray


class Noise(NamedTuple):
    """What is added to embeddings: beta variates times `scale` (float32), chosen by random bits of `key`."""

    scale: np.float32
    key: np.ndarray


class _Buffers(NamedTuple):
    """Room that all nodes of a table use in turn.

    total, spare  float32 [rows of a block, WIDTH]
    scratch       float32 [5, a tile]
    tables        of the edges of a node that are interpolated
    noise         float32 [NOISE_LEVELS]
    chosen        uint16 [a tile]
    powers        float32 [rows of all parents, WIDTH]  exponentials of foreign terms
    numbers       int32 [rows of a block]  0, 1, 2, ...
    zeros         int32 [rows of a block]
    """

    total: np.ndarray
    spare: np.ndarray
    scratch: np.ndarray
    tables: Tables
    noise: np.ndarray
    chosen: np.ndarray
    powers: np.ndarray
    numbers: np.ndarray
    zeros: np.ndarray


class _Levels(NamedTuple):
    """Terms [.., WIDTH] of all levels that a node's edges read; those of edge i begin at start[i]."""

    terms: np.ndarray
    start: np.ndarray


@kept(*SOURCES)
def compute_nodes(signals: Signals, nodes: Nodes, foreign: Foreign, rule: Rule, noise: Noise) -> None:
    """Compute the values of every node that is not a source, decode(joined terms + noise), into `signals`.

    Parameters
    ----------
    signals : room for V nodes; holds the values of the sources.
    nodes : their mechanisms.
    foreign : joined terms of parent rows, which every node joins to those of its edges.
    rule : clamps, and whether rows share their activations.
    noise : its size and random bits.
    """
    n_rows, n_nodes, n_logexp, most_edges = signals.codes.shape[1], len(nodes.n_categories), 0, 1
    for v in range(n_nodes):
        n_logexp += 1 if nodes.aggregations[v] == LOGEXP and nodes.first[v] < nodes.first[v + 1] else 0
        most_edges = max(most_edges, nodes.first[v + 1] - nodes.first[v])
    size = block_size(n_rows)
    has_powers = n_logexp > 0 and len(foreign.rows) > 0
    buffers = _Buffers(
        np.empty((size, WIDTH), np.float32),
        np.empty((size if n_logexp > 0 else 0, WIDTH), np.float32),
        np.zeros((5, WIDTH * TILE), np.float32),
        empty_tables(most_edges, KNOTS if signals.ladder.shape[1] > 0 else 0),
        np.empty(NOISE_LEVELS, np.float32),
        np.empty(WIDTH * TILE, np.uint16),
        exponentials(foreign.terms[foreign.place[LOGEXP]]) if has_powers else np.empty((0, WIDTH), np.float32),
        np.arange(size).astype(np.int32),
        np.zeros(size, np.int32),
    )
    for v in range(n_nodes):
        if nodes.first[v] < nodes.first[v + 1]:
            _compute_node(signals, nodes, v, foreign, rule, noise, buffers)
            signals.coded[v] = nodes.n_categories[v] > 0
        if nodes.is_read[v] and signals.ladder.shape[1] > 0 and not signals.coded[v]:
            rank(signals, v)


@spliced
def _compute_node(
    signals: Signals, nodes: Nodes, v: int, foreign: Foreign, rule: Rule, noise: Noise, buffers: _Buffers
) -> None:
    """Write the values of node v, block by block of rows."""
    n_rows, n_blocked = signals.codes.shape[1], len(buffers.total)
    k, class_start = nodes.n_categories[v], nodes.class_start[v]
    alpha, beta = nodes.noises[v]
    fill_quantiles(alpha, beta, noise.scale, buffers.noise)
    key = (noise.key[0] ^ np.uint32(v << 8), noise.key[1] ^ np.uint32(v << 8))
    mode = nodes.aggregations[v]
    mode = EXPSUM if mode == LOGEXP else mode
    first, last, edges, is_fast = nodes.first[v], nodes.first[v + 1], nodes.edges, signals.ladder.shape[1] > 0
    levels = tabulate(signals, edges, first, last, rule, mode == EXPSUM, buffers.scratch)
    for e in range(first, last):
        buffers.tables.first[e - first + 1] = buffers.tables.first[e - first]
        if is_fast and not (edges.constant[e] or signals.coded[edges.tail[e]]):
            ladder = signals.ladder[edges.tail[e]]
            approximate(edges, e, ladder, rule, buffers.tables, e - first, buffers.scratch)
    head, n_out = _head(nodes.decoders, v, nodes.classes[class_start : class_start + k])
    start, end = 0, n_blocked if is_fast or mode != EXPSUM else min(TILE, n_rows)  # a first tile shows the range
    while start < n_rows:
        while not _join_block(signals, nodes, v, mode, foreign, rule, levels, start, end, buffers):
            mode = LOGEXP
            levels = tabulate(signals, edges, first, last, rule, False, buffers.scratch)
        for row in range(0, end - start, TILE):
            count, at = min(TILE, end - start - row), start + row
            a, b = tile(buffers.scratch[0], count), tile(buffers.scratch[1], count)
            for j in range(WIDTH):
                for r in range(count):
                    a[j, r] = buffers.total[row + r, j]
            blur(a, buffers.noise, at, key, buffers.chosen)
            if hide(nodes.decoders, v, a, b, rule, at, DECODING):
                a, b = b, a
            multiply(head, 0, WIDTH, n_out, a, b)
            if k == 0:
                for r in range(count):
                    signals.numbers[v, at + r] = b[0, r]
            else:
                _choose(b, k, signals.codes[v, at : at + count])
        start, end = end, min(end + n_blocked, n_rows)


@compiled
def tabulate(
    signals: Signals, edges: Edges, first: int, last: int, rule: Rule, as_powers: bool, scratch: np.ndarray
) -> _Levels:
    """Terms, or their exponentials, of every level of coded signals, and of constant encoders."""
    start = np.zeros(last - first + 1, np.int64)
    for e in range(first, last):
        n, tail = 0, edges.tail[e]
        if edges.constant[e]:
            n = 1
        elif signals.coded[tail]:
            n = edges.n_categories[e] if edges.n_categories[e] > 0 else signals.n_levels[tail]
        start[e - first + 1] = start[e - first] + n
    terms = np.empty((start[last - first], WIDTH), np.float32)
    for e in range(first, last):
        n = start[e - first + 1] - start[e - first]
        if n == 0:
            continue
        a, b = tile(scratch[0], n), tile(scratch[1], n)
        if edges.n_categories[e] > 0:
            for k in range(n):
                for j in range(WIDTH):
                    a[j, k] = edges.classes[edges.class_start[e] + k, j]
        else:
            for k in range(n):
                a[0, k] = signals.levels[edges.tail[e], k]
        own = b if encode(edges, e, a, b, rule, 0) else a
        transpose(own, terms[start[e - first] : start[e - first + 1]])
    return _Levels(exponentials(terms) if as_powers else terms, start)


@spliced
def _join_block(
    signals: Signals,
    nodes: Nodes,
    v: int,
    mode: int,
    foreign: Foreign,
    rule: Rule,
    levels: _Levels,
    start: int,
    end: int,
    buffers: _Buffers,
) -> bool:
    """Join the terms of the rows start to end into `buffers.total`; False if exponentials left their range."""
    n, edges, tables, scratch = end - start, nodes.edges, buffers.tables, buffers.scratch
    total, spare = buffers.total[:n], buffers.spare[:n]
    reset(mode, total.reshape(-1), spare.reshape(-1))
    as_sum = SUM if mode == EXPSUM else mode  # of what is exponential already
    terms = buffers.powers if mode == EXPSUM else foreign.terms[foreign.place[mode]]
    first, last, by_row, n_direct = nodes.first[v], nodes.first[v + 1], len(rule.activations) > 0, 0
    is_fast = signals.ladder.shape[1] > 0
    for e in range(first, last):
        tail = edges.tail[e]
        if by_row or not (edges.constant[e] or signals.coded[tail]):
            n_direct += 0 if is_fast else 1
            if is_fast:
                x, order, ladder = signals.numbers[tail, start:end], signals.order[tail, start:end], signals.ladder[tail]
                find_intervals(mode, edges, e, x, order, ladder, rule, tables, e - first, total, spare, scratch)
    for row in range(0, n, TILE):  # totals of a tile stay in the first cache
        stop = min(row + TILE, n)
        for key in range(len(foreign.rows)):
            codes = foreign.rows[key, start:end]
            combine_rows(as_sum, terms, 0, codes, buffers.numbers, row, stop, total, spare)
        for e in range(first, last):
            tail = edges.tail[e]
            if (edges.constant[e] or signals.coded[tail]) and not by_row:
                codes = buffers.zeros if edges.constant[e] else signals.codes[tail, start:end]
                base = levels.start[e - first]
                combine_rows(as_sum, levels.terms, base, codes, buffers.numbers, row, stop, total, spare)
            elif is_fast:
                x, ladder = signals.numbers[tail, start:end], signals.ladder[tail]
                interpolate(mode, x, ladder, tables, e - first, row, stop, total, spare)
    if n_direct > 0:
        _join_direct(signals, nodes, v, mode, rule, start, total, spare, scratch)
    return finish(mode, total.reshape(-1), spare.reshape(-1))


@spliced
def _join_direct(
    signals: Signals,
    nodes: Nodes,
    v: int,
    mode: int,
    rule: Rule,
    start: int,
    total: np.ndarray,
    spare: np.ndarray,
    scratch: np.ndarray,
) -> None:
    """Join the terms of edges that are computed row by row to the totals of a block."""
    by_row, edges = len(rule.activations) > 0, nodes.edges
    for row in range(0, len(total), TILE):
        count = min(TILE, len(total) - row)
        a, b, joined = tile(scratch[0], count), tile(scratch[1], count), tile(scratch[3], count)
        sums, logs = joined.reshape(-1), scratch[4, : joined.size]
        reset(mode, sums, logs)
        for e in range(nodes.first[v], nodes.first[v + 1]):
            tail, at = edges.tail[e], start + row
            if not by_row and (edges.constant[e] or signals.coded[tail]):
                continue
            read(signals, edges, e, at, count, a)
            combine(mode, (b if encode(edges, e, a, b, rule, at) else a).reshape(-1), sums, logs)
        if mode == LOGEXP:
            finish(mode, sums, logs)
        rows = scratch[2, : count * WIDTH].reshape((count, WIDTH))
        transpose(joined, rows)
        combine(
            SUM if mode == EXPSUM else mode,
            rows.reshape(-1),
            total[row : row + count].reshape(-1),
            spare[row : row + count].reshape(-1),
        )


@inlined
def _head(decoders: Networks, decoder: int, classes: np.ndarray) -> tuple[np.ndarray, int]:
    """The decoder's last matrix, flat, multiplied by the class embeddings if there are any; its width."""
    last = decoders.first[decoder + 1] - 1
    n_out = decoders.n_out[last]
    matrix = decoders.weights[decoders.start[last] : decoders.start[last] + WIDTH * n_out]
    if len(classes) == 0:
        return matrix, n_out
    head = np.zeros((WIDTH, len(classes)), np.float32)
    for j in range(WIDTH):
        for i in range(WIDTH):
            for k in range(len(classes)):
                head[i, k] += matrix[i * WIDTH + j] * classes[k, j]
    return head.reshape(-1), len(classes)


@inlined
def _choose(logits: np.ndarray, n_classes: int, codes: np.ndarray) -> None:
    """The class of the largest logit [classes, TILE] in each row, the first among equals."""
    for r in range(len(codes)):
        codes[r] = 0
    for k in range(1, n_classes):
        for r in range(len(codes)):
            codes[r] = k if logits[k, r] > logits[0, r] else codes[r]
            logits[0, r] = max(logits[0, r], logits[k, r])


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
    levels = tabulate(signals, edges, 0, len(edges.tail), unclamped, False, scratch)
    by_row = len(rule.activations) > 0
    for row in range(0, n_rows, TILE):
        count = min(TILE, n_rows - row)
        rows = raw[: count * WIDTH].reshape((count, WIDTH))
        for m in range(len(modes)):
            reset(modes[m], joined[m, row : row + count].reshape(-1), spare[m])
        for e in range(len(edges.tail)):
            if not by_row and (edges.constant[e] or signals.coded[edges.tail[e]]):
                for r in range(count):
                    code = 0 if edges.constant[e] else signals.codes[edges.tail[e], row + r]
                    for j in range(WIDTH):
                        rows[r, j] = levels.terms[levels.start[e] + code, j]
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
