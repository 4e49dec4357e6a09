"""Tiles of rows through random networks, compiled: what all propagation is made of.

A tile holds up to `TILE` rows whose embeddings are stored by unit, [WIDTH, lanes]: loops over rows are
contiguous and become vector instructions. The lanes beyond the rows, up to a multiple of 16, hold anything.
"""

from typing import NamedTuple

import numpy as np

from relscale.generation import activations, arithmetic, vectors
from relscale.generation.activations import activate
from relscale.generation.arithmetic import bound, random_bits
from relscale.generation.networks import WIDTH, Networks
from relscale.generation.vectors import multiply
from relscale.platform import lanes
from relscale.platform.compiled import compiled, inlined, spliced

TILE = 128
SOURCES = (__file__, activations.__file__, arithmetic.__file__, vectors.__file__, lanes.__file__)
"""Files whose code goes into compiled callers of this module."""

ZERO = np.float32(0)
ENCODING, DECODING = np.int64(0), np.int64(1)  # not literals, each of which is compiled for
"""Sets of networks, whose layers are numbered from 0 on in each."""
ANY_ROW = np.int64(0)
"""Where networks do not depend on the row."""


class Signals(NamedTuple):
    """Values of V nodes or columns over n rows, each as numbers or as codes of few levels.

    numbers   float32 [V, n]
    codes     int32 [V, n]
    levels    float32 [V, TILE]  the number that a code stands for; unused where codes are classes
    n_levels  int64 [V]
    coded     bool [V]           whether `codes` holds the values, not `numbers`
    order     int32 [V, n]       of numbers: within each block of rows, the rows by ascending value
    ladder    float32 [V, L]     of numbers: the values, or a sample of very many, ascending; terms are
                                 computed at some and interpolated between. L is 0 if all are computed
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


class Nodes(NamedTuple):
    """What computes the values of V nodes, parents before children; those without edges are sources.

    first         int64 [V + 1]      node v is computed from the edges first[v] to first[v + 1]
    edges         their encoders
    decoders      one network each
    classes       float32 [.., WIDTH]  class embeddings of decoders
    class_start   int64 [V]
    n_categories  int64 [V]          0 for numbers
    aggregations  int64 [V]          positions in AGGREGATIONS
    noises        float64 [V, 2]     parameters of the beta noise
    is_read       bool [V]           an edge reads the node's values
    """

    first: np.ndarray
    edges: Edges
    decoders: Networks
    classes: np.ndarray
    class_start: np.ndarray
    n_categories: np.ndarray
    aggregations: np.ndarray
    noises: np.ndarray
    is_read: np.ndarray


class Rule(NamedTuple):
    """How networks are run.

    term_limit, hidden_limit   terms and hidden units are clamped to plus and minus these
    activations  int64         none: a layer's activation is the same for all rows; else codes, of which every
                               row draws one afresh in every layer
    key          uint32 [2]    of the random bits that draw them
    room         float32 [4, WIDTH * TILE]  for hidden units on the way
    """

    term_limit: np.float32
    hidden_limit: np.float32
    activations: np.ndarray
    key: np.ndarray
    room: np.ndarray


@spliced
def tile(buffer: np.ndarray, count: int) -> np.ndarray:
    """Room for the embeddings of `count` rows, at most TILE, in a flat buffer; [WIDTH, lanes]."""
    lanes = (count + 15) // 16 * 16
    return buffer[: WIDTH * lanes].reshape((WIDTH, lanes))


@compiled
def hide(nets: Networks, net: int, a: np.ndarray, b: np.ndarray, rule: Rule, row: int, use: int) -> bool:
    """All layers of a network but the last, from `a`; True if the result is in `b`.

    row, use : number of the first row, and of the set of networks, where activations are drawn by row.
    """
    for layer in range(nets.first[net], nets.first[net + 1] - 1):
        multiply(nets.weights, nets.start[layer], nets.n_in[layer], nets.n_out[layer], a, b)
        hidden = b[: nets.n_out[layer]]
        if len(rule.activations) == 0:
            activate(
                nets.activation[layer], hidden.reshape(-1), nets.waves[nets.wave_of[layer]], rule.room[0]
            )
        else:
            _activate_by_row(hidden, rule, row, layer, use, nets.waves[0])
        flat, gain, limit = hidden.reshape(-1), nets.gain[layer], rule.hidden_limit
        for i in range(len(flat)):
            flat[i] = bound(gain * flat[i], limit)
        a, b = b, a
    return (nets.first[net + 1] - nets.first[net]) % 2 == 0


@compiled
def _activate_by_row(
    hidden: np.ndarray, rule: Rule, row: int, layer: int, use: int, waves: np.ndarray
) -> None:
    """Apply to each row, a column of `hidden`, an activation of its own."""
    names, keys, size = rule.activations, (rule.key[0], rule.key[1]), hidden.size
    flat, before, after = hidden.reshape(-1), rule.room[2, :size], rule.room[3, :size]
    lanes = hidden.shape[1]
    for i in range(size):
        before[i] = flat[i]
    for k in range(len(names)):
        for i in range(size):
            after[i] = before[i]
        activate(names[k], after, waves, rule.room[0])
        for r in range(lanes):
            bits = random_bits(np.uint32(row + r), np.uint32(layer), np.uint32(use), keys)
            if np.uint64(bits[0]) * np.uint64(len(names)) >> np.uint64(32) == k:
                for j in range(hidden.shape[0]):
                    hidden[j, r] = after[j * lanes + r]


@compiled
def encode(edges: Edges, e: int, a: np.ndarray, b: np.ndarray, rule: Rule, row: int) -> bool:
    """The clamped terms of edge e for inputs in `a`, of the rows from `row` on; True if they are in `b`."""
    nets = edges.networks
    swapped = hide(nets, e, a, b, rule, row, ENCODING)
    last = nets.first[e + 1] - 1
    if swapped:
        a, b = b, a
    multiply(nets.weights, nets.start[last], nets.n_in[last], nets.n_out[last], a, b)
    weight, terms = edges.weight[e], b.reshape(-1)
    for i in range(len(terms)):
        terms[i] = bound(weight * terms[i], rule.term_limit)
    return not swapped


@compiled
def read(signals: Signals, edges: Edges, e: int, row: int, count: int, inputs: np.ndarray) -> None:
    """Inputs of edge e's encoder for some rows: numbers into the first line, class embeddings into all."""
    tail = edges.tail[e]
    if not signals.coded[tail]:
        for r in range(count):
            inputs[0, r] = signals.numbers[tail, row + r]
        return
    for r in range(count):
        place = edges.class_start[e] + signals.codes[tail, row + r]
        for j in range(WIDTH):
            inputs[j, r] = edges.classes[place, j]


@inlined
def transpose(units: np.ndarray, rows: np.ndarray) -> None:
    """[WIDTH, lanes] to [rows, WIDTH]."""
    width = rows.shape[1]
    for r in range(rows.shape[0]):
        for j in range(width):
            rows[r, j] = units[j, r]
