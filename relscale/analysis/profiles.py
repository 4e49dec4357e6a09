"""How much worse a law fits at other exponents and offsets: the profiles behind their 95 % sets."""

from typing import Any

import numpy as np
from scipy import stats

from relscale.analysis.laws import centre, project
from relscale.analysis.projection import ALPHA_RANGE, N_SCAN, AxisFit

N_POINTS = 61


def profiles(x: np.ndarray, loss: np.ndarray, weights: np.ndarray, fit: AxisFit) -> dict[str, Any]:
    """Weighted sums of squares along alpha and along E, the other parameters at their best.

    Parameters
    ----------
    x, loss, weights, fit : the points (n,), n > 3, and what `fit_axis` found for them.

    Returns
    -------
    {"alpha": CURVE, "E": CURVE, "cut"}; CURVE = {"value", "objective", "low", "high"}. The objective is for
    weights of mean 1; values with an objective below the cut are the 95 % set for an unknown noise SD. An
    end of the set is None where it reaches E = 0 or a limit of the search: there the set is one-sided.

    Source: Raue et al. 2009 (profile likelihood); RSS / RSS_min <= 1 + t^2 / (n - 3).
    """
    weights = weights / weights.mean()
    log_x = np.log(x / centre(x))
    best = np.array([fit.alpha])
    rss = float(project(log_x, loss[None], weights[None], best[None])[2][0, 0])
    freedom = len(x) - 3
    alphas = _around(np.log(fit.alpha_set), np.log(ALPHA_RANGE))
    offsets = _around(np.array(fit.offset_set), (0.0, np.inf))
    return {
        "alpha": {
            "value": np.exp(alphas).tolist(),
            "objective": project(log_x, loss[None], weights[None], np.exp(alphas)[None])[2][0].tolist(),
            "low": _inside(fit.alpha_set[0], ALPHA_RANGE[0]),
            "high": _inside(fit.alpha_set[1], ALPHA_RANGE[1]),
        },
        "E": {
            "value": offsets.tolist(),
            "objective": _along_offset(log_x, loss, weights, fit, offsets).tolist(),
            "low": _inside(fit.offset_set[0], 0.0),
            "high": fit.offset_set[1],
        },
        "cut": rss * (1 + float(stats.t.ppf(0.975, freedom)) ** 2 / freedom),
    }


def _around(ends: np.ndarray, limits: tuple[float, float] | np.ndarray) -> np.ndarray:
    """Values from a quarter of a set's width below it to as much above, within limits."""
    margin = 0.25 * np.ptp(ends)
    return np.linspace(max(ends[0] - margin, limits[0]), min(ends[1] + margin, limits[1]), N_POINTS)


def _along_offset(
    log_x: np.ndarray, loss: np.ndarray, weights: np.ndarray, fit: AxisFit, offsets: np.ndarray
) -> np.ndarray:
    """Smallest sum of squares at each offset (k,), over exponents and excesses that are not negative."""
    alphas = np.append(np.geomspace(*ALPHA_RANGE, N_SCAN), np.geomspace(*fit.alpha_set, 4 * N_SCAN))
    f = np.exp(-alphas[:, None] * log_x)
    rest = loss - offsets[:, None]
    excess = np.maximum((rest * weights) @ f.T / (f**2 @ weights), 0.0)
    residual = rest[:, None] - excess[..., None] * f
    return (residual**2 @ weights).min(1)


def _inside(end: float, limit: float) -> float | None:
    return None if np.isclose(end, limit, rtol=1e-6, atol=0) else end
