"""Node noise: beta variates by a table of quantiles and counter-based random bits."""

import functools

import numpy as np

from relscale.generation.arithmetic import random_bits
from relscale.platform.compiled import compiled, kept

NOISE_LEVELS = 2**12
"""Equally likely values of a node's noise."""
_KNOTS = 512


def beta_quantiles(alpha: float, beta: float) -> np.ndarray:
    """Quantiles of Beta(alpha, beta) at (i + 1/2) / 4096 as float32 [4096].

    With x = sin(t)**2 the density of t is proportional to sin(t)**(2 alpha - 1) cos(t)**(2 beta - 1), which
    is smooth where that of x is not; it is integrated by the midpoint rule and inverted linearly.
    """
    log_sine, log_cosine, values = _grid()
    return _invert((2 * alpha - 1) * log_sine + (2 * beta - 1) * log_cosine, values)


@functools.cache
def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    edges = np.linspace(0, np.pi / 2, _KNOTS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    return np.log(np.sin(middle)), np.log(np.cos(middle)), np.sin(edges) ** 2


@kept(__file__)
def _invert(log_density: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Quantiles of a density that is even within each interval between two `values`."""
    density = np.exp(log_density - log_density.max())
    quantiles = np.empty(NOISE_LEVELS, np.float32)
    step = density.sum() / NOISE_LEVELS
    knot, below = 0, 0.0
    for i in range(NOISE_LEVELS):
        mass = (i + 0.5) * step
        while below + density[knot] < mass and knot < len(density) - 1:
            below += density[knot]
            knot += 1
        share = min((mass - below) / density[knot], 1.0)
        quantiles[i] = values[knot] + share * (values[knot + 1] - values[knot])
    return quantiles


@compiled
def blur(joined: np.ndarray, noise: np.ndarray, row: int, keys: tuple[int, int], buffer: np.ndarray) -> None:
    """Add noise to the embeddings [units, lanes]; it depends on (keys, row, unit) alone.

    buffer : uint16, as many as the embeddings. The random bits are drawn before the look-ups, in loops that
    become vector instructions.
    """
    lanes, mask = joined.shape[1], np.uint32(NOISE_LEVELS - 1)
    chosen = buffer[: joined.size].reshape(joined.shape)
    for first in range(0, len(joined), 8):
        c0, c1, c2, c3 = chosen[first], chosen[first + 1], chosen[first + 2], chosen[first + 3]
        c4, c5, c6, c7 = chosen[first + 4], chosen[first + 5], chosen[first + 6], chosen[first + 7]
        for r in range(lanes):
            b0, b1, b2, b3 = random_bits(np.uint32(row + r), np.uint32(first), np.uint32(0), keys)
            c0[r], c1[r] = b0 & mask, (b0 >> np.uint32(16)) & mask
            c2[r], c3[r] = b1 & mask, (b1 >> np.uint32(16)) & mask
            c4[r], c5[r] = b2 & mask, (b2 >> np.uint32(16)) & mask
            c6[r], c7[r] = b3 & mask, (b3 >> np.uint32(16)) & mask
    embeddings, levels = joined.reshape(-1), buffer[: joined.size]
    for i in range(len(embeddings)):
        embeddings[i] += noise[levels[i]]
