"""Bootstrap of scores, over rows and over entities, with the same draws for every predictor.

A draw is a weight per row: how often the row, or its entity, was drawn. A metric under weights equals the
metric of the drawn table, and costs a product instead of a sort. Rows of one entity resemble each other, so
only the draws over entities say how far a score would carry to other entities.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import t

from relscale.platform.seeds import Purpose, stream

MIN_ENTITIES = 5
"""Fewer entities give no interval over entities: their draws are too alike."""
_BLOCK = 4_000_000

Weighted = Callable[[np.ndarray], np.ndarray]
"""Weights [b, n] of b draws to their scores [b], NaN where a draw has none."""


def score_draws(
    metric: str,
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    entities: np.ndarray | None,
    *,
    n_boot: int,
    scale: float = 1.0,
) -> dict[str, np.ndarray]:
    """Scores of every predictor in the same bootstrap draws.

    Parameters
    ----------
    metric : a key of `METRICS`.
    target : float64 [n]. predictions : name -> float64 [n].
    entities : [n] whom each row is about, to draw entities; None draws rows.
    scale : what the "nmae" divides by.

    Returns
    -------
    name -> float64 [n_boot], NaN in draws for which the metric does not exist.

    Cost: O(n_boot n) for each predictor.
    """
    scorers = {name: METRICS[metric](target, values, scale) for name, values in predictions.items()}
    blocks = [
        {name: scorer(weights) for name, scorer in scorers.items()}
        for weights in _weights(len(target), entities, n_boot)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in scorers}


def interval(draws: np.ndarray) -> list[float] | None:
    """The 95 % percentile interval of the draws that have a score; None if none has."""
    draws = draws[np.isfinite(draws)]
    return np.percentile(draws, [2.5, 97.5]).tolist() if len(draws) else None


def welch_interval(difference: float, parts: Sequence[tuple[float, float]]) -> list[float] | None:
    """The 95 % interval of a difference whose variance is a sum of estimated ones (Welch 1947).

    parts : variance and its degrees of freedom (infinite of one that is known well) of each source of chance.
        None where they are not numbers or all 0.
    """
    variance = sum(part for part, _ in parts)
    if not variance > 0:
        return None
    uncertain = sum(part**2 / freedom for part, freedom in parts)
    half = t.ppf(0.975, variance**2 / uncertain if uncertain else np.inf) * np.sqrt(variance)
    return [float(difference - half), float(difference + half)]


def _weights(n: int, entities: np.ndarray | None, n_boot: int) -> Iterator[np.ndarray]:
    """Blocks [b, n] of draws."""
    rng = stream(0, Purpose.BOOTSTRAP, 0 if entities is None else 1)
    unit = np.arange(n) if entities is None else np.unique(entities, return_inverse=True)[1]
    n_units, size = int(unit.max()) + 1, max(1, _BLOCK // n)
    for first in range(0, n_boot, size):
        counts = [
            np.bincount(rng.integers(0, n_units, n_units), minlength=n_units)
            for _ in range(min(size, n_boot - first))
        ]
        yield np.stack(counts)[:, unit].astype(np.float64)


def _roc_auc(target: np.ndarray, prediction: np.ndarray, scale: float) -> Weighted:
    """Share of pairs of a positive and a negative row in the right order, equal ones counting half."""
    order = np.argsort(prediction, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(prediction[order]) != 0])
    positive = target[order] > 0

    def score(weights: np.ndarray) -> np.ndarray:
        weights = weights[:, order]
        ups = np.add.reduceat(weights * positive, starts, axis=1)
        downs = np.add.reduceat(weights * ~positive, starts, axis=1)
        right = (ups * (np.cumsum(downs, axis=1) - downs / 2)).sum(axis=1)
        return _ratio(right, ups.sum(axis=1) * downs.sum(axis=1))

    return score


def _nmae(target: np.ndarray, prediction: np.ndarray, scale: float) -> Weighted:
    error = np.abs(prediction - target) / scale
    return lambda weights: weights @ error / weights.sum(axis=1)


def _r2(target: np.ndarray, prediction: np.ndarray, scale: float) -> Weighted:
    centred, squares = target - target.mean(), (prediction - target) ** 2

    def score(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1)
        spread = weights @ centred**2 - (weights @ centred) ** 2 / total
        return 1 - _ratio(weights @ squares, np.where(spread > 1e-12 * total * centred.var(), spread, 0))

    return score


def _accuracy(target: np.ndarray, prediction: np.ndarray, scale: float) -> Weighted:
    right = (prediction == target).astype(np.float64)
    return lambda weights: weights @ right / weights.sum(axis=1)


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray, float], Weighted]] = {
    "roc_auc": _roc_auc,
    "nmae": _nmae,
    "r2": _r2,
    "accuracy": _accuracy,
}
"""Metrics of (target, prediction, scale) under weights."""
