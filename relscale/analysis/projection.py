"""Fitting L(x) = E + A x^-alpha to points: one exponent to search, the rest is linear."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from relscale.analysis.laws import centre, gradient, power_law, project
from relscale.analysis.results import AnalysisError
from relscale.platform.progress import human_count

ALPHA_RANGE = (0.02, 3.0)
N_SCAN = 120
# Eight refinements of 21 points each narrow the scan's bracket (8 % of alpha) to below 1e-9 of alpha.
N_REFINEMENTS, N_REFINED = 8, 21
# Offsets change fast with small exponents: 0.3 % steps place the ends of a profile set to a few per mille.
N_PROFILE = 1500
MIN_POINTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisFit:
    """The law through the points of one axis, and how well they pin it down."""

    E: float
    """Irreducible loss, in the unit of the loss."""
    A: float
    """Excess loss at x = 1, in the unit in which x was given."""
    alpha: float
    """Exponent, dimensionless."""
    rmse: float
    """Root of the mean squared (weighted) residual."""
    alpha_set: tuple[float, float]
    """95 % profile set of alpha within the search range, for an unknown noise SD."""
    offset_set: tuple[float, float]
    """95 % profile set of E, not below 0."""
    correlation: float
    """Correlation of the estimates of E and alpha (linearised)."""


def fit_axis(
    x: np.ndarray, loss: np.ndarray, *, weights: np.ndarray | None = None, axis: str = "x"
) -> AxisFit:
    """Fit E + A x^-alpha by variable projection: E >= 0, A > 0, alpha in `ALPHA_RANGE`.

    Parameters
    ----------
    x : (n,) positive values, at least 4 distinct; A comes out for this unit of x.
    loss : (n,) finite losses.
    weights : (n,) positive inverse variances up to a factor; equal if not given.
    axis : what x is, for messages.

    Raises
    ------
    AnalysisError : too_few_points; invalid_axis or non_finite_loss for values no law can have;
        exponent_at_bound if the optimum is not inside the search range, or the loss does not fall.

    Source: Hoffmann et al. arXiv:2203.15556 for the form; least squares instead of their Huber loss.
    """
    x, loss = np.asarray(x, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    weights = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64)
    _check_points(x, loss, weights, axis)
    offset, scale, alpha = (float(value[0]) for value in search(x, loss[None], weights[None]))
    if not np.isfinite(alpha):
        raise _at_bound(x, loss, weights, axis)
    residual = loss - power_law(x, offset, scale, alpha)
    alpha_set, offset_set = _profile(x, loss, weights, alpha)
    return AxisFit(
        E=offset,
        A=scale,
        alpha=alpha,
        rmse=float(np.sqrt(np.average(residual**2, weights=weights))),
        alpha_set=alpha_set,
        offset_set=offset_set,
        correlation=_correlation(x, weights, scale, alpha),
    )


def search(x: np.ndarray, loss: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit many tables at the same x at once.

    Parameters
    ----------
    x : (n,) positive; loss, weights : (b, n); weight 0 leaves a point out.

    Returns
    -------
    E, A, alpha : (b,) each; NaN where the exponent ends within 1 % of a search limit, where the loss
        does not fall, or where fewer than `MIN_POINTS` points have weight.
    """
    log_x = np.log(x / centre(x))
    enough = (weights > 0).sum(1) >= MIN_POINTS
    weights = np.where(enough[:, None], weights, 1.0)
    alphas = np.geomspace(*ALPHA_RANGE, N_SCAN)[None]
    row = np.arange(len(loss))
    for _ in range(N_REFINEMENTS):
        best = project(log_x, loss, weights, alphas)[2].argmin(1)
        alphas = np.broadcast_to(alphas, (len(loss), alphas.shape[1]))
        low = alphas[row, np.maximum(best - 1, 0)]
        high = alphas[row, np.minimum(best + 1, alphas.shape[1] - 1)]
        alphas = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, N_REFINED)
    offset, excess, rss = project(log_x, loss, weights, alphas)
    best = rss.argmin(1)
    offset, excess, alpha = offset[row, best], excess[row, best], alphas[row, best]
    inside = (alpha > ALPHA_RANGE[0] * 1.01) & (alpha < ALPHA_RANGE[1] * 0.99) & (excess > 0) & enough
    scale = excess * centre(x) ** alpha
    return tuple(np.where(inside, value, np.nan) for value in (offset, scale, alpha))  # type: ignore[return-value]


