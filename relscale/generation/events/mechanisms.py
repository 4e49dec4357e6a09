"""Mechanisms: random functions of what drives a column, of mean 0 and variance 1."""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from relscale.generation.events.config import Mechanism

UNITS = 6
"""Hidden units of a random network."""
DEPTH = 3
"""Levels of a random tree, each of which asks the same question everywhere."""


def apply(kind: Mechanism, drivers: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """A random function of a family, at the rows.

    Parameters
    ----------
    drivers : float32 [k, rows], each of mean 0 and variance 1, or constant.

    Returns
    -------
    float32 [rows], of mean 0 and variance 1; 0 where the function is constant.
    """
    return standardised(_FUNCTIONS[kind](drivers, rng))


def standardised(values: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1 over the last axis; a constant row becomes 0."""
    centred = values - values.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True))
    return (centred / np.where(deviation > 1e-6, deviation, np.inf)).astype(np.float32)


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Each row's numbers by those of a normal law in the same order; float32 [k, rows]."""
    ranks = values.argsort(axis=-1).argsort(axis=-1)
    return ndtri((ranks + 0.5) / values.shape[-1]).astype(np.float32)


def weights(size: int, *, rng: np.random.Generator) -> np.ndarray:
    """A random direction; float32 [size], of length 1."""
    vector = rng.standard_normal(size).astype(np.float32)
    return vector / np.linalg.norm(vector)


def _linear(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return weights(len(x), rng=rng) @ x


def _network(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    inner = rng.standard_normal((UNITS, len(x))).astype(np.float32)
    shift = rng.standard_normal((UNITS, 1)).astype(np.float32)
    return weights(UNITS, rng=rng) @ np.tanh(inner @ x + shift)


def _tree(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    leaf = np.zeros(x.shape[1], np.intp)
    for _ in range(DEPTH):
        leaf = 2 * leaf + (x[rng.integers(len(x))] > rng.normal(0, 0.7))
    return rng.standard_normal(2**DEPTH).astype(np.float32)[leaf]


def _threshold(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    score = weights(len(x), rng=rng) @ x
    return (score > rng.normal(0, 0.7)) + np.float32(rng.uniform(0, 0.3)) * score


def _fourier(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    score = weights(len(x), rng=rng) @ x
    frequency, phase = rng.uniform(0.5, 3), rng.uniform(0, 2 * np.pi)
    return np.sin(np.float32(frequency) * score + np.float32(phase))


def _product(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    a, b = rng.integers(len(x), size=2)
    return x[a] * x[b] + np.float32(rng.uniform(0, 1)) * x[a]


_FUNCTIONS: dict[Mechanism, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "linear": _linear,
    "network": _network,
    "tree": _tree,
    "threshold": _threshold,
    "fourier": _fourier,
    "product": _product,
}
