"""The frontier: where each slice of the N x S grid has its smallest loss."""

from dataclasses import dataclass

import numpy as np

from relscale.analysis.grid import AXES, UNIT, Grid

__all__ = ["AXES", "EDGE", "FLAT", "INTERIOR", "STATUS", "UNIT", "Grid", "Minima", "View", "minima",
           "ridge_exponent", "view"]  # fmt: skip

EDGE, FLAT, INTERIOR = 0, 1, 2
STATUS = ("edge", "flat", "interior")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The grid seen along one axis: a slice holds the axis fixed while the other one varies."""

    axis: str
    other: str
    at: np.ndarray
    """(I,) values of the axis, one slice each."""
    x: np.ndarray
    """(J,) values of the other axis."""
    means: np.ndarray
    """(I, J)"""
    counts: np.ndarray
    """(I, J) runs."""
    precision: np.ndarray
    """(I, J) runs of the pooled SD that would be as good; see `Grid.precision`."""
    noise_sd: float | None
    noise_dof: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Minima:
    """The minimum of every slice; arrays have the shape of the means without their last axis."""

    status: np.ndarray
    """EDGE, FLAT or INTERIOR."""
    index: np.ndarray
    """Position in x of the smallest mean."""
    x_opt: np.ndarray
    """Vertex if interior, the end's x if edge, NaN if flat."""
    loss_opt: np.ndarray
    """Loss at the vertex, else the smallest mean."""
    loss_weight: np.ndarray
    """Inverse variance of `loss_opt` for a noise SD of 1 a run; 0 unless interior."""
    log_x_weight: np.ndarray
    """The same for ln x_opt."""


def view(grid: Grid, axis: str) -> View:
    """The slices whose minima make the frontier of `axis` ("n_databases" or "tokens")."""
    if axis == "n_databases":
        at, x, parts = grid.n_databases, grid.tokens, (grid.means, grid.counts, grid.precision)
    else:
        at, x, parts = grid.tokens, grid.n_databases, (grid.means.T, grid.counts.T, grid.precision.T)
    means, counts, precision = parts
    other = AXES[1 - AXES.index(axis)]
    return View(
        axis=axis,
        other=other,
        at=at,
        x=x,
        means=means,
        counts=counts,
        precision=precision,
        noise_sd=grid.noise_sd,
        noise_dof=grid.noise_dof,
    )


def minima(x: np.ndarray, means: np.ndarray, precision: np.ndarray) -> Minima:
    """Find the vertex of every slice by the parabola in ln x through its three lowest neighbours.

    Parameters
    ----------
    x : (J,) ascending; means : (..., J) with NaN for missing points; precision : (I, J), see `View`.

    Returns
    -------
    Minima. A smallest mean at an end is an edge. A constant slice, one whose minimum has a missing
    neighbour (at an end too: nobody knows what lies there), or one with no curvature is flat.

    The parabola interpolates three points, so their weights do not move it; they give the variances
    (delta method, with the derivatives of the Lagrange basis).
    """
    filled = np.where(np.isnan(means), np.inf, means)
    index = filled.argmin(-1)
    lowest = filled.min(-1)
    constant = lowest == np.where(np.isnan(means), -np.inf, means).max(-1)
    edge = (index == 0) | (index == len(x) - 1)
    beside = np.clip(np.where(index == 0, 1, index - 1), 0, len(x) - 1)
    hidden = np.isnan(np.take_along_axis(means, beside[..., None], -1)[..., 0])
    status = np.where((constant | hidden) & (len(x) > 1), FLAT, np.where(edge, EDGE, INTERIOR))
    x_opt = np.where(status == EDGE, x[index], np.nan)
    nothing = np.zeros_like(lowest)
    if len(x) < 3:
        return Minima(
            status=status,
            index=index,
            x_opt=x_opt,
            loss_opt=lowest,
            loss_weight=nothing,
            log_x_weight=nothing,
        )
    middle = np.clip(index, 1, len(x) - 2)
    three = middle[..., None] + np.array([-1, 0, 1])
    y = np.take_along_axis(means, three, axis=-1)
    n = np.take_along_axis(np.broadcast_to(precision, means.shape), three, axis=-1)
    left, right = np.log(x[middle] / x[middle - 1]), np.log(x[middle + 1] / x[middle])
    with np.errstate(divide="ignore", invalid="ignore"):
        c2 = ((y[..., 2] - y[..., 1]) / right + (y[..., 0] - y[..., 1]) / left) / (left + right)
        c1 = (y[..., 2] - y[..., 1]) / right - c2 * right
        t = -c1 / (2 * c2)
        vertex = (c2 > 0) & (t > -left) & (t < right)
        basis, slope = _lagrange(t, left, right)
        loss_weight = 1 / (basis**2 / n).sum(-1)
        log_x_weight = (2 * c2) ** 2 / (slope**2 / n).sum(-1)
    status = np.where((status == INTERIOR) & ~vertex, FLAT, status)
    interior = status == INTERIOR
    return Minima(
        status=status,
        index=index,
        x_opt=np.where(interior, x[middle] * np.exp(np.where(interior, t, 0.0)), x_opt),
        loss_opt=np.where(interior, y[..., 1] + c1 * t / 2, lowest),
        loss_weight=np.where(interior, loss_weight, 0.0),
        log_x_weight=np.where(interior, log_x_weight, 0.0),
    )


def ridge_exponent(at: np.ndarray, found: Minima) -> np.ndarray:
    """Slope of ln x_opt against ln at over the interior slices, weighted; NaN if fewer than 3 of them."""
    weights = found.log_x_weight
    y = np.where(weights > 0, np.log(np.where(weights > 0, found.x_opt, 1.0)), 0.0)
    x = np.log(at)
    with np.errstate(invalid="ignore"):
        total = weights.sum(-1, keepdims=True)
        x_centred = x - (weights * x).sum(-1, keepdims=True) / total
        y_centred = y - (weights * y).sum(-1, keepdims=True) / total
        slope = (weights * x_centred * y_centred).sum(-1) / (weights * x_centred**2).sum(-1)
    return np.where((weights > 0).sum(-1) >= 3, slope, np.nan)


def _lagrange(t: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The basis of the parabola through (-left, 0, right) at t, and its slope; shape (..., 3)."""
    both = left + right
    basis = [
        t * (t - right) / (left * both),
        (t + left) * (right - t) / (left * right),
        t * (t + left) / (right * both),
    ]
    slope = [
        (2 * t - right) / (left * both),
        (right - left - 2 * t) / (left * right),
        (2 * t + left) / (right * both),
    ]
    return np.stack(basis, -1), np.stack(slope, -1)
