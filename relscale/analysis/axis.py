"""The law of one axis: its estimate, its intervals, and everything that qualifies it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from relscale.analysis.claims import MIN_POINTS_INTERVAL, choose_law, warn_of_limits
from relscale.analysis.extrapolation import extrapolation_test, failed_test
from relscale.analysis.forecast import outlook
from relscale.analysis.forms import candidate_forms
from relscale.analysis.frontier import UNIT, Grid, Minima, View
from relscale.analysis.intervals import effective_dof, interval, percentiles
from relscale.analysis.laws import power_law
from relscale.analysis.points import Law
from relscale.analysis.profiles import profiles
from relscale.analysis.projection import MIN_POINTS, AxisFit, fit_axis
from relscale.analysis.results import AnalysisError
from relscale.analysis.robust import MIN_AGREEING, RobustFit, fit_robust
from relscale.analysis.slices import slice_records
from relscale.analysis.ushape import Shape
from relscale.platform.seeds import Purpose, stream

N_BAND = 41
MAX_FAILED_DRAWS = 0.05
NAMES = ("E", "A", "alpha")
_NUMBERS = (*NAMES, "ci95", "band", "correlation_E_alpha", "rmse", "objective", "profile", "forms",
            "sensitivity", "forecast", "ci95_method")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisData:
    """Everything that is known of an axis before a law is fitted."""

    grid: Grid
    slices: View
    found: Minima
    shape: Shape
    boundary_shape: str
    """Shape of the loss along the largest value of the other axis."""
    windows: dict[str, np.ndarray]
    systematic: np.ndarray
    draws: np.ndarray | None
    """(b, I, J) resampled means of the slices."""
    jackknife: np.ndarray
    """(r, I, J) means without one run each."""
    raised: np.ndarray
    """(c, I, J) means with one point each raised by its standard error."""
    raised_dofs: np.ndarray
    """(c,) degrees of freedom of these standard errors."""


def fit_law(
    data: AxisData, *, n_boot: int, seed: int, number: int
) -> tuple[dict[str, Any], np.ndarray | None]:
    """The entry of an axis in fit.json, and bootstrap draws (3, b) of E, A, alpha with NaN where one failed.

    `number` is the axis' place, for its random streams. The estimate is `fit_robust`'s; profiles, draws,
    forms and windows are by least squares. In simulated frontiers without outliers the two estimates have
    the same error, with one outlier in eight points the robust one's is 8 % smaller.
    """
    entry = _entry(data)
    try:
        law = choose_law(data.slices, data.found, data.shape, data.boundary_shape, data.systematic)
        x, loss, weights = (values[law.used] for values in (law.x, law.loss, law.weights))
        least_squares = fit_axis(x, loss, weights=weights, axis=law.axis)
        rng = stream(seed, Purpose.BOOTSTRAP, 3, number)
        fit = fit_robust(x, loss, weights, least_squares, rng=rng, axis=law.axis)
    except AnalysisError as error:
        entry["code"] = error.code
        entry["warnings"].append({"code": error.code, "message": str(error)})
        entry["extrapolation"] = failed_test(error.code, str(error))
        return entry, None
    warn_of_limits(law, least_squares)
    warn_of_disagreement(law, fit)
    draws = _draws(law, data, stream(seed, Purpose.BOOTSTRAP, 5, number))
    valid = None if draws is None else draws[:, np.isfinite(draws[2])]
    dofs = _dofs(law, least_squares, data, valid)
    residual = loss - power_law(x, fit.E, fit.A, fit.alpha)
    entry |= {
        "status": law.status,
        **{name: getattr(fit, name) for name in NAMES},
        **_intervals(law, least_squares, data, valid, dofs),
        "points": [
            {"x": float(at * UNIT[law.axis]), "loss": float(value)} for at, value in zip(x, loss, strict=True)
        ],
        "warnings": law.warnings,
        "correlation_E_alpha": least_squares.correlation if np.isfinite(least_squares.correlation) else None,
        "rmse": float(np.sqrt(np.average(residual**2, weights=weights))),
        "objective": _objective(fit),
        "profile": profiles(x, loss, weights, least_squares),
        "forms": candidate_forms(x, loss, weights),
        "sensitivity": _sensitivity(law, data.windows) if law.status == "ok" else None,
        "extrapolation": extrapolation_test(
            data.grid, law, n_boot=n_boot, rng=stream(seed, Purpose.BOOTSTRAP, 4, number)
        ),
        "forecast": outlook(law, valid, min(dofs)),
    }
    return entry, draws


def _entry(data: AxisData) -> dict[str, Any]:
    """The entry of an axis without a law."""
    verdict = data.shape.verdict
    return {
        "status": "failed",
        "code": None,
        **dict.fromkeys(_NUMBERS),
        "u_shape": "monotone" if verdict in ("decreasing", "increasing") else verdict,
        "slices": slice_records(data.slices, data.found, data.shape, data.systematic, data.draws),
        "points": [],
        "warnings": [],
    }


def warn_of_disagreement(law: Law, fit: RobustFit) -> None:
    """A record for an optimum that few starts reach."""
    if fit.n_at_optimum < MIN_AGREEING:
        law.warn(
            "optimiser_disagreement",
            f"axis {law.axis}: {fit.n_at_optimum} of {fit.n_starts} starts reached the best objective; "
            f"spread of alpha {fit.alpha_spread:.2g}",
        )


def _draws(law: Law, data: AxisData, rng: np.random.Generator) -> np.ndarray | None:
    """(3, b) E, A and alpha in each draw; None where there are none or too few to make an interval.

    Runs, held-out databases and the choice of the curve through a slice vary together.
    """
    if data.draws is None or law.used.sum() < MIN_POINTS_INTERVAL:
        return None
    curves = rng.standard_normal(len(data.draws))
    draws = np.stack(law.refit(data.slices, data.draws, curves))
    failed = float(np.isnan(draws[2]).mean())
    if failed > MAX_FAILED_DRAWS:
        intervals = "intervals are optimistic" if failed < 0.5 else "no interval is reported"
        law.warn(
            "bootstrap_degenerate",
            f"axis {law.axis}: {100 * failed:.0f} % of {draws.shape[1]} draws had no valid frontier; "
            f"{intervals}",
        )
    return draws if failed < 0.5 else None


def _scaled(parameters: np.ndarray) -> np.ndarray:
    """E, log A, alpha of rows E, A, alpha: A is far from normal, its logarithm is not."""
    return np.stack([parameters[0], np.log(parameters[1]), parameters[2]])


def _dofs(law: Law, fit: AxisFit, data: AxisData, draws: np.ndarray | None) -> list[float]:
    """Degrees of freedom of the spread of E, log A and alpha.

    Each grid point gives the variance that its own standard error makes. What the draws vary beyond their
    sum is due to the held-out databases.
    """
    if draws is None:
        return [1.0] * len(NAMES)
    estimate = _scaled(np.array([[getattr(fit, name)] for name in NAMES]))
    shifts = np.nan_to_num(_scaled(np.stack(law.refit(data.slices, data.raised))) - estimate)
    databases = data.grid.by_database
    found = []
    for shift, spread in zip(shifts**2, _scaled(draws).var(1), strict=True):
        parts, dofs, most = shift, data.raised_dofs, float(data.grid.noise_dof)
        if databases is not None:
            rest = max(float(spread - shift.sum()), 0.0)
            parts, dofs = np.append(parts, rest), np.append(dofs, databases.means.shape[2] - 1)
            most += databases.means.shape[2] - 1
        found.append(min(effective_dof(parts, dofs), most))
    return found


def _intervals(
    law: Law, fit: AxisFit, data: AxisData, draws: np.ndarray | None, dofs: list[float]
) -> dict[str, Any]:
    """95 % intervals of E, A (on a log scale) and alpha, and of the law along x."""
    if draws is None:
        return {"ci95": None, "ci95_method": None, "band": None}
    jackknife = np.stack(law.refit(data.slices, data.jackknife))
    jackknife = _scaled(jackknife[:, np.isfinite(jackknife[2])])
    estimate = _scaled(np.array([getattr(fit, name) for name in NAMES]))
    found = [interval(*one) for one in zip(_scaled(draws), estimate, jackknife, dofs, strict=True)]
    ends = np.array([ends for ends, _ in found])
    ends[1] = np.exp(ends[1])
    x = np.geomspace(law.x[law.used].min(), law.x[law.used].max(), N_BAND)
    low, high = percentiles(power_law(x, *draws[..., None]), min(dofs))
    return {
        "ci95": dict(zip(NAMES, ends.tolist(), strict=True)),
        "ci95_method": dict(zip(NAMES, (method for _, method in found), strict=True)),
        "band": {"x": (x * UNIT[law.axis]).tolist(), "low": low.tolist(), "high": high.tolist()},
    }


def _objective(fit: RobustFit) -> dict[str, Any]:
    return {
        "name": "huber_log",
        "delta": fit.delta,
        "scale": fit.scale,
        "starts": fit.n_starts,
        "starts_at_optimum": fit.n_at_optimum,
        "gradient": fit.gradient,
    }


def _sensitivity(law: Law, windows: dict[str, np.ndarray]) -> dict[str, Any]:
    """The law through the minima of each window; None where fewer than `MIN_POINTS` slices have one."""
    laws: dict[str, Any] = {}
    for name, loss in windows.items():
        used = law.used & np.isfinite(loss)
        laws[name] = None
        if used.sum() < MIN_POINTS:
            continue
        try:
            fit = fit_axis(law.x[used], loss[used], weights=law.weights[used], axis=law.axis)
        except AnalysisError:
            continue
        laws[name] = {parameter: getattr(fit, parameter) for parameter in NAMES}
    return laws
