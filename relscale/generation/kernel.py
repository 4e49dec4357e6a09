"""The compiled arithmetic of causal models: values are encoded, joined, blurred and decoded.

Networks run on tiles of `TILE` rows whose embeddings are stored by unit, [WIDTH, TILE]: loops over rows are
contiguous and become vector instructions. Joined terms are stored by row, [rows, WIDTH], in blocks that stay
in the cache, so that looking a row's term up is one contiguous copy.
"""

from typing import NamedTuple

import numpy as np

from relscale.generation import activations, arithmetic
from relscale.generation.activations import activate
from relscale.generation.arithmetic import bound, exp, log1p, random_bits
from relscale.generation.networks import WIDTH, Networks
from relscale.platform.compiled import compiled, inlined, kept

TILE = 128
BLOCK = 4096
"""Rows that are joined at once, at most: their totals (512 KB) stay in the second cache."""
RUNGS = 63
"""Pairs of intervals into which interpolation divides an encoder's inputs; their ends fill one tile."""
TOLERANCE = np.float32(1e-3)
"""Error of interpolation relative to an edge's typical term, at the middle of a pair of intervals."""
NOISE_LEVELS = 2**12
"""Equally likely values of a node's noise."""
NOISE_SHARE = np.float32(1 / 32)
"""Factor of the noise that is added to every embedding."""

AGGREGATIONS = ("sum", "max", "product", "logexp")
SUM, MAX, PRODUCT, LOGEXP = range(4)
ENCODING, DECODING = range(2)

ZERO, ONE = np.float32(0), np.float32(1)
SOURCES = (__file__, arithmetic.__file__, activations.__file__)


class Signals(NamedTuple):
    """Values of V nodes or columns over n rows, each as numbers or as codes of few levels.

    numbers   float32 [V, n]
    codes     int32 [V, n]
    levels    float32 [V, TILE]  the number that a code stands for; unused where codes are classes
    n_levels  int64 [V]
    coded     bool [V]           whether `codes` holds the values, not `numbers`
    order     int32 [V, n]       of numbers: within each block of rows, the rows by ascending value
    ladder    float32 [V, L]     of numbers: values at equally spaced ranks, ascending; L = 0: edges are computed
                                 row by row, else they are interpolated; L - 1 is a multiple of 2 * RUNGS
    """

    numbers: np.ndarray
    codes: np.ndarray
    levels: np.ndarray
    n_levels: np.ndarray
    coded: np.ndarray
    order: np.ndarray
    ladder: np.ndarray


class Edges(NamedTuple):
    """What leads from signals to terms: term e is weight[e] * encode_e(signal tail[e]), clamped.

    tail          int64 [E]
    weight        float32 [E]
    networks      one encoder each
    classes       float32 [.., WIDTH]  class embeddings
    class_start   int64 [E]
    n_categories  int64 [E]            0 for encoders of numbers
    constant      bool [E]             the encoder has one output for all inputs
    """

    tail: np.ndarray
    weight: np.ndarray
    networks: Networks
    classes: np.ndarray
    class_start: np.ndarray
    n_categories: np.ndarray
    constant: np.ndarray


class Rule(NamedTuple):
    """How networks are run.

    term_limit, hidden_limit   terms and hidden units are clamped to plus and minus these
    activations  int64         none: a layer's activation is the same for all rows; else codes, of which every
                               row draws one afresh in every layer
    key          uint32 [2]    of the random bits that draw them
    """

    term_limit: float
    hidden_limit: float
    activations: np.ndarray
    key: np.ndarray


class _Tables(NamedTuple):
    """What edges look up: codes [edges, TILE, WIDTH]; and ladders, n_knots of them per edge (0: none)."""

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


@inlined
def _tile(buffer: np.ndarray, count: int) -> np.ndarray:
    """Room for the embeddings of `count` rows, at most TILE, in a flat buffer; [WIDTH, lanes]."""
    lanes = (count + 15) // 16 * 16
    return buffer[: WIDTH * lanes].reshape((WIDTH, lanes))


