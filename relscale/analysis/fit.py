"""Scaling laws of a results table: one law per axis with its interval, or the reason why there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from relscale.analysis.axis import NAMES, AxisData, fit_law
from relscale.analysis.completeness import missing_points, refuse_incomplete
from relscale.analysis.forecast import forecast_records
from relscale.analysis.frontier import AXES, Grid, minima, view
from relscale.analysis.per_database import database_losses
from relscale.analysis.projection import AxisFit, fit_axis
from relscale.analysis.results import check_results
from relscale.analysis.ridge import consistency, ridge_record
from relscale.analysis.surfaces import fit_surfaces, unique_tokens
from relscale.analysis.ushape import axis_shape
from relscale.analysis.windows import systematic_error, window_minima
from relscale.platform.seeds import Purpose, stream

__all__ = ["AxisFit", "Fit", "fit_axis", "fit_results", "fit_with_draws"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A fit and the draws behind its intervals."""

    entry: dict[str, Any]
    """The content of fit.json."""
    draws: dict[str, pd.DataFrame]
    """By axis: columns E, A, alpha, one row a bootstrap draw, NaN where it had no law; only fitted axes."""


def fit_results(
    results: pd.DataFrame,
    *,
    n_boot: int = 1000,
    seed: int = 0,
    drop_nonfinite: bool = False,
    allow_missing: bool = False,
    per_database: pd.DataFrame | None = None,
    forecasts: Sequence[tuple[str, float]] = (),
    surfaces: bool = True,
) -> dict[str, Any]:
    """Fit L = E + A x^-alpha along both axes of a results table, and say what the data do not support.

    Parameters
    ----------
    results : one row a run, columns as in `relscale.analysis.results.COLUMNS`.
    n_boot : draws of the bootstrap over seeds; 0 for no intervals.
    seed : root seed of the bootstrap, of the starts and of the U-shape's simulations.
    drop_nonfinite : drop rows without a usable loss instead of refusing them.
    allow_missing : fit a grid with points that no run finished, and list them under "missing".
    per_database : losses by held-out database (see `load_per_database`); they are resampled as well, jointly
        for all runs.
    forecasts : (axis, x) at which the laws are to be read, in databases or tokens.
    surfaces : fit whole surfaces too, which takes seconds; "surface" is None otherwise.

    Returns
    -------
    The content of fit.json, ready for JSON: "axes", "ridge", "surface", "rows", "noise", "settings",
    "missing", "forecasts". The axis n_databases is the law of the minimum over tokens, and the other way
    round; coefficients of tokens are for billions. A number that the data do not give is None.

    Raises
    ------
    AnalysisError : the table itself is unusable (see `check_results`), incomplete_grid, missing_database. A
        table that is only too small or too noisy raises nothing: its axes have status "failed" and a code.

    Source: PluRel arXiv:2602.04029 (laws along the frontier of each axis).
    """
    return fit_with_draws(
        results,
        n_boot=n_boot,
        seed=seed,
        drop_nonfinite=drop_nonfinite,
        allow_missing=allow_missing,
        per_database=per_database,
        forecasts=forecasts,
        surfaces=surfaces,
    ).entry


def fit_with_draws(
    results: pd.DataFrame,
    *,
    n_boot: int = 1000,
    seed: int = 0,
    drop_nonfinite: bool = False,
    allow_missing: bool = False,
    per_database: pd.DataFrame | None = None,
    forecasts: Sequence[tuple[str, float]] = (),
    surfaces: bool = True,
) -> Fit:
    """`fit_results` with the bootstrap draws of each axis' law."""
    table, rows = check_results(results, drop_nonfinite=drop_nonfinite)
    missing = missing_points(results, table)
    if not allow_missing:
        refuse_incomplete(results, missing)
    grid = Grid.from_table(table)
    if per_database is not None:
        grid = replace(grid, by_database=database_losses(per_database, table, grid))
    draws = None
    if grid.noise_sd is not None and n_boot > 0:
        draws = grid.resampled_means(n_boot, rng=stream(seed, Purpose.BOOTSTRAP, 0))
    axes = _axes(grid, draws, seed)
    laws = {
        axis: fit_law(data, n_boot=n_boot, seed=seed, number=number)
        for number, (axis, data) in enumerate(axes.items())
    }
    if draws is None and n_boot > 0:
        for entry, _ in laws.values():
            entry["warnings"].append(_single_seed())
    return Fit(
        entry={
            "axes": {axis: entry for axis, (entry, _) in laws.items()},
            "ridge": _ridges(axes, laws),
            "surface": fit_surfaces(grid, unique_tokens(table, grid)) if surfaces else None,
            "rows": {"read": rows.read, "used": rows.used, "dropped": rows.dropped, "reasons": rows.reasons},
            "noise": _noise(grid),
            "settings": {"n_boot": n_boot, "seed": seed, "interval": _interval_name(grid, draws)},
            "missing": missing,
            "forecasts": forecast_records({axis: entry for axis, (entry, _) in laws.items()}, forecasts),
        },
        draws={
            axis: pd.DataFrame(dict(zip(NAMES, drawn, strict=True)))
            for axis, (_, drawn) in laws.items()
            if drawn is not None
        },
    )


