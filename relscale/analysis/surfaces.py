"""Whole-surface models of the loss over the N x S grid; here the additive null model."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize, nnls

from relscale.analysis.frontier import UNIT, Grid
from relscale.analysis.laws import centre
from relscale.analysis.projection import ALPHA_RANGE

MIN_CELLS, MIN_LEVELS = 15, 4
N_SCAN = 24


def fit_additive(grid: Grid) -> dict[str, Any]:
    """Fit L = E + A N^-alpha + B S^-beta to the means of the grid, weighted by their runs.

    It is monotone in both axes, so it cannot show a U: the null model that others must beat.

    Returns
    -------
    {"status": "ok" | "failed", "code", "message", "model": "additive", "E", "A", "alpha", "B", "beta",
    "rmse", "aicc", "cells"}; B for tokens in billions; the numbers are None where the status is failed.
    AICc is None if the fit is exact. Needs 15 grid points and 4 levels an axis.

    Source: Hoffmann et al. arXiv:2203.15556 (form); AICc counts the variance as a sixth parameter.
    """
    row, column = np.nonzero(grid.counts)
    n, s = grid.n_databases[row], grid.tokens[column] / UNIT["tokens"]
    levels = (len(grid.n_databases), len(grid.tokens))
    if len(row) < MIN_CELLS or min(levels) < MIN_LEVELS:
        return _failed(
            "too_few_points",
            f"surface: {len(row)} grid points on {levels[0]} x {levels[1]} levels, "
            f"need at least {MIN_CELLS} points and {MIN_LEVELS} levels on both axes",
            len(row),
        )
    loss, root_weight = grid.means[row, column], np.sqrt(grid.counts[row, column])
    log_n, log_s = np.log(n / centre(n)), np.log(s / centre(s))

    def solve(exponents: np.ndarray) -> tuple[np.ndarray, float]:
        columns = [np.ones_like(n), np.exp(-exponents[0] * log_n), np.exp(-exponents[1] * log_s)]
        return nnls(np.column_stack(columns) * root_weight[:, None], loss * root_weight)

    exponents = _search(solve)
    (offset, excess_n, excess_s), norm = solve(exponents)
    if (
        min(excess_n, excess_s) <= 0
        or np.any(exponents <= ALPHA_RANGE[0] * 1.01)
        or np.any(exponents >= ALPHA_RANGE[1] * 0.99)
    ):
        return _failed(
            "exponent_at_bound",
            f"surface: exponents {exponents[0]:.3g} (databases) and {exponents[1]:.3g} (tokens) with excess "
            f"{excess_n:.3g} and {excess_s:.3g}; a term vanishes or sits at the search limit",
            len(row),
        )
    rss = float((norm**2) / np.mean(root_weight**2))
    return {
        "status": "ok",
        "code": None,
        "message": None,
        "model": "additive",
        "E": float(offset),
        "A": float(excess_n * centre(n) ** exponents[0]),
        "alpha": float(exponents[0]),
        "B": float(excess_s * centre(s) ** exponents[1]),
        "beta": float(exponents[1]),
        "rmse": float(np.sqrt(rss / len(row))),
        "aicc": aicc(rss, len(row), 6) if rss > (1e-12 * loss.max()) ** 2 * len(row) else None,
        "cells": len(row),
    }


def aicc(rss: float, n: int, k: int) -> float:
    """Corrected information criterion of a least-squares fit; k counts the variance, n > k + 1."""
    return float(n * np.log(rss / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1))


def _search(solve: Callable[[np.ndarray], tuple[np.ndarray, float]]) -> np.ndarray:
    """The exponents with the smallest residual: a scan, then Nelder-Mead in their logarithms."""
    scan = np.geomspace(*ALPHA_RANGE, N_SCAN)
    start = min(((a, b) for a in scan for b in scan), key=lambda pair: solve(np.array(pair))[1])
    low, high = np.log(ALPHA_RANGE)

    def residual(log_exponents: np.ndarray) -> float:
        return solve(np.exp(log_exponents))[1]

    found = minimize(
        residual,
        np.log(start),
        method="Nelder-Mead",
        bounds=[(low, high), (low, high)],
        options={"xatol": 1e-8, "fatol": 1e-14},
    )
    return np.exp(found.x)


def _failed(code: str, message: str, n_cells: int) -> dict[str, Any]:
    numbers = dict.fromkeys(("E", "A", "alpha", "B", "beta", "rmse", "aicc"))
    entry: dict[str, Any] = {"status": "failed", "code": code, "message": message, "model": "additive"}
    return {**entry, **numbers, "cells": n_cells}
