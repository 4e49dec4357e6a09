"""The noise of a grid: how much a loss varies between seeds, and whether it does so equally everywhere."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, stats

LEVEL = 0.001
"""Chance below which equal noise is given up; small, since the test takes the losses for normal."""
MIN_DOF = 3
_FLOOR = 1e-12
_AXIS = {"n_databases": 0, "tokens": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """SD of a run's loss, pooled over the points that vary alike."""

    sd: float | None
    """Pooled over all points; None if no point has two runs."""
    dof: int
    """Degrees of freedom of the SD of a point: the least of any."""
    by: str | None
    """Where it differs beyond chance: along an axis of that name, along "both", or nowhere (None)."""
    relative: np.ndarray
    """(I, J) variance of a run over `sd` squared."""

    @property
    def sds(self) -> np.ndarray:
        """(I, J) SD of a run at each point; needs a pooled SD."""
        assert self.sd is not None
        return self.sd * np.sqrt(self.relative)


def noise_of(losses: np.ndarray) -> Noise:
    """Pool the noise of a grid's runs (I, J, K; NaN where there is none).

    A network that learns two databases by heart scatters far more between seeds than one that has seen a
    hundred, and one of few steps more than one of many. With one SD for all, the first would drown the law of
    the last. So where Bartlett's test finds the variances unequal along an axis, at a chance below `LEVEL`,
    they are pooled along the other axis only; of two such axes the one with the smaller chance counts. If
    what is left still differs along the other axis, each point is pooled with its neighbours on the grid.

    Source: Bartlett 1937.
    """
    counts = np.isfinite(losses).sum(2)
    means = np.where(counts > 0, np.nansum(losses, 2) / np.maximum(counts, 1), np.nan)
    squares = np.nansum((losses - means[..., None]) ** 2, 2)
    dofs = np.maximum(counts - 1, 0)
    if not squares.sum() or not dofs.sum():
        sd = 0.0 if dofs.sum() else None
        return Noise(sd=sd, dof=int(dofs.sum()), by=None, relative=np.ones(counts.shape))
    floor = (_FLOOR * float(np.nanmax(np.abs(means)))) ** 2
    by = _unequal_along(squares, dofs, floor, counts > 0)
    variances = np.maximum(pooled(squares, by) / np.maximum(pooled(dofs, by), 1), floor)
    sd = float(np.sqrt(squares.sum() / dofs.sum()))
    dof = int(pooled(dofs, by)[counts > 0].min())
    return Noise(sd=sd, dof=dof, by=by, relative=variances / sd**2)


def pooled(sums: np.ndarray, by: str | None) -> np.ndarray:
    """(I, J) sum of (I, J) over the points that count as alike with each, see `Noise.by`."""
    if by == "both":
        window = np.ones((3, 3), sums.dtype)
        return ndimage.convolve(sums, window, mode="constant")
    over = (0, 1) if by is None else 1 - _AXIS[by]
    return np.broadcast_to(sums.sum(over, keepdims=True), sums.shape)


def _unequal_along(squares: np.ndarray, dofs: np.ndarray, floor: float, has_runs: np.ndarray) -> str | None:
    """`Noise.by` of sums of squares and their degrees of freedom, both (I, J)."""
    chances = {axis: _equal_chance(squares, dofs, axis, floor) for axis in _AXIS}
    by = min(chances, key=lambda axis: chances[axis])
    if chances[by] >= LEVEL:
        return None
    (other,) = set(_AXIS) - {by}
    scaled = squares / np.maximum(pooled(squares, by) / pooled(dofs, by), floor)
    enough = pooled(dofs, "both")[has_runs].min() >= MIN_DOF
    return "both" if enough and _equal_chance(scaled, dofs, other, floor) < LEVEL else by


def _equal_chance(squares: np.ndarray, dofs: np.ndarray, axis: str, floor: float) -> float:
    """Bartlett's p value for equal variances along an axis; 1 where a group has too few runs to tell."""
    squares, dofs = squares.sum(1 - _AXIS[axis]), dofs.sum(1 - _AXIS[axis])
    if len(dofs) < 2 or dofs.min() < MIN_DOF:
        return 1.0
    variances = np.maximum(squares / dofs, floor)
    whole = (dofs * variances).sum() / dofs.sum()
    statistic = dofs.sum() * np.log(whole) - (dofs * np.log(variances)).sum()
    correction = 1 + ((1 / dofs).sum() - 1 / dofs.sum()) / (3 * (len(dofs) - 1))
    return float(stats.chi2.sf(statistic / correction, len(dofs) - 1))
