"""The points that a law goes through: minima of the slices, or the losses along the grid's boundary."""

from dataclasses import dataclass, field

import numpy as np

from relscale.analysis.frontier import INTERIOR, UNIT, Minima, View, minima
from relscale.analysis.projection import search


@dataclass(slots=True, kw_only=True)
class Law:
    """The points of one axis' law."""

    status: str
    """"ok" along the frontier, "boundary" along the largest value of the other axis."""
    axis: str
    x: np.ndarray
    """(n,) values of the axis in its `UNIT`."""
    loss: np.ndarray
    weights: np.ndarray
    """(n,) inverse variances for a noise SD of 1 a run; 0 leaves a slice out."""
    systematic: np.ndarray
    """(n,) error of each loss from the choice of the curve through its slice; NaN where weight is 0."""
    noise_dof: int
    """Degrees of freedom of the seeds behind the points: sum of runs - 1."""
    warnings: list[dict[str, str]] = field(default_factory=list)

    @property
    def used(self) -> np.ndarray:
        """(n,) which points have weight."""
        return self.weights > 0

    def warn(self, code: str, message: str) -> None:
        self.warnings.append({"code": code, "message": message})

    def refit(
        self, slices: View, means: np.ndarray, curves: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """E, A and alpha (b,) of the same law for other means (b, I, J) of its slices; NaN where none.

        Which slices have an interior minimum is decided anew; the systematic errors stay. With `curves` (b,)
        every minimum is moved by so many of its systematic errors, all slices to the same side: a parabola
        misses bowls of one shape in one direction.
        """
        if self.status == "ok":
            found = minima(slices.x, means, slices.precision)
            loss, weights = _minima_with_weights(slices, found, self.systematic)
            if curves is not None:
                loss = loss + curves[:, None] * np.nan_to_num(self.systematic)
            return search(self.x, loss, weights)
        loss = means[..., slices.counts[:, -1] > 0, -1]
        return search(self.x, loss, np.broadcast_to(self.weights, loss.shape))


def frontier_law(slices: View, found: Minima, systematic: np.ndarray) -> Law:
    """The law through the interior minima; `systematic` (I,) as of `relscale.analysis.windows`."""
    loss, weights = _minima_with_weights(slices, found, systematic)
    lowest = slices.counts[np.arange(len(slices.at)), found.index]
    return Law(
        status="ok",
        axis=slices.axis,
        x=slices.at / UNIT[slices.axis],
        loss=loss,
        weights=weights,
        systematic=systematic,
        noise_dof=min(int((lowest - 1)[found.status == INTERIOR].sum()), slices.noise_dof),
    )


def boundary_law(slices: View) -> Law:
    """The law along the largest value of the other axis, where there are runs."""
    there = slices.counts[:, -1] > 0
    counts = slices.counts[there, -1]
    return Law(
        status="boundary",
        axis=slices.axis,
        x=slices.at[there] / UNIT[slices.axis],
        loss=slices.means[there, -1],
        weights=slices.precision[there, -1],
        systematic=np.zeros(len(counts)),
        noise_dof=min(int((counts - 1).sum()), slices.noise_dof),
    )


def _minima_with_weights(
    slices: View, found: Minima, systematic: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Loss at the interior minima, shaped as `found.loss_opt`, and weights; both 0 elsewhere.

    The variances of the noise and of the systematic error add. Without noise the latter has no scale to be
    compared with, and is left out.
    """
    loss = np.where(found.loss_weight > 0, found.loss_opt, 0.0)
    if not slices.noise_sd:
        return loss, found.loss_weight
    relative = (np.nan_to_num(systematic) / slices.noise_sd) ** 2
    return loss, found.loss_weight / (1 + found.loss_weight * relative)
