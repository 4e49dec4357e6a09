"""The values of a causal model's nodes, compiled: terms are joined in blocks of rows, blurred, decoded."""

from typing import NamedTuple

import numpy as np

from relscale.generation import interpolation, noise, ranks, tiles, totals
from relscale.generation.arithmetic import bound
from relscale.generation.interpolation import (
    KNOTS,
    MANY_KNOTS,
    Tables,
    approximate,
    empty_tables,
    find_intervals,
    interpolate,
)
from relscale.generation.networks import WIDTH, Networks
from relscale.generation.noise import DENSITY_KNOTS, NOISE_LEVELS, blur, fill_quantiles
from relscale.generation.ranks import BLOCK, Sorting, block_size, rank, sorting_room
from relscale.generation.tiles import (
    ANY_ROW,
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
    exponentiate,
    finish,
    reset,
)
from relscale.generation.vectors import LANES, multiply, turn_rows
from relscale.platform.compiled import compiled, inlined, kept

SOURCES = (
    *(__file__, *tiles.SOURCES),
    *(totals.__file__, interpolation.__file__, noise.__file__, ranks.__file__),
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


class Levels(NamedTuple):
    """Room for the terms [.., WIDTH] of all levels that a node's edges read; edge i's begin at start[i]."""

    terms: np.ndarray
    start: np.ndarray


class Buffers(NamedTuple):
    """Room that all nodes of a table use in turn.

    total, spare  float32 [rows of a block, WIDTH], and a few more
    scratch       float32 [5, a tile]
    tables        of the edges of a node that are interpolated
    levels        of the edges of a node that read codes
    sorting       for the order of values
    head          float32 [WIDTH * most classes]  a decoder's last matrix
    out           float32 [most classes * TILE]   what it gives
    noise         float32 [NOISE_LEVELS]
    density       float32 [DENSITY_KNOTS]
    chosen        uint16 [a tile]
    powers        float32 [rows of all parents, WIDTH]  exponentials of foreign terms
    numbers       int32 [rows of a block]  0, 1, 2, ...
    zeros         int32 [rows of a block]
    """

    total: np.ndarray
    spare: np.ndarray
    scratch: np.ndarray
    tables: Tables
    levels: Levels
    sorting: Sorting
    head: np.ndarray
    out: np.ndarray
    noise: np.ndarray
    density: np.ndarray
    chosen: np.ndarray
    powers: np.ndarray
    numbers: np.ndarray
    zeros: np.ndarray


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
    _compute_nodes(signals, nodes, foreign, rule, noise, _make_buffers(signals, nodes, foreign))


def _make_buffers(signals: Signals, nodes: Nodes, foreign: Foreign) -> Buffers:
    n_rows, n_edges = signals.codes.shape[1], np.diff(nodes.first)
    size = min(n_rows, BLOCK)
    n_classes = int(nodes.n_categories.max(initial=1))
    n_knots = 0 if signals.ladder.shape[1] == 0 else KNOTS if n_rows <= BLOCK else MANY_KNOTS
    has_powers = len(foreign.rows) > 0 and (nodes.aggregations[n_edges > 0] == LOGEXP).any()
    return Buffers(
        total=np.zeros((size + LANES, WIDTH), np.float32),  # whole registers are read
        spare=np.empty((size, WIDTH), np.float32),
        scratch=np.zeros((5, WIDTH * TILE), np.float32),
        tables=empty_tables(int(n_edges.max(initial=0)), n_knots),
        levels=_make_levels(int(n_edges.max(initial=0)), n_classes),
        sorting=sorting_room(n_rows),
        head=np.empty(WIDTH * n_classes, np.float32),
        out=np.empty(n_classes * TILE, np.float32),
        noise=np.empty(NOISE_LEVELS, np.float32),
        density=np.empty(DENSITY_KNOTS, np.float32),
        chosen=np.empty(WIDTH * TILE, np.uint16),
        powers=np.empty((foreign.terms.shape[1] if has_powers else 0, WIDTH), np.float32),
        numbers=np.arange(size, dtype=np.int32),
        zeros=np.zeros(size, np.int32),
    )


def _make_levels(n_edges: int, n_classes: int) -> Levels:
    room = n_edges * max(TILE, n_classes)
    return Levels(np.empty((room, WIDTH), np.float32), np.zeros(n_edges + 1, np.int64))


@kept(*SOURCES)
def _compute_nodes(
    signals: Signals, nodes: Nodes, foreign: Foreign, rule: Rule, noise: Noise, buffers: Buffers
) -> None:
    if len(buffers.powers) > 0:
        exponentiate(foreign.terms[foreign.place[LOGEXP]].reshape(-1), buffers.powers.reshape(-1))
    for v in range(len(nodes.n_categories)):
        if nodes.first[v] < nodes.first[v + 1]:
            _compute_node(signals, nodes, v, foreign, rule, noise, buffers)
            signals.coded[v] = nodes.n_categories[v] > 0
        if nodes.is_read[v] and signals.ladder.shape[1] > 0 and not signals.coded[v]:
            rank(signals, v, buffers.sorting)


@compiled
def _compute_node(
    signals: Signals, nodes: Nodes, v: int, foreign: Foreign, rule: Rule, noise: Noise, buffers: Buffers
) -> None:
    """Write the values of node v, block by block of rows."""
    n_rows = signals.codes.shape[1]
    n_blocked = block_size(n_rows)
    k, class_start = nodes.n_categories[v], nodes.class_start[v]
    fill_quantiles(nodes.noises[v, 0], nodes.noises[v, 1], noise.scale, buffers.noise, buffers.density)
    key = (noise.key[0] ^ np.uint32(v << 8), noise.key[1] ^ np.uint32(v << 8))
    mode = nodes.aggregations[v]
    mode = EXPSUM if mode == LOGEXP else mode
    first, last, edges, is_fast = nodes.first[v], nodes.first[v + 1], nodes.edges, signals.ladder.shape[1] > 0
    tabulate(signals, edges, first, last, rule, mode == EXPSUM, buffers.levels, buffers.scratch)
    for e in range(first, last):
        buffers.tables.first[e - first + 1] = buffers.tables.first[e - first]
        if is_fast and not (edges.constant[e] or signals.coded[edges.tail[e]]):
            ladder = signals.ladder[edges.tail[e]]
            approximate(edges, e, ladder, rule, buffers.tables, e - first, buffers.scratch)
    n_out = _write_head(nodes.decoders, v, nodes.classes[class_start : class_start + k], buffers.head)
    start, end = ANY_ROW, n_blocked
    if mode == EXPSUM and not is_fast:
        end = min(TILE, n_rows)  # a first tile shows whether exponentials stay in range
    while start < n_rows:
        while not _join_block(signals, nodes, v, mode, foreign, rule, start, end, buffers):
            mode = LOGEXP
            tabulate(signals, edges, first, last, rule, mode == EXPSUM, buffers.levels, buffers.scratch)
        for row in range(0, end - start, TILE):
            count, at = min(TILE, end - start - row), start + row
            a, b = tile(buffers.scratch[0], count), tile(buffers.scratch[1], count)
            for lane in range(0, count, LANES):
                turn_rows(buffers.total, row + lane, a, lane)
            blur(a, buffers.noise, at, key, buffers.chosen)
            if hide(nodes.decoders, v, a, b, rule, at, DECODING):
                a, b = b, a
            out = buffers.out[: n_out * a.shape[1]].reshape((n_out, a.shape[1]))
            multiply(buffers.head, 0, WIDTH, n_out, a, out)
            if k == 0:
                for r in range(count):
                    signals.numbers[v, at + r] = out[0, r]
            else:
                _choose(out, k, signals.codes[v, at : at + count])
        start, end = end, min(end + n_blocked, n_rows)


@compiled
def tabulate(
    signals: Signals,
    edges: Edges,
    first: int,
    last: int,
    rule: Rule,
    as_powers: bool,
    levels: Levels,
    scratch: np.ndarray,
) -> None:
    """Write terms, or their exponentials, of every level of coded signals, and of constant encoders."""
    start, terms = levels.start, levels.terms
    for e in range(first, last):
        n, tail = 0, edges.tail[e]
        if edges.constant[e]:
            n = 1
        elif signals.coded[tail]:
            n = edges.n_categories[e] if edges.n_categories[e] > 0 else signals.n_levels[tail]
        start[e - first + 1] = start[e - first] + n
    for e in range(first, last):
        n = start[e - first + 1] - start[e - first]
        if n == 0:
            continue
        for done in range(0, n, TILE):
            count = min(TILE, n - done)
            a, b = tile(scratch[0], count), tile(scratch[1], count)
            if edges.n_categories[e] > 0:
                for k in range(count):
                    for j in range(WIDTH):
                        a[j, k] = edges.classes[edges.class_start[e] + done + k, j]
            else:
                for k in range(count):
                    a[0, k] = signals.levels[edges.tail[e], done + k]
            own, place = b if encode(edges, e, a, b, rule, ANY_ROW) else a, start[e - first] + done
            transpose(own, terms[place : place + count])
    if as_powers:
        flat = terms[: start[last - first]].reshape(-1)
        exponentiate(flat, flat)


@compiled
def _join_block(
    signals: Signals,
    nodes: Nodes,
    v: int,
    mode: int,
    foreign: Foreign,
    rule: Rule,
    start: int,
    end: int,
    buffers: Buffers,
) -> bool:
    """Join terms of the rows start to end into `buffers.total`; False if exponentials left their range."""
    n, edges = end - start, nodes.edges
    tables, levels, scratch = buffers.tables, buffers.levels, buffers.scratch
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
                x, order, ladder = (
                    signals.numbers[tail, start:end],
                    signals.order[tail, start:end],
                    signals.ladder[tail],
                )
                find_intervals(
                    mode, edges, e, x, order, ladder, rule, tables, e - first, total, spare, scratch
                )
    for row in range(0, n, TILE):  # totals of a tile stay in the first cache
        stop = min(row + TILE, n)
        for key in range(len(foreign.rows)):
            codes = foreign.rows[key, start:end]
            combine_rows(as_sum, terms, ANY_ROW, codes, buffers.numbers, row, stop, total, spare)
        for e in range(first, last):
            tail = edges.tail[e]
            if (edges.constant[e] or signals.coded[tail]) and not by_row:
                codes = buffers.zeros if edges.constant[e] else signals.codes[tail, start:end]
                base = levels.start[e - first]
                combine_rows(as_sum, levels.terms, base, codes, buffers.numbers, row, stop, total, spare)
            elif is_fast:
                x = signals.numbers[tail, start:end]
                interpolate(mode, x, tables, e - first, row, stop, total, spare)
    if n_direct > 0:
        _join_direct(signals, nodes, v, mode, rule, start, total, spare, scratch)
    return finish(mode, total.reshape(-1), spare.reshape(-1))


@compiled
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


@compiled
def _write_head(decoders: Networks, decoder: int, classes: np.ndarray, head: np.ndarray) -> int:
    """Write a decoder's last matrix, multiplied by the class embeddings if there are any; its width."""
    last = decoders.first[decoder + 1] - 1
    start, n_out, n_classes = decoders.start[last], decoders.n_out[last], len(classes)
    if n_classes == 0:
        for i in range(WIDTH):
            head[i] = decoders.weights[start + i]
        return 1
    for i in range(WIDTH):
        for k in range(n_classes):
            head[i * n_classes + k] = np.float32(0)
        for j in range(n_out):
            weight = decoders.weights[start + i * n_out + j]
            for k in range(n_classes):
                head[i * n_classes + k] += weight * classes[k, j]
    return n_classes


@inlined
def _choose(logits: np.ndarray, n_classes: int, codes: np.ndarray) -> None:
    """The class of the largest logit [classes, TILE] in each row, the first among equals."""
    for r in range(len(codes)):
        codes[r] = 0
    for k in range(1, n_classes):
        for r in range(len(codes)):
            better = logits[k, r] > logits[0, r]
            codes[r] = k if better else codes[r]
            logits[0, r] = logits[k, r] if better else logits[0, r]


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
    joined = np.empty((len(modes), signals.codes.shape[1], WIDTH), np.float32)
    spare = np.empty((len(modes), TILE * WIDTH), np.float32)
    scratch = np.zeros((5, WIDTH * TILE), np.float32)
    levels = _make_levels(len(edges.tail), int(edges.n_categories.max(initial=1)))
    _join_columns(signals, edges, modes, shares, rule, joined, spare, scratch, levels)
    return joined


@kept(*SOURCES)
def _join_columns(
    signals: Signals,
    edges: Edges,
    modes: np.ndarray,
    shares: np.ndarray,
    rule: Rule,
    joined: np.ndarray,
    spare: np.ndarray,
    scratch: np.ndarray,
    levels: Levels,
) -> None:
    n_rows, raw, by_row = joined.shape[1], scratch[2], len(rule.activations) > 0
    unclamped = Rule(np.float32(np.inf), rule.hidden_limit, rule.activations, rule.key, rule.room)
    tabulate(signals, edges, ANY_ROW, len(edges.tail), unclamped, len(modes) == 0, levels, scratch)
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
