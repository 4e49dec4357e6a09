"""Node noise: beta variates by a table of quantiles."""

import functools

import numpy as np

_KNOTS = 2048


def beta_quantiles(alpha: float, beta: float, n_levels: int) -> np.ndarray:
    """Quantiles of Beta(alpha, beta) at (i + 1/2) / n_levels as float32 [n_levels].

    With x = sin(t)**2 the density of t is proportional to sin(t)**(2 alpha - 1) cos(t)**(2 beta - 1), which
    is smooth where that of x is not; it is integrated by the midpoint rule and inverted linearly.
    """
    log_sine, log_cosine, values = _grid()
    log_density = (2 * alpha - 1) * log_sine + (2 * beta - 1) * log_cosine
    cumulative = np.zeros(_KNOTS + 1)
    np.cumsum(np.exp(log_density - log_density.max()), out=cumulative[1:])
    levels = (np.arange(n_levels) + 0.5) * (cumulative[-1] / n_levels)
    return np.interp(levels, cumulative, values).astype(np.float32)


@functools.cache
def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    edges = np.linspace(0, np.pi / 2, _KNOTS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    return np.log(np.sin(middle)), np.log(np.cos(middle)), np.sin(edges) ** 2