def _noise(grid: Grid) -> dict[str, Any]:
    noise, sds = grid.noise, []
    if noise.by == "both":
        sds = [
            {"n_databases": n, "tokens": s, "sd": sd}
            for n, row in zip(grid.n_databases.tolist(), noise.sds.tolist(), strict=True)
            for s, sd in zip(grid.tokens.tolist(), row, strict=True)
        ]
    elif noise.by is not None:
        at = grid.n_databases if noise.by == "n_databases" else grid.tokens
        each = noise.sds[:, 0] if noise.by == "n_databases" else noise.sds[0]
        sds = [{"at": a, "sd": sd} for a, sd in zip(at.tolist(), each.tolist(), strict=True)]
    return {"sd": noise.sd, "dof": noise.dof, "by": noise.by, "sds": sds}


def _axes(grid: Grid, draws: np.ndarray | None, seed: int) -> dict[str, AxisData]:
    """The slices of both axes, what was found in them, and their resampled means."""
    views = {axis: view(grid, axis) for axis in AXES}
    shapes = {
        axis: axis_shape(views[axis], rng=stream(seed, Purpose.BOOTSTRAP, 1, number))
        for number, axis in enumerate(AXES)
    }
    jackknife, (raised, raised_dofs) = grid.jackknife_means(), grid.raised_means()
    axes = {}
    for axis, slices in views.items():
        found = minima(slices.x, slices.means, slices.precision)
        windows = window_minima(slices, found)
        along = axis == "n_databases"
        axes[axis] = AxisData(
            grid=grid,
            slices=slices,
            found=found,
            shape=shapes[axis],
            boundary_shape=shapes[slices.other].kinds[-1],
            windows=windows,
            systematic=systematic_error(windows),
            draws=draws if draws is None or along else draws.swapaxes(1, 2),
            jackknife=jackknife if along else jackknife.swapaxes(1, 2),
            raised=raised if along else raised.swapaxes(1, 2),
            raised_dofs=raised_dofs,
        )
    return axes


def _ridges(
    axes: Mapping[str, AxisData], laws: Mapping[str, tuple[dict[str, Any], np.ndarray | None]]
) -> dict[str, Any]:
    """How the best value of one axis grows with the other, and whether ridges and laws agree."""
    (of_n, drawn_m), (of_s, drawn_m_prime) = (
        ridge_record(data.slices, data.found, data.shape, data.draws) for data in axes.values()
    )
    (law_n, drawn_n), (law_s, drawn_s) = (laws[axis] for axis in AXES)
    frontiers = law_n["status"] == law_s["status"] == "ok"
    checks = consistency(
        {
            "m": of_n["exponent"],
            "m_prime": of_s["exponent"],
            "alpha_n": law_n["alpha"],
            "alpha_s": law_s["alpha"],
        },
        {
            "m": drawn_m,
            "m_prime": drawn_m_prime,
            "alpha_n": None if drawn_n is None else drawn_n[2],
            "alpha_s": None if drawn_s is None else drawn_s[2],
        },
    )
    return {"tokens_of_n": of_n, "n_of_tokens": of_s, "consistency": checks if frontiers else None}


def _single_seed() -> dict[str, str]:
    message = (
        "no grid point has two seeds, so the noise is unknown: no interval is reported and "
        "no U-shape is tested; run at least 3 seeds"
    )
    return {"code": "single_seed", "message": message}


def _interval_name(grid: Grid, draws: np.ndarray | None) -> str:
    """Which interval "ci95" is."""
    if draws is None:
        return "none"
    units = "trunks" if grid.trunks else "seeds"
    if grid.by_database is not None:
        units += f" and {grid.by_database.means.shape[2]} held-out databases"
    return f"95 % percentiles over resampled {units}, BCa where the draws' skewness exceeds 0.5"
