"""Scaling laws of a results table: one law per axis with its interval, or the reason why there is none."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from relscale.analysis.claims import MIN_POINTS_INTERVAL, Law, choose_law, warn_of_limits
from relscale.analysis.frontier import (
    AXES,
    STATUS,
    UNIT,
    Grid,
    Minima,
    View,
    minima,
    ridge_exponent,
    view,
)
from relscale.analysis.laws import power_law
from relscale.analysis.projection import AxisFit, fit_axis, search
from relscale.analysis.results import AnalysisError, check_results
from relscale.analysis.surfaces import fit_surfaces, unique_tokens
from relscale.analysis.ushape import Shape, axis_shape
from relscale.platform.seeds import Purpose, stream

__all__ = ["AxisFit", "fit_axis", "fit_results"]

N_BAND = 41
MAX_FAILED_DRAWS = 0.05


def fit_results(
    results: pd.DataFrame,
    *,
    n_boot: int = 1000,
    seed: int = 0,
    drop_nonfinite: bool = False,
    surfaces: bool = True,
) -> dict[str, Any]:
    """Fit L = E + A x^-alpha along both axes of a results table, and say what the data do not support.

    Parameters
    ----------
    results : one row a run, columns as in `relscale.analysis.results.COLUMNS`.
    n_boot : draws of the bootstrap over seeds; 0 for no intervals.
    seed : root seed of the bootstrap and of the U-shape's simulations.
    drop_nonfinite : drop rows without a usable loss instead of refusing them.
    surfaces : fit whole surfaces too, which takes seconds; "surface" is None otherwise.

    Returns
    -------
    The content of fit.json, ready for JSON: "axes", "ridge", "surface", "rows", "noise", "settings".
    The axis n_databases is the law of the minimum over tokens, and the other way round; coefficients
    of tokens are for billions. A number that the data do not give is None.

    Raises
    ------
    AnalysisError : the table itself is unusable (see `check_results`). A table that is only too small
        or too noisy raises nothing: its axes have status "failed" and a code.

    Source: PluRel arXiv:2602.04029 (laws along the frontier of each axis).
    """
    table, rows = check_results(results, drop_nonfinite=drop_nonfinite)
    grid = Grid.from_table(table)
    draws = None
    if grid.noise_sd is not None and n_boot > 0:
        draws = grid.resampled_means(n_boot, rng=stream(seed, Purpose.BOOTSTRAP, 0))
    views = {axis: view(grid, axis) for axis in AXES}
    shapes = {
        axis: axis_shape(views[axis], rng=stream(seed, Purpose.BOOTSTRAP, 1, number))
        for number, axis in enumerate(AXES)
    }
    axes, ridge = {}, {}
    for axis, slices in views.items():
        means = draws if draws is None or axis == "n_databases" else draws.swapaxes(1, 2)
        found = minima(slices.x, slices.means, slices.counts)
        axes[axis] = _axis(slices, found, shapes, means)
        ridge[axis] = _ridge(slices, found, shapes[axis], means)
    if draws is None and n_boot > 0:
        for entry in axes.values():
            entry["warnings"].append(_single_seed())
    return {
        "axes": axes,
        "ridge": {"tokens_of_n": ridge["n_databases"], "n_of_tokens": ridge["tokens"]},
        "surface": fit_surfaces(grid, unique_tokens(table, grid)) if surfaces else None,
        "rows": {"read": rows.read, "used": rows.used, "dropped": rows.dropped, "reasons": rows.reasons},
        "noise": {"sd": grid.noise_sd, "dof": grid.noise_dof},
        "settings": {"n_boot": n_boot, "seed": seed, "interval": "95 % percentiles over resampled seeds"},
    }


def _axis(slices: View, found: Minima, shapes: dict[str, Shape], draws: np.ndarray | None) -> dict[str, Any]:
    shape = shapes[slices.axis]
    entry: dict[str, Any] = {
        "status": "failed",
        "code": None,
        **dict.fromkeys(("E", "A", "alpha", "ci95")),
        "u_shape": "monotone" if shape.verdict in ("decreasing", "increasing") else shape.verdict,
        "slices": _slice_records(slices, found),
        "points": [],
        "band": None,
        "warnings": [],
    }
    try:
        law = choose_law(slices, found, shape, shapes[slices.other].kinds[-1])
        used = law.weights > 0
        fit = fit_axis(law.x[used], law.loss[used], weights=law.weights[used], axis=slices.axis)
    except AnalysisError as error:
        entry["code"] = error.code
        entry["warnings"].append({"code": error.code, "message": str(error)})
        return entry
    warn_of_limits(law, fit, slices.axis)
    ci95, band = _intervals(law, slices, draws)
    points = [
        {"x": float(x * UNIT[slices.axis]), "loss": float(loss)}
        for x, loss in zip(law.x[used], law.loss[used], strict=True)
    ]
    return entry | {
        "status": law.status,
        "E": fit.E,
        "A": fit.A,
        "alpha": fit.alpha,
        "ci95": ci95,
        "points": points,
        "band": band,
        "correlation_E_alpha": fit.correlation if np.isfinite(fit.correlation) else None,
        "rmse": fit.rmse,
        "warnings": law.warnings,
    }


def _intervals(
    law: Law, slices: View, draws: np.ndarray | None
) -> tuple[dict[str, list[float]] | None, dict[str, list[float]] | None]:
    """95 % intervals of E, A and alpha, and of the law along x, from resampled means (b, I, J)."""
    if draws is None or (law.weights > 0).sum() < MIN_POINTS_INTERVAL:
        return None, None
    if law.status == "ok":  # which slices have an interior minimum is decided anew in every draw
        found = minima(slices.x, draws, slices.counts)
        weights = found.loss_weight
        loss = np.where(weights > 0, found.loss_opt, 0.0)
    else:
        loss = draws[:, slices.counts[:, -1] > 0, -1]
        weights = np.broadcast_to(law.weights, loss.shape)
    offset, scale, alpha = search(law.x, loss, weights)
    valid = np.isfinite(alpha)
    failed = 1 - valid.mean()
    if failed > MAX_FAILED_DRAWS:
        intervals = "intervals are optimistic" if failed < 0.5 else "no interval is reported"
        message = f"axis {slices.axis}: {failed:.0%} of {len(draws)} draws had no valid frontier; {intervals}"
        law.warn("bootstrap_degenerate", message.replace("%", " %"))
    if failed >= 0.5:
        return None, None
    dof = law.noise_dof or slices.noise_dof
    named = {"E": offset, "A": scale, "alpha": alpha}
    ci95 = {name: _percentiles(values[valid], dof).tolist() for name, values in named.items()}
    used = law.x[law.weights > 0]
    x = np.geomspace(used.min(), used.max(), N_BAND)
    curves = power_law(x, offset[valid, None], scale[valid, None], alpha[valid, None])
    low, high = _percentiles(curves, dof)
    return ci95, {"x": (x * UNIT[slices.axis]).tolist(), "low": low.tolist(), "high": high.tolist()}


def _ridge(slices: View, found: Minima, shape: Shape, draws: np.ndarray | None) -> dict[str, Any]:
    """How the best value of the other axis grows along this one; None without a U-shape to follow."""
    exponent = float(ridge_exponent(slices.at, found))
    if not np.isfinite(exponent) or shape.verdict in ("decreasing", "increasing", "flat"):
        return {"exponent": None, "ci95": None}
    if draws is None:
        return {"exponent": exponent, "ci95": None}
    drawn = ridge_exponent(slices.at, minima(slices.x, draws, slices.counts))
    drawn = drawn[np.isfinite(drawn)]
    enough = len(drawn) >= 0.5 * len(draws)
    return {"exponent": exponent, "ci95": _percentiles(drawn, slices.noise_dof).tolist() if enough else None}


def _slice_records(slices: View, found: Minima) -> list[dict[str, Any]]:
    return [
        {
            "at": float(at),
            "status": STATUS[status],
            "x_opt": float(x_opt) if np.isfinite(x_opt) else None,
            "loss_opt": float(loss_opt),
        }
        for at, status, x_opt, loss_opt in zip(
            slices.at, found.status, found.x_opt, found.loss_opt, strict=True
        )
    ]


def _single_seed() -> dict[str, str]:
    message = (
        "no grid point has two seeds, so the noise is unknown: no interval is reported and "
        "no U-shape is tested; run at least 3 seeds"
    )
    return {"code": "single_seed", "message": message}


def _percentiles(values: np.ndarray, dof: int) -> np.ndarray:
    """95 % interval from draws, its level widened as Student's t widens the normal's.

    Few seeds misjudge their own spread; without this 95 % intervals of 3 seeds held the truth in 88 %.
    Source: expanded percentiles, Hesterberg 2015 (arXiv:1411.5279).
    """
    level = 100 * stats.norm.cdf(stats.t.ppf(0.025, dof))
    return np.percentile(values, [level, 100 - level], axis=0)
