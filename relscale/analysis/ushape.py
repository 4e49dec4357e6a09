"""Is a slice U-shaped? Depth of its minimum against seed noise, calibrated under monotone curves."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import isotonic_regression

from relscale.analysis.frontier import View

MIN_POINTS = 5
DEPTH = 2.4
N_SIMULATIONS = 500
# Below 3 degrees of freedom the SD itself is unknown within a factor of 3 to 30.
MIN_DOF = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The verdict on one axis: u_shape, decreasing, increasing, flat or inconclusive."""

    verdict: str
    n_u: int
    """Slices that are U-shaped."""
    n_tested: int
    """Slices with at least `MIN_POINTS` points, 0 if the noise SD is unknown."""
    kinds: tuple[str, ...]
    """The shape of every slice in order; inconclusive where it is not tested."""


def axis_shape(slices: View, *, rng: np.random.Generator) -> Shape:
    """The shape of the slices of one axis.

    Parameters
    ----------
    slices : means, counts of runs, and the pooled SD of the loss between seeds.
    rng : draws `N_SIMULATIONS` simulated slices for each slice.

    Returns
    -------
    Shape. "u_shape" needs more U-shaped slices than chance gives at 5 % (binomial, 5 % a slice); the
    others need half of the slices and at most one U; else, or without an SD of `MIN_DOF` degrees of
    freedom, "inconclusive".
    """
    sd, dof = slices.noise_sd, slices.noise_dof
    testable = (slices.counts > 0).sum(1) >= MIN_POINTS
    n_tested = int(testable.sum())
    if sd is None or dof < MIN_DOF or not n_tested:
        return Shape(verdict="inconclusive", n_u=0, n_tested=0, kinds=("inconclusive",) * len(slices.at))
    kinds = tuple(
        slice_shape(means, precision, sd, dof, rng=rng) if enough else "inconclusive"
        for means, precision, enough in zip(slices.means, slices.precision, testable, strict=True)
    )
    number = Counter(kinds)
    verdict = max(("decreasing", "increasing", "flat"), key=lambda kind: number[kind])
    if number["u_shape"] > stats.binom.isf(0.05, n_tested, 0.05):
        verdict = "u_shape"
    elif 2 * number[verdict] < n_tested or number["u_shape"] > 1:
        verdict = "inconclusive"
    return Shape(verdict=verdict, n_u=number["u_shape"], n_tested=n_tested, kinds=kinds)


def slice_shape(
    means: np.ndarray, precision: np.ndarray, sd: float, dof: int, *, rng: np.random.Generator
) -> str:
    """The shape of one slice: u_shape, decreasing, increasing, flat or inconclusive.

    `precision` (J,) are runs of the SD `sd`, 0 where there is none.

    U-shaped if the minimum is interior, both ends are above it by `DEPTH` standard errors, and so deep a
    minimum has a chance below 5 % under the best monotone curve (simulated, with the SD's own error).
    Monotone if the ends differ by `DEPTH` standard errors and that chance is above 20 %.
    """
    there = precision > 0
    means, precision = means[there], precision[there]
    variance = np.maximum(sd**2, (1e-12 * np.abs(means).max()) ** 2) / precision
    depth = float(_depth(means, variance))
    fall = float((means[0] - means[-1]) / np.sqrt(variance[0] + variance[-1]))
    if abs(fall) <= DEPTH and depth <= DEPTH and is_constant(means, variance):
        return "flat"
    monotone = isotonic_regression(means, weights=1 / variance, increasing=fall < 0).x
    noise = rng.normal(0.0, np.sqrt(variance), (N_SIMULATIONS, len(means)))
    inflation = rng.chisquare(dof, N_SIMULATIONS) / dof
    simulated = _depth(monotone + noise, variance * inflation[:, None])
    chance = (1 + (simulated >= depth).sum()) / (1 + N_SIMULATIONS)
    if depth > DEPTH and chance < 0.05:
        return "u_shape"
    if abs(fall) > DEPTH and chance > 0.2:
        return "decreasing" if fall > 0 else "increasing"
    return "inconclusive"


def _depth(means: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """The smaller height of the two ends above the minimum, in standard errors; 0 at an end."""
    variance = np.broadcast_to(variance, means.shape)
    lowest = means.argmin(-1)[..., None]
    low = np.take_along_axis(means, lowest, -1)
    ends = means[..., [0, -1]] - low
    spread = np.sqrt(variance[..., [0, -1]] + np.take_along_axis(variance, lowest, -1))
    return (ends / spread).min(-1)


def is_constant(means: np.ndarray, variance: np.ndarray) -> bool:
    """Whether noise of this variance explains how the means differ (chi-square at 5 %)."""
    common = np.average(means, weights=1 / variance)
    return bool(stats.chi2.sf(((means - common) ** 2 / variance).sum(), len(means) - 1) >= 0.05)
