"""Node noise: beta variates by a table of quantiles."""

import numpy as np

QUANTILES = 2**14
_KNOTS = 2048


def sample_noise(
    shape: tuple[int, int], alpha: float, beta: float, *, rng: np.random.Generator
) -> np.ndarray:
    """Independent Beta(alpha, beta) variates as float32 [shape], one of 16,384 equally likely quantiles each.

    A draw costs 14 random bits and one look-up, many times less than an exact variate; its distribution
    function differs from the exact one by less than 1e-4.
    """
    return beta_quantiles(alpha, beta).take(rng.integers(QUANTILES, size=shape, dtype=np.uint16))


def beta_quantiles(alpha: float, beta: float) -> np.ndarray:
    """Quantiles of Beta(alpha, beta) at (i + 1/2) / 16,384 as float32.

    With x = sin(t)**2 the density of t is proportional to sin(t)**(2 alpha - 1) cos(t)**(2 beta - 1), which
    is smooth where that of x is not; it is integrated by the midpoint rule and inverted linearly.
    """
    edges = np.linspace(0, np.pi / 2, _KNOTS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    log_density = (2 * alpha - 1) * np.log(np.sin(middle)) + (2 * beta - 1) * np.log(np.cos(middle))
    mass = np.exp(log_density - log_density.max())
    cumulative = np.concatenate([[0.0], np.cumsum(mass)])
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES * cumulative[-1]
    return np.interp(levels, cumulative, np.sin(edges) ** 2).astype(np.float32)