def _check_points(x: np.ndarray, loss: np.ndarray, weights: np.ndarray, axis: str) -> None:
    if not (x.ndim == 1 and x.shape == loss.shape == weights.shape):
        shapes = f"{x.shape} values, {loss.shape} losses, {weights.shape} weights"
        raise AnalysisError("invalid_axis", f"axis {axis}: {shapes}; give equal lengths.")
    for values, code, name in ((x, "invalid_axis", axis), (weights, "invalid_axis", "weight")):
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            message = f"point {bad.argmax() + 1}: {name} must be a positive number, got {values[bad][0]:g}."
            raise AnalysisError(code, message)
    if not np.isfinite(loss).all():
        bad = ~np.isfinite(loss)
        raise AnalysisError(
            "non_finite_loss", f"point {bad.argmax() + 1}: loss is {loss[bad][0]:g}; leave it out."
        )
    distinct = np.unique(x)
    if len(distinct) < MIN_POINTS:
        raise too_few_points(axis, distinct)


def too_few_points(axis: str, values: np.ndarray) -> AnalysisError:
    """The error for an axis with fewer than `MIN_POINTS` distinct values."""
    have = ", ".join(human_count(value) for value in values)
    n = f"{len(values)} distinct value{'s' if len(values) != 1 else ''}"
    return AnalysisError("too_few_points", f"axis {axis}: {n}, need at least {MIN_POINTS}; have {have}")


def _at_bound(x: np.ndarray, loss: np.ndarray, weights: np.ndarray, axis: str) -> AnalysisError:
    log_x = np.log(x / centre(x))
    alphas = np.geomspace(*ALPHA_RANGE, N_SCAN)[None]
    _, excess, rss = project(log_x, loss[None], weights[None], alphas)
    best = int(rss[0].argmin())
    if excess[0, best] > 0:
        return at_bound(axis, low=best < N_SCAN // 2)
    message = f"axis {axis}: the loss does not fall with it at any exponent; data are consistent with flat"
    return AnalysisError("exponent_at_bound", f"{message} behaviour")


def at_bound(axis: str, *, low: bool) -> AnalysisError:
    """The error for an exponent that ends at the low or the high end of `ALPHA_RANGE`."""
    limit, behaviour = (ALPHA_RANGE[0], "flat") if low else (ALPHA_RANGE[1], "step")
    message = f"exponent {limit:g} at the search limit; data are consistent with {behaviour} behaviour"
    return AnalysisError("exponent_at_bound", f"axis {axis}: {message}")


def _profile(
    x: np.ndarray, loss: np.ndarray, weights: np.ndarray, alpha: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """95 % profile sets of alpha and E: where RSS / RSS_min <= 1 + t^2 / (n - 3)."""
    log_x = np.log(x / centre(x))
    alphas = np.append(np.geomspace(*ALPHA_RANGE, N_PROFILE), alpha)
    offset, _, rss = (value[0] for value in project(log_x, loss[None], weights[None], alphas[None]))
    freedom = len(x) - 3
    cut = rss[-1] * (1 + stats.t.ppf(0.975, freedom) ** 2 / freedom)
    allowed = rss <= cut
    # At a fixed exponent RSS is a parabola in E; its half width at the cut, the excess profiled out.
    f = np.exp(-alphas[:, None] * log_x)
    curvature = weights.sum() - (f @ weights) ** 2 / (f**2 @ weights)
    half = np.sqrt(np.maximum(cut - rss, 0) / curvature)
    low = max(0.0, float((offset - half)[allowed].min()))
    high = float((offset + half)[allowed].max())
    return (float(alphas[allowed].min()), float(alphas[allowed].max())), (low, high)


def _correlation(x: np.ndarray, weights: np.ndarray, A: float, alpha: float) -> float:
    jacobian = gradient(x / centre(x), A * centre(x) ** -alpha, alpha) * np.sqrt(weights)[:, None]
    covariance = np.linalg.pinv(jacobian.T @ jacobian)
    return float(covariance[0, 2] / np.sqrt(covariance[0, 0] * covariance[2, 2]))
