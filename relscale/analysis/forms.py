"""Which form the points of an axis prefer: a power law with an offset, or something simpler."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar, nnls

from relscale.analysis.laws import centre
from relscale.analysis.projection import ALPHA_RANGE, N_SCAN
from relscale.analysis.surfaces import aicc

EXACT = 1e-9
"""Relative residuals below this are rounding: a form that fits better is not preferred for it."""


def candidate_forms(x: np.ndarray, loss: np.ndarray, weights: np.ndarray) -> list[dict[str, Any]]:
    """Fit the candidate forms by weighted least squares and compare them by AICc.

    power_law_offset  E + A x^-alpha;  power_law  A x^-alpha;  exponential  E + A e^(-x/c);
    logarithm  E - A ln x. E and A are not negative, but the logarithm's E may be.

    Returns
    -------
    [{"form", "k", "rss", "aicc", "delta_aicc"}], k with the variance, rss for weights of mean 1; the
    criterion is None where n <= k + 1. delta_aicc is the distance from the best: below 2 is a tie.

    Source: Hurvich and Tsai 1989; the candidates of Hoffmann et al. 2022 and their limits.
    """
    root = np.sqrt(weights / weights.mean())
    log_x = np.log(x / centre(x))
    floor = len(x) * (EXACT * loss.max()) ** 2
    scales = (x.min() / 4, x.max() * 10)
    rss = {
        "power_law_offset": (
            4,
            _scan(lambda a: [np.ones_like(x), np.exp(-a * log_x)], ALPHA_RANGE, loss, root),
        ),
        "power_law": (3, _scan(lambda a: [np.exp(-a * log_x)], ALPHA_RANGE, loss, root)),
        "exponential": (4, _scan(lambda c: [np.ones_like(x), np.exp(-x / c)], scales, loss, root)),
        "logarithm": (3, _rss([np.ones_like(x), -np.ones_like(x), -log_x], loss, root)),
    }
    records: list[dict[str, Any]] = [
        {"form": form, "k": k, "rss": value, "aicc": _aicc(max(value, floor), len(x), k)}
        for form, (k, value) in rss.items()
    ]
    known = [record["aicc"] for record in records if record["aicc"] is not None]
    for record in records:
        record["delta_aicc"] = None if record["aicc"] is None else record["aicc"] - min(known)
    return records


def _scan(
    columns: Callable[[float], list[np.ndarray]],
    limits: tuple[float, float],
    loss: np.ndarray,
    root: np.ndarray,
) -> float:
    """Smallest residual over the one parameter that is not linear."""

    def residual(log_value: float) -> float:
        return _rss(columns(float(np.exp(log_value))), loss, root)

    grid = np.log(np.geomspace(*limits, N_SCAN))
    best = int(np.argmin([residual(value) for value in grid]))
    bracket = grid[max(best - 1, 0)], grid[min(best + 1, N_SCAN - 1)]
    return float(minimize_scalar(residual, bounds=bracket, method="bounded", options={"xatol": 1e-9}).fun)


def _rss(columns: list[np.ndarray], loss: np.ndarray, root: np.ndarray) -> float:
    return float(nnls(np.column_stack(columns) * root[:, None], loss * root)[1] ** 2)


def _aicc(rss: float, n: int, k: int) -> float | None:
    return aicc(rss, n, k) if n > k + 1 else None
