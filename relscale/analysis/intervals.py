"""95 % intervals from bootstrap draws."""

import numpy as np
from scipy import stats

MAX_SKEWNESS = 0.5
"""Draws more skewed than this get a BCa interval."""


def effective_dof(variances: np.ndarray, dofs: np.ndarray) -> float:
    """Degrees of freedom of a sum of variances (c,), each known with its own; at least 1.

    A law's end hangs on a few grid points of 3 runs, so its spread is known far worse than the pooled noise.
    Source: Satterthwaite 1946.
    """
    bottom = float((variances**2 / dofs).sum())
    return max(float(variances.sum()) ** 2 / bottom, 1.0) if bottom > 0 else float(dofs.sum())


def widened_quantile(dof: float) -> float:
    """The normal quantile whose level is that of Student's t at 2.5 %, with the seeds' degrees of freedom.

    Few seeds misjudge their own spread; without this 95 % intervals of 3 seeds held the truth in 88 %.
    Source: expanded percentiles, Hesterberg 2015 (arXiv:1411.5279).
    """
    return float(stats.t.ppf(0.025, dof))


def percentiles(values: np.ndarray, dof: float) -> np.ndarray:
    """(2, ...) ends of the 95 % interval of draws (b, ...), its level widened for `dof`."""
    level = 100 * stats.norm.cdf(widened_quantile(dof))
    return np.percentile(values, [level, 100 - level], axis=0)


def interval(
    values: np.ndarray, estimate: float, jackknife: np.ndarray, dof: float
) -> tuple[np.ndarray, str]:
    """The interval of draws, and its method: "percentile", or "bca" where the draws are skewed.

    Parameters
    ----------
    values : (b,) finite draws.
    estimate : what the draws vary about, by the same estimator.
    jackknife : (r,) finite estimates, each without one unit of resampling.
    dof : degrees of freedom of the draws' spread.

    Source: bias-corrected and accelerated interval, Efron 1987.
    """
    if abs(stats.skew(values)) <= MAX_SKEWNESS or len(jackknife) < 3:
        return percentiles(values, dof), "percentile"
    share = np.clip((values < estimate).mean(), 1 / len(values), 1 - 1 / len(values))
    bias = stats.norm.ppf(share)
    influence = jackknife.mean() - jackknife
    squares = (influence**2).sum()
    acceleration = (influence**3).sum() / (6 * squares**1.5) if squares > 0 else 0.0
    z = bias + widened_quantile(dof) * np.array([1, -1])
    levels = stats.norm.cdf(bias + z / (1 - acceleration * z))
    return np.quantile(values, levels), "bca"