@compiled
def _multiply(
    weights: np.ndarray, start: int, n_in: int, n_out: int, x: np.ndarray, out: np.ndarray
) -> None:
    """out[j] = sum over i of w[i, j] x[i] with the matrix w [n_in, n_out] from `start` on."""
    lanes = x.shape[1]
    if n_in == 1:
        for j in range(n_out):
            w = weights[start + j]
            for r in range(lanes):
                out[j, r] = w * x[0, r]
        return
    if n_out == 1:
        out[0, :] = ZERO
        for i in range(0, n_in, 4):
            w0, w1, w2, w3 = weights[start + i : start + i + 4]
            for r in range(lanes):
                out[0, r] += w0 * x[i, r] + w1 * x[i + 1, r] + w2 * x[i + 2, r] + w3 * x[i + 3, r]
        return
    w = weights[start : start + n_in * n_out].reshape((n_in, n_out))
    for j in range(0, n_out, 4):  # four outputs and four inputs at once keep the multipliers busy
        out[j : j + 4] = ZERO
        for i in range(0, n_in, 4):
            a0, a1, a2, a3 = w[i, j], w[i + 1, j], w[i + 2, j], w[i + 3, j]
            b0, b1, b2, b3 = w[i, j + 1], w[i + 1, j + 1], w[i + 2, j + 1], w[i + 3, j + 1]
            c0, c1, c2, c3 = w[i, j + 2], w[i + 1, j + 2], w[i + 2, j + 2], w[i + 3, j + 2]
            d0, d1, d2, d3 = w[i, j + 3], w[i + 1, j + 3], w[i + 2, j + 3], w[i + 3, j + 3]
            for r in range(lanes):
                x0, x1, x2, x3 = x[i, r], x[i + 1, r], x[i + 2, r], x[i + 3, r]
                out[j, r] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                out[j + 1, r] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                out[j + 2, r] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                out[j + 3, r] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3


@compiled
def _hide(nets: Networks, net: int, a: np.ndarray, b: np.ndarray, rule: Rule, row: int, use: int) -> bool:
    """All layers of a network but the last, from `a`; True if the result is in `b`.

    row, use : number of the first row, and of the set of networks, where activations are drawn by row.
    """
    for layer in range(nets.first[net], nets.first[net + 1] - 1):
        _multiply(nets.weights, nets.start[layer], nets.n_in[layer], nets.n_out[layer], a, b)
        hidden = b[: nets.n_out[layer]]
        if len(rule.activations) == 0:
            activate(nets.activation[layer], hidden.reshape(-1), nets.waves[nets.wave_of[layer]])
        else:
            _activate_by_row(hidden, rule, row, layer, use)
        flat, gain, limit = hidden.reshape(-1), nets.gain[layer], rule.hidden_limit
        for i in range(len(flat)):
            flat[i] = bound(gain * flat[i], limit)
        a, b = b, a
    return (nets.first[net + 1] - nets.first[net]) % 2 == 0


@compiled
def _activate_by_row(hidden: np.ndarray, rule: Rule, row: int, layer: int, use: int) -> None:
    """Apply to each row, a column of `hidden`, an activation of its own."""
    names, keys = rule.activations, (rule.key[0], rule.key[1])
    before, waves = hidden.copy(), np.empty((3, 0), np.float32)
    for i in range(len(names)):
        after = before.copy()
        activate(names[i], after.reshape(-1), waves)
        for r in range(hidden.shape[1]):
            bits = random_bits(np.uint32(row + r), np.uint32(layer), np.uint32(use), keys)
            if np.uint64(bits[0]) * np.uint64(len(names)) >> np.uint64(32) == i:
                hidden[:, r] = after[:, r]


@compiled
def _encode(edges: Edges, e: int, a: np.ndarray, b: np.ndarray, rule: Rule, row: int) -> bool:
    """The clamped terms of edge e for the inputs in `a`, of the rows from `row` on; True if they are in `b`."""
    nets = edges.networks
    swapped = _hide(nets, e, a, b, rule, row, ENCODING)
    last = nets.first[e + 1] - 1
    if swapped:
        a, b = b, a
    _multiply(nets.weights, nets.start[last], nets.n_in[last], nets.n_out[last], a, b)
    weight, terms = edges.weight[e], b.reshape(-1)
    for i in range(len(terms)):
        terms[i] = bound(weight * terms[i], rule.term_limit)
    return not swapped


