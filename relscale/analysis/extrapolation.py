"""Does the law of the small runs foretell the large ones? Fit one part of an axis, predict the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from relscale.analysis.frontier import UNIT, Grid, View, minima, view
from relscale.analysis.intervals import percentiles
from relscale.analysis.laws import power_law
from relscale.analysis.points import Law, boundary_law, frontier_law
from relscale.analysis.projection import MIN_POINTS, AxisFit, fit_axis
from relscale.analysis.results import AnalysisError
from relscale.analysis.windows import systematic_error, window_minima

MIN_POINTS_TEST = 7
_SCORES = ("rmse", "bias", "max_error", "coverage", "skill")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The law of the runs up to a cut."""

    slices: View
    law: Law
    fit: AxisFit

    def predict(self, x: np.ndarray) -> np.ndarray:
        return power_law(x, self.fit.E, self.fit.A, self.fit.alpha)


def extrapolation_test(grid: Grid, law: Law, *, n_boot: int, rng: np.random.Generator) -> dict[str, Any]:
    """Fit the smaller half of a law's points and predict the larger, as a forecast would have.

    Parameters
    ----------
    grid : all runs. Those beyond the cut on the law's axis are taken out before slices, minima, noise and
        weights are computed anew, so that nothing of them leaks into the prediction.
    law : the points along the axis, at least `MIN_POINTS_TEST`; their losses are what is predicted.
    n_boot : draws of the runs behind the intervals.
    rng : the only source of randomness.

    Returns
    -------
    {"status", "code", "message", "cut", "points", "rmse", "bias", "max_error", "coverage", "skill",
    "rolling"}. cut is the largest fitted x; points hold x, loss, predicted, low and high (95 %, bootstrap and
    noise of the held-out point; None without repeated runs). bias is predicted less measured; skill is
    1 - MSE / MSE of staying at the last fitted loss. rolling repeats rmse and skill for growing parts.
    Laws are fitted by least squares. The held-out databases are the same, so they are not resampled.

    Source: Alabdulmohsin et al. 2022 (arXiv:2209.06640): fit on small, judge on large.
    """
    x, loss = law.x[law.used], law.loss[law.used]
    if len(x) < MIN_POINTS_TEST:
        message = (
            f"axis {law.axis}: {len(x)} points of the law, need at least {MIN_POINTS_TEST} to fit one part"
        )
        return failed_test("too_few_points", f"{message} and predict the rest")
    n_train = max(MIN_POINTS, ceil(len(x) / 2))
    try:
        part = _fit_part(grid, law, x[n_train - 1])
    except AnalysisError as refusal:
        return failed_test(refusal.code, f"{refusal}; this is of the {n_train} smallest of {len(x)} points")
    predicted = part.predict(x[n_train:])
    error = predicted - loss[n_train:]
    low, high = _interval(grid, law, part, n_train, n_boot, rng)
    columns = (x[n_train:] * UNIT[law.axis], loss[n_train:], predicted, low, high)
    return {
        "status": "ok",
        "code": None,
        "message": None,
        "cut": float(x[n_train - 1] * UNIT[law.axis]),
        "points": [
            dict(zip(("x", "loss", "predicted", "low", "high"), map(_number, values), strict=True))
            for values in zip(*columns, strict=True)
        ],
        "bias": float(error.mean()),
        "max_error": float(np.abs(error).max()),
        "coverage": _coverage(loss[n_train:], low, high),
        **_scores(loss, predicted, n_train),
        "rolling": [{"n_train": n, **_rolled(grid, law, n, x, loss)} for n in range(n_train, len(x))],
    }


def failed_test(code: str, message: str) -> dict[str, Any]:
    """The record of a test that cannot be made."""
    return {"status": "failed", "code": code, "message": message, "cut": None, "points": [],
            **dict.fromkeys(_SCORES), "rolling": []}  # fmt: skip


def _fit_part(grid: Grid, law: Law, cut: float) -> _Part:
    """The law of the runs up to `cut`, in the axis' unit."""
    slices = view(grid.part(law.axis, cut * UNIT[law.axis]), law.axis)
    if law.status == "ok":
        found = minima(slices.x, slices.means, slices.precision)
        part = frontier_law(slices, found, systematic_error(window_minima(slices, found)))
    else:
        part = boundary_law(slices)
    used = part.used
    fit = fit_axis(part.x[used], part.loss[used], weights=part.weights[used], axis=law.axis)
    return _Part(slices=slices, law=part, fit=fit)


def _interval(
    grid: Grid, law: Law, part: _Part, n_train: int, n_boot: int, rng: np.random.Generator
) -> tuple[Sequence[float | None], Sequence[float | None]]:
    """95 % prediction interval at each held-out point; None where the noise is unknown."""
    x, weights = law.x[law.used][n_train:], law.weights[law.used][n_train:]
    nothing: Sequence[None] = [None] * len(x)
    small = grid.part(law.axis, part.law.x.max() * UNIT[law.axis])
    if not n_boot or not small.noise_sd:
        return nothing, nothing
    draws = small.resampled_means(n_boot, rng=rng)
    means = draws if law.axis == "n_databases" else draws.swapaxes(1, 2)
    offset, scale, alpha = part.law.refit(part.slices, means)
    valid = np.isfinite(alpha)
    if valid.mean() < 0.5:
        return nothing, nothing
    curves = power_law(x, offset[valid, None], scale[valid, None], alpha[valid, None])
    measured = curves + rng.normal(0.0, small.noise_sd / np.sqrt(weights), curves.shape)
    low, high = percentiles(measured, max(part.law.noise_dof, 1))
    return low.tolist(), high.tolist()


def _rolled(grid: Grid, law: Law, n_train: int, x: np.ndarray, loss: np.ndarray) -> dict[str, float | None]:
    try:
        predicted = _fit_part(grid, law, x[n_train - 1]).predict(x[n_train:])
    except AnalysisError:
        return {"rmse": None, "skill": None}
    return _scores(loss, predicted, n_train)


def _scores(loss: np.ndarray, predicted: np.ndarray, n_train: int) -> dict[str, float | None]:
    square = float(np.mean((predicted - loss[n_train:]) ** 2))
    stay = float(np.mean((loss[n_train - 1] - loss[n_train:]) ** 2))
    return {"rmse": square**0.5, "skill": 1 - square / stay if stay > 0 else None}


def _coverage(loss: np.ndarray, low: Sequence[float | None], high: Sequence[float | None]) -> float | None:
    if None in low:
        return None
    return float(np.mean((np.array(low) <= loss) & (loss <= np.array(high))))


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
