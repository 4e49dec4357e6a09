"""The power law with an offset, L(x) = E + A x^-alpha: its values, gradient and linear part."""

import numpy as np

Number = float | np.ndarray


def power_law(x: np.ndarray, E: Number, A: Number, alpha: Number) -> np.ndarray:
    """Loss at `x`, shaped as x broadcast with the parameters. A is the excess at x = 1 in the unit of x."""
    return E + A * x**-alpha


def gradient(x: np.ndarray, A: float, alpha: float) -> np.ndarray:
    """Derivatives of `power_law` by (E, A, alpha): float64 of shape (len(x), 3)."""
    power = x**-alpha
    return np.column_stack([np.ones_like(x), power, -A * power * np.log(x)])


def centre(x: np.ndarray) -> float:
    """Geometric mean of x. Measured from it, the excess and the exponent are far less correlated."""
    return float(np.exp(np.mean(np.log(x))))


def project(
    log_x: np.ndarray, loss: np.ndarray, weights: np.ndarray, alphas: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best offset and excess for given exponents, where the law is linear (variable projection).

    Parameters
    ----------
    log_x : (n,) logarithm of x over its centre.
    loss, weights : (b, n), b tables of points at the same x; weight 0 leaves a point out.
    alphas : (b or 1, k) exponents to try.

    Returns
    -------
    E, excess, rss : (b, k) each: E >= 0, the excess at the centre >= 0, the weighted sum of squares.

    Source: Golub and Pereyra 1973; sums are taken about the weighted means, so they do not cancel.
    """
    f = np.exp(-alphas[..., None] * log_x)
    w, y = weights[:, None, :], loss[:, None, :]
    total = w.sum(-1)
    f_mean, y_mean = (w * f).sum(-1) / total, (w * y).sum(-1) / total
    f_centred, y_centred = f - f_mean[..., None], y - y_mean[..., None]
    excess = (w * f_centred * y_centred).sum(-1) / (w * f_centred**2).sum(-1)
    excess = np.maximum(excess, 0.0)
    offset = y_mean - excess * f_mean
    excess = np.where(offset < 0, np.maximum((w * f * y).sum(-1) / (w * f**2).sum(-1), 0.0), excess)
    offset = np.maximum(offset, 0.0)
    residual = y - offset[..., None] - excess[..., None] * f
    return offset, excess, (w * residual**2).sum(-1)
