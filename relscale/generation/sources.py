"""Root signals of a causal model: trend, cycle and autoregression in row order, or independent draws."""

import math

import numpy as np
from scipy.signal import lfilter
from scipy.special import softmax

from relscale.generation.config import SourcePrior
from relscale.generation.draws import draw_option


def sample_source(
    n_rows: int, n_categories: int, *, is_activity: bool, prior: SourcePrior, rng: np.random.Generator
) -> np.ndarray:
    """Draw the values of a node without parents.

    Parameters
    ----------
    n_rows : length of the table.
    n_categories : number of classes, or 0 for a number.
    is_activity : rows are in order of time; trends and cycles appear only there by default.

    Returns
    -------
    float32 [n_rows], or int64 [n_rows] with values in [0, n_categories).

    Source: PluRel (arXiv:2602.04029), reference implementation 1.1.
    """
    kind = draw_option(prior.kinds, rng=rng)
    if n_categories and kind == "ts":
        signals = [time_series(n_rows, is_activity, prior, rng) for _ in range(n_categories)]
        return draw_classes(softmax(np.stack(signals, axis=1), axis=1), rng=rng)
    if n_categories:
        shares = rng.dirichlet(np.ones(n_categories))
        return draw_classes(np.broadcast_to(shares, (n_rows, n_categories)), rng=rng)
    if kind == "ts":
        values = time_series(n_rows, is_activity, prior, rng)
    elif kind == "mixed":
        values = mixture(n_rows, prior, rng)
    else:
        values = independent(kind, n_rows, prior, rng)
    return values.astype(np.float32)


def time_series(n_rows: int, is_activity: bool, prior: SourcePrior, rng: np.random.Generator) -> np.ndarray:
    """The mean of a trend, a cycle and an autoregression with fresh parameters; float64 [n_rows]."""
    low, high = _value_range(prior, rng)
    trend_scales = prior.trend_scales_activity if is_activity else prior.trend_scales_entity
    cycle_scales = prior.cycle_scales_activity if is_activity else prior.cycle_scales_entity
    noise = prior.ar_noise_activity if is_activity else prior.ar_noise_entity
    trend_scale = draw_option(trend_scales, rng=rng)
    exponent = rng.uniform(*prior.trend_exponent)
    cycle_scale = draw_option(cycle_scales, rng=rng)
    share = draw_option(prior.cycle_shares, rng=rng)
    coefficient = rng.uniform(*prior.ar_coefficient)
    return (
        trend(n_rows, trend_scale, exponent, low, high)
        + cycle(n_rows, cycle_scale, share, low, high)
        + np.clip(autoregression(noise * rng.standard_normal(n_rows), coefficient), low, high)
    ) / 3


def trend(n_rows: int, scale: float, exponent: float, low: float, high: float) -> np.ndarray:
    """min(scale * (r / n) ** exponent + low, high) at rows r; 0 ** 0 is 1."""
    return np.minimum(scale * (np.arange(n_rows) / n_rows) ** exponent + low, high)


def cycle(n_rows: int, scale: float, share: float, low: float, high: float) -> np.ndarray:
    """scale * sin(pi r / f) with the half period f = ceil(n * share) rows, clipped to [low, high]."""
    return np.clip(scale * np.sin(np.pi * np.arange(n_rows) / math.ceil(n_rows * share)), low, high)


def autoregression(innovations: np.ndarray, coefficient: float) -> np.ndarray:
    """e_r = coefficient * e_(r-1) + innovation_r, started at 0."""
    return lfilter([1.0], [1.0, -coefficient], innovations)


def independent(kind: str, n_rows: int, prior: SourcePrior, rng: np.random.Generator) -> np.ndarray:
    """Independent uniform, clipped gaussian or scaled beta values; float64 [n_rows]."""
    low, high = _value_range(prior, rng)
    if kind == "uniform":
        return rng.uniform(low, high, n_rows)
    if kind == "gaussian":
        sd = max((high - low) / 4, 1e-6)
        return np.clip(rng.normal((low + high) / 2, sd, n_rows), low, high)
    alpha, beta = rng.uniform(*prior.beta, 2).tolist()
    return low + (high - low) * rng.beta(alpha, beta, n_rows)


def mixture(n_rows: int, prior: SourcePrior, rng: np.random.Generator) -> np.ndarray:
    """Two or three independent components, one drawn uniformly in each row; float64 [n_rows]."""
    kinds = [draw_option(("uniform", "gaussian", "beta"), rng=rng) for _ in range(rng.integers(2, 4))]
    components = np.stack([independent(kind, n_rows, prior, rng) for kind in kinds])
    return components[rng.integers(len(kinds), size=n_rows), np.arange(n_rows)]


def draw_classes(probabilities: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """A class in each row from probabilities [rows, K]; int64 [rows]."""
    cumulative = np.cumsum(probabilities, axis=1)
    level = rng.random((len(probabilities), 1)) * cumulative[:, -1:]
    return (level >= cumulative[:, :-1]).sum(axis=1)


def _value_range(prior: SourcePrior, rng: np.random.Generator) -> tuple[float, float]:
    scale = draw_option(prior.value_scales, rng=rng)
    low, high = np.sort(rng.random(2)) * scale
    return float(low), float(high)
