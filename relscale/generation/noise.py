"""Node noise: beta variates by a table of quantiles and counter-based random bits."""

import numpy as np

from relscale.generation.arithmetic import exp, random_bits
from relscale.platform.compiled import compiled

NOISE_LEVELS = 2**12
"""Equally likely values of a node's noise."""
DENSITY_KNOTS = 512
TINY = np.float32(1e-30)


_EDGES = np.linspace(0, np.pi / 2, DENSITY_KNOTS + 1)
_MIDDLE = (_EDGES[1:] + _EDGES[:-1]) / 2
_LOG_SINE, _LOG_COSINE = np.log(np.sin(_MIDDLE)).astype("f4"), np.log(np.cos(_MIDDLE)).astype("f4")
_VALUES = (np.sin(_EDGES) ** 2).astype("f4")


@compiled
def fill_quantiles(
    alpha: float, beta: float, scale: float, quantiles: np.ndarray, density: np.ndarray
) -> None:
    """Quantiles of Beta(alpha, beta) at (i + 1/2) / 4096, times `scale`, into a float32 [4096].

    density : room, float32 [DENSITY_KNOTS].

    With x = sin(t)**2 the density of t is proportional to sin(t)**(2 alpha - 1) cos(t)**(2 beta - 1), which
    is smooth where that of x is not; it is integrated by the midpoint rule and inverted linearly.
    """
    power, other = np.float32(2 * alpha - 1), np.float32(2 * beta - 1)
    most, mass = np.float32(-np.inf), 0.0
    for k in range(DENSITY_KNOTS):
        density[k] = power * _LOG_SINE[k] + other * _LOG_COSINE[k]
        most = max(most, density[k])
    for k in range(DENSITY_KNOTS):
        density[k] = exp(density[k] - most)
    for k in range(DENSITY_KNOTS):
        mass += density[k]
    first, below, step = 0, 0.0, mass / NOISE_LEVELS
    for k in range(DENSITY_KNOTS):
        above = below + density[k]
        end = (
            min(max(int(np.ceil(above / step - 0.5)), first), NOISE_LEVELS)
            if k < DENSITY_KNOTS - 1
            else NOISE_LEVELS
        )
        low, slope = scale * _VALUES[k], scale * (_VALUES[k + 1] - _VALUES[k]) / max(density[k], TINY)
        for i in range(first, end):
            share = np.float32((i + 0.5) * step - below)
            quantiles[i] = low + slope * min(share, density[k])
        first, below = end, above


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
