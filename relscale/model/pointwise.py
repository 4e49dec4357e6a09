"""The norm and the gate of the network, compiled for the CPU.

Arrays are float32 and contiguous; widths of rows are multiples of 16.
"""

import math
from typing import Any

import numpy as np

from relscale.platform import compiled as compiled_module
from relscale.platform import lanes as lanes_module
from relscale.platform.compiled import inlined, kept
from relscale.platform.lanes import (
    LANES,
    add,
    add_product,
    divide,
    exp2,
    load,
    multiply,
    spread,
    store,
    subtract,
    total,
)

LOG2_E = np.float32(math.log2(math.e))
ZERO, ONE = np.float32(0), np.float32(1)
_SOURCES = (__file__, lanes_module.__file__, compiled_module.__file__)


@kept(*_SOURCES)
def normalise(
    x: np.ndarray, weight: np.ndarray, epsilon: float, out: np.ndarray, inverse: np.ndarray
) -> None:
    """out = x * inverse * weight, row by row, with inverse = 1 / root mean square of the row.

    x, out : [n, w]. weight : [w]. inverse : [n].
    """
    n, w = x.shape
    for i in range(n):
        r = ONE / np.sqrt(dot(x, x, i * w, w) / np.float32(w) + np.float32(epsilon))
        inverse[i] = r
        for j in range(0, w, LANES):
            store(out, i * w + j, multiply(multiply(load(x, i * w + j), spread(r)), load(weight, j)))


@kept(*_SOURCES)
def normalise_backward(
    d_out: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    inverse: np.ndarray,
    d_x: np.ndarray,
    d_weight: np.ndarray,
) -> None:
    """Gradients of `normalise`, written to d_x and added to d_weight."""
    n, w = x.shape
    for i in range(n):
        r = inverse[i]
        sums = spread(ZERO)
        for j in range(0, w, LANES):
            product = multiply(load(d_out, i * w + j), load(x, i * w + j))
            store(d_weight, j, add_product(load(d_weight, j), product, spread(r)))
            sums = add_product(sums, product, load(weight, j))
        back = -total(sums) * r * r * r / np.float32(w)
        for j in range(0, w, LANES):
            y = multiply(multiply(load(d_out, i * w + j), load(weight, j)), spread(r))
            store(d_x, i * w + j, add_product(y, load(x, i * w + j), spread(back)))


@kept(*_SOURCES)
def gate(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = silu(a) * b; flat arrays of one length, a multiple of 16."""
    for i in range(0, len(a), LANES):
        x = load(a, i)
        store(out, i, multiply(multiply(x, _sigmoid(x)), load(b, i)))


@kept(*_SOURCES)
def gate_backward(d_out: np.ndarray, a: np.ndarray, b: np.ndarray, d_a: np.ndarray, d_b: np.ndarray) -> None:
    """Gradients of `gate`."""
    one = spread(ONE)
    for i in range(0, len(a), LANES):
        x, g = load(a, i), load(d_out, i)
        s = _sigmoid(x)
        silu = multiply(x, s)
        store(d_b, i, multiply(g, silu))
        slope = add_product(s, silu, subtract(one, s))
        store(d_a, i, multiply(multiply(g, load(b, i)), slope))


@inlined
def _sigmoid(x: Any) -> Any:
    # For x below -87 the true value is less than 2^-126 gives; both are zero beside any other term.
    power = exp2(multiply(x, spread(-LOG2_E)))
    return divide(spread(ONE), add(spread(ONE), power))


@inlined
def dot(a: np.ndarray, b: np.ndarray, at: int, n: int) -> float:
    """Sum of a[i] b[i] over n places from `at` on."""
    sums = spread(ZERO)
    for j in range(at, at + n, LANES):
        sums = add_product(sums, load(a, j), load(b, j))
    return total(sums)
