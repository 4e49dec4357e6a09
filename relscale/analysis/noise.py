"""The noise of a grid: how much a loss varies between seeds, and whether it does so equally everywhere."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.001
"""Chance below which equal noise is given up; small, since the test takes the losses for normal."""
MIN_DOF = 3
_FLOOR = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """SD of a run's loss, pooled over the points, or over those that share one value of an axis."""

    sd: float | None
    """Pooled over all points; None if no point has two runs."""
    dof: int
    """Degrees of freedom of the SD of a point: of `sd`, or the least of any group."""
    by: str | None
    """Axis along which the SD differs beyond chance; None: it is taken to be the same everywhere."""
    sds: np.ndarray | None
    """(G,) SD at each value of that axis."""
    relative: np.ndarray
    """(I, J) variance of a run over `sd` squared."""


def noise_of(losses: np.ndarray) -> Noise:
    """Pool the noise of a grid's runs (I, J, K; NaN where there is none).

    A network that learns two databases by heart scatters far more between seeds than one that has seen a
    hundred. With one SD for all, the first would drown the law of the last. So where Bartlett's test finds
    the variances unequal along an axis, at a chance below `LEVEL`, they are pooled along the other axis only;
    of two such axes the one with the smaller chance counts.

    Source: Bartlett 1937.
    """
    counts = np.isfinite(losses).sum(2)
    means = np.where(counts > 0, np.nansum(losses, 2) / np.maximum(counts, 1), np.nan)
    squares = np.nansum((losses - means[..., None]) ** 2, 2)
    dofs = np.maximum(counts - 1, 0)
    whole = Noise(
        sd=float(np.sqrt(squares.sum() / dofs.sum())) if dofs.sum() else None,
        dof=int(dofs.sum()),
        by=None,
        sds=None,
        relative=np.ones(counts.shape),
    )
    if not whole.sd:
        return whole
    scale = float(np.nanmax(np.abs(means)))
    chances = {
        name: _equal_chance(squares.sum(other), dofs.sum(other), scale)
        for name, other in (("n_databases", 1), ("tokens", 0))
    }
    by = min(chances, key=lambda name: chances[name])
    return whole if chances[by] >= LEVEL else _grouped(whole, squares, dofs, by, scale)


def _equal_chance(squares: np.ndarray, dofs: np.ndarray, scale: float) -> float:
    """Bartlett's p value for equal variances of groups; 1 where a group has too few runs to tell."""
    if len(dofs) < 2 or dofs.min() < MIN_DOF:
        return 1.0
    variances = np.maximum(squares / dofs, (_FLOOR * scale) ** 2)
    pooled = (dofs * variances).sum() / dofs.sum()
    statistic = dofs.sum() * np.log(pooled) - (dofs * np.log(variances)).sum()
    correction = 1 + ((1 / dofs).sum() - 1 / dofs.sum()) / (3 * (len(dofs) - 1))
    return float(stats.chi2.sf(statistic / correction, len(dofs) - 1))


def _grouped(whole: Noise, squares: np.ndarray, dofs: np.ndarray, by: str, scale: float) -> Noise:
    assert whole.sd is not None
    other = 1 if by == "n_databases" else 0
    variances = np.maximum(squares.sum(other) / dofs.sum(other), (_FLOOR * scale) ** 2)
    relative = np.expand_dims(variances, other) / whole.sd**2
    return Noise(
        sd=whole.sd,
        dof=int(dofs.sum(other).min()),
        by=by,
        sds=np.sqrt(variances),
        relative=np.broadcast_to(relative, dofs.shape).copy(),
    )