@compiled
def _reset(mode: int, total: np.ndarray, spare: np.ndarray) -> None:
    """Totals of no terms; log-sum-exp is total + log(spare)."""
    total[:] = ZERO if mode == SUM else (ONE if mode == PRODUCT else -np.inf)
    spare[:] = ZERO


@inlined
def _add_exp(term: float, total: float, spare: float) -> tuple[float, float]:
    above = term - total
    share = exp(-abs(above))
    return (term, spare * share + ONE) if above > ZERO else (total, spare + share)


@compiled
def _combine(mode: int, terms: np.ndarray, total: np.ndarray, spare: np.ndarray) -> None:
    """Join further terms to the totals, all flat."""
    if mode == SUM:
        for i in range(len(terms)):
            total[i] += terms[i]
    elif mode == MAX:
        for i in range(len(terms)):
            total[i] = terms[i] if terms[i] > total[i] else total[i]
    elif mode == PRODUCT:
        for i in range(len(terms)):
            total[i] *= terms[i]
    else:
        for i in range(len(terms)):
            total[i], spare[i] = _add_exp(terms[i], total[i], spare[i])


@compiled
def _combine_rows(
    mode: int,
    table: np.ndarray,
    codes: np.ndarray,
    rows: np.ndarray,
    total: np.ndarray,
    spare: np.ndarray,
) -> None:
    """Join table[codes[i]] to the totals of rows[i]; table, total and spare are [.., WIDTH]."""
    width = total.shape[1]  # of unknown length a loop becomes vector instructions, of 32 it is unrolled
    for i in range(len(codes)):
        code, row = codes[i], rows[i]
        if mode == SUM:
            for j in range(width):
                total[row, j] += table[code, j]
        elif mode == MAX:
            for j in range(width):
                total[row, j] = table[code, j] if table[code, j] > total[row, j] else total[row, j]
        elif mode == PRODUCT:
            for j in range(width):
                total[row, j] *= table[code, j]
        else:
            for j in range(width):
                total[row, j], spare[row, j] = _add_exp(table[code, j], total[row, j], spare[row, j])


@compiled
def _combine_lines(
    mode: int,
    base: np.ndarray,
    slope: np.ndarray,
    x: np.ndarray,
    low: float,
    rows: np.ndarray,
    total: np.ndarray,
    spare: np.ndarray,
) -> None:
    """Join base + slope * (x[row] - low), [WIDTH], to the totals of some rows."""
    width = total.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        beyond = x[row] - low
        if mode == SUM:
            for j in range(width):
                total[row, j] += base[j] + beyond * slope[j]
        elif mode == MAX:
            for j in range(width):
                term = base[j] + beyond * slope[j]
                total[row, j] = term if term > total[row, j] else total[row, j]
        elif mode == PRODUCT:
            for j in range(width):
                total[row, j] *= base[j] + beyond * slope[j]
        else:
            for j in range(width):
                term = base[j] + beyond * slope[j]
                total[row, j], spare[row, j] = _add_exp(term, total[row, j], spare[row, j])


@inlined
def _transpose(units: np.ndarray, rows: np.ndarray) -> None:
    """[WIDTH, lanes] to [rows, WIDTH]."""
    width = rows.shape[1]
    for r in range(rows.shape[0]):
        for j in range(width):
            rows[r, j] = units[j, r]


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
        a, b = _tile(scratch[0], n), _tile(scratch[1], n)
        if edges.n_categories[e] > 0:
            for k in range(n):
                a[:, k] = edges.classes[edges.class_start[e] + k]
        else:
            a[0, :n] = signals.levels[tail, :n]
        _transpose(b if _encode(edges, e, a, b, rule, 0) else a, tables[e - first, :n])
    return tables


@compiled
def _approximate(
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
    a, b = _tile(scratch[0], len(coarse)), _tile(scratch[1], len(coarse))
    a[0, : len(coarse)] = ladder[::step]
    _transpose(b if _encode(edges, e, a, b, rule, 0) else a, coarse)
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
        a, b = _tile(scratch[0], len(some) * size), _tile(scratch[1], len(some) * size)
        for i in range(len(some)):
            start = 2 * some[i] * step
            a[0, i * size : (i + 1) * size] = ladder[start : start + size]
        dense = b if _encode(edges, e, a, b, rule, 0) else a
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
    return worst <= TOLERANCE * (typical + size / np.float32(WIDTH))


@compiled
def _interpolate(
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
            _combine_lines(mode, base, slope, x, low, order[start:end], total, spare)
        else:
            stray[n_stray : n_stray + end - start] = order[start:end]
            n_stray += end - start
        start = end
    for first in range(0, n_stray, TILE):
        some = stray[first : min(first + TILE, n_stray)]
        a, b = _tile(scratch[0], len(some)), _tile(scratch[1], len(some))
        rows = scratch[2, : len(some) * WIDTH].reshape((len(some), WIDTH))
        for r in range(len(some)):
            a[0, r] = x[some[r]]
        _transpose(b if _encode(edges, e, a, b, rule, 0) else a, rows)
        _combine_rows(mode, rows, straight[: len(some)], some, total, spare)


@compiled
def _prepare(
    signals: Signals,
    edges: Edges,
    first: int,
    last: int,
    rule: Rule,
    scratch: np.ndarray,
) -> _Tables:
    n_edges, length = last - first, signals.ladder.shape[1]
    n_knots = np.zeros(n_edges, np.int64)
    room = n_edges if length > 0 else 0
    knots, good = np.empty((room, length), np.float32), np.empty((room, length), np.bool_)
    terms = np.empty((room, length, WIDTH), np.float32)
    for e in range(first, last):
        i, tail = e - first, edges.tail[e]
        if length > 0 and not (edges.constant[e] or signals.coded[tail]):
            n_knots[i] = _approximate(
                edges, e, signals.ladder[tail], rule, knots[i], terms[i], good[i], scratch
            )
    return _Tables(_tabulate(signals, edges, first, last, rule, scratch), n_knots, knots, terms, good)


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
    _reset(mode, total.reshape(-1), spare.reshape(-1))
    for key in range(len(foreign_rows)):
        _combine_rows(mode, foreign, foreign_rows[key, start:end], rows, total, spare)
    n_direct, by_row = 0, len(rule.activations) > 0
    for e in range(first, last):
        i, tail = e - first, edges.tail[e]
        if edges.constant[e] and not by_row:
            _combine_rows(mode, tables.codes[i], zeros, rows, total, spare)
        elif signals.coded[tail] and not by_row:
            _combine_rows(mode, tables.codes[i], signals.codes[tail, start:end], rows, total, spare)
        elif tables.n_knots[i] > 0:
            x, order = signals.numbers[tail, start:end], signals.order[tail, start:end]
            _interpolate(
                *(mode, edges, e, x, order, rule, total, spare, scratch),
                *(tables.knots[i, : tables.n_knots[i]], tables.terms[i], tables.good[i]),
            )
        else:
            n_direct += 1
    if n_direct > 0:
        _join_direct(signals, edges, first, last, mode, rule, start, total, spare, scratch)
    if mode == LOGEXP:
        sums, logs = total.reshape(-1), spare.reshape(-1)
        for i in range(len(sums)):
            sums[i] += log1p(logs[i] - ONE)


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
        a, b, joined = _tile(scratch[0], count), _tile(scratch[1], count), _tile(scratch[3], count)
        sums, logs = joined.reshape(-1), scratch[4, : joined.size]
        _reset(mode, sums, logs)
        for e in range(first, last):
            tail, at = edges.tail[e], start + row
            if not by_row and (edges.constant[e] or signals.coded[tail]):
                continue
            if signals.coded[tail]:
                for r in range(count):
                    a[:, r] = edges.classes[edges.class_start[e] + signals.codes[tail, at + r]]
            else:
                a[0, :count] = signals.numbers[tail, at : at + count]
            _combine(mode, (b if _encode(edges, e, a, b, rule, at) else a).reshape(-1), sums, logs)
        if mode == LOGEXP:
            for i in range(len(sums)):
                sums[i] += log1p(logs[i] - ONE)
        rows = scratch[2, : count * WIDTH].reshape((count, WIDTH))
        _transpose(joined, rows)
        _combine(
            mode,
            rows.reshape(-1),
            total[row : row + count].reshape(-1),
            spare[row : row + count].reshape(-1),
        )


@kept(*SOURCES)
def join_terms(
    signals: Signals,
    edges: Edges,
    first: int,
    last: int,
    mode: int,
    foreign: np.ndarray,
    foreign_rows: np.ndarray,
    rule: Rule,
) -> np.ndarray:
    """Join the terms of some edges, and foreign ones, for every row.

    Parameters
    ----------
    signals, edges : where terms come from; they are those of the edges first to last.
    mode : position in AGGREGATIONS.
    foreign : float32 [.., WIDTH], joined terms of parent rows.
    foreign_rows : int32 [keys, n], the rows of `foreign` that a row of the table reads.
    rule : clamps, and whether rows share their activations.

    Returns
    -------
    float32 [n, WIDTH].
    """
    n_rows = signals.codes.shape[1]
    joined, size = np.empty((n_rows, WIDTH), np.float32), block_size(n_rows)
    spare, scratch = np.empty((size, WIDTH), np.float32), np.zeros((5, WIDTH * TILE), np.float32)
    tables = _prepare(signals, edges, first, last, rule, scratch)
    for start in range(0, n_rows, size):
        total = joined[start : start + size]
        _join_block(
            *(signals, edges, first, last, mode, foreign, foreign_rows, rule, tables, start),
            *(total, spare[: len(total)], scratch),
        )
    return joined


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
    """Values of a node: decode(joined terms + noise / 32). The terms are as in `join_terms`.

    Parameters
    ----------
    decoders, decoder : the node's network is that of this number.
    classes : float32 [K, WIDTH], class embeddings; none for a number.
    noise : float32 [NOISE_LEVELS], its equally likely values.
    key : uint32 [2], of the random bits that choose among them.
    numbers, codes : the result, float32 [n] if there are no classes, else int32 [n].
    """
    n_rows, n_classes = signals.codes.shape[1], len(classes)
    size = block_size(n_rows)
    block, spare = np.empty((size, WIDTH), np.float32), np.empty((size, WIDTH), np.float32)
    scratch = np.zeros((5, WIDTH * TILE), np.float32)
    tables = _prepare(signals, edges, first, last, rule, scratch)
    head, n_out = _head(decoders, decoder, classes)
    for start in range(0, n_rows, size):
        total = block[: min(size, n_rows - start)]
        _join_block(
            *(signals, edges, first, last, mode, foreign, foreign_rows, rule, tables, start),
            *(total, spare[: len(total)], scratch),
        )
        for row in range(0, len(total), TILE):
            count, at = min(TILE, len(total) - row), start + row
            a, b = _tile(scratch[0], count), _tile(scratch[1], count)
            for j in range(WIDTH):
                for r in range(count):
                    a[j, r] = total[row + r, j]
            _blur(a, noise, at, (key[0], key[1]))
            if _hide(decoders, decoder, a, b, rule, at, DECODING):
                a, b = b, a
            _multiply(head, 0, WIDTH, n_out, a, b)
            if n_classes == 0:
                numbers[at : at + count] = b[0, :count]
            else:
                _choose(b, n_classes, codes[at : at + count])


@inlined
def _choose(logits: np.ndarray, n_classes: int, codes: np.ndarray) -> None:
    """The class of the largest logit [classes, TILE] in each row, the first among equals."""
    for r in range(len(codes)):
        best = 0
        for k in range(1, n_classes):
            if logits[k, r] > logits[best, r]:
                best = k
        codes[r] = best


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
def _blur(joined: np.ndarray, noise: np.ndarray, row: int, keys: tuple[int, int]) -> None:
    """Add the noise, which depends on (key, row, unit) alone."""
    mask = np.uint32(NOISE_LEVELS - 1)
    for block in range(WIDTH // 8):
        for r in range(joined.shape[1]):
            bits = random_bits(np.uint32(row + r), np.uint32(block), np.uint32(0), keys)
            for part in range(4):
                j = 8 * block + 2 * part
                joined[j, r] += NOISE_SHARE * noise[bits[part] & mask]
                joined[j + 1, r] += NOISE_SHARE * noise[bits[part] >> np.uint32(16) & mask]
