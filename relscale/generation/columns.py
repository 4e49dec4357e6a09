"""Columns as a database shows them: quantised classes, transforms, missing cells, booleans."""

from collections.abc import Callable

import numpy as np

from relscale.generation.config import ColumnPrior, Transform
from relscale.generation.draws import draw_option


def quantise(
    values: np.ndarray, n_categories: int, *, prior: ColumnPrior, rng: np.random.Generator
) -> np.ndarray:
    """Turn numbers into classes by boundaries drawn from the values themselves.

    The class is the number of boundaries strictly below the value; classes may then be permuted and reversed.

    Returns
    -------
    int64 [rows], values in [0, n_categories).

    Source: PluRel (arXiv:2602.04029), reference implementation 1.1.
    """
    boundaries = np.sort(rng.choice(values, n_categories - 1))
    labels = np.searchsorted(boundaries, values, side="left")
    if rng.random() < rng.uniform(*prior.label_permute_prob):
        labels = rng.permutation(n_categories)[labels]
    if rng.random() < rng.uniform(*prior.label_reverse_prob):
        labels = n_categories - 1 - labels
    return labels


def transform(values: np.ndarray, kind: Transform) -> np.ndarray:
    """A monotone transform of a numerical column; float64 [rows].

    rank_uniform is rank / (rows + 1) with ties broken by row order, so that a constant column becomes a
    ramp, as in the reference implementation.
    """
    return _TRANSFORMS[kind](values.astype(np.float64))


def missing_cells(n_rows: int, share: float, *, rng: np.random.Generator) -> np.ndarray:
    """Mask of floor(share * n_rows) distinct rows, all equally likely; bool [n_rows]."""
    mask = np.zeros(n_rows, bool)
    mask[rng.choice(n_rows, int(share * n_rows), replace=False)] = True
    return mask


def finish_number(
    values: np.ndarray, missing_share: float, *, prior: ColumnPrior, rng: np.random.Generator
) -> np.ma.MaskedArray:
    """A numerical column for output: transformed, float64, with missing cells masked."""
    finished = transform(values, draw_option(prior.transforms, rng=rng))
    return np.ma.MaskedArray(finished, missing_cells(len(values), missing_share, rng=rng))


def finish_classes(labels: np.ndarray) -> np.ndarray | None:
    """A categorical column for output: is the class above 0? None if only one answer occurs."""
    truth = labels > 0
    return truth if truth.any() and not truth.all() else None


def _rank(x: np.ndarray) -> np.ndarray:
    order = np.argsort(x, kind="stable")
    ranks = np.empty(len(x))
    ranks[order] = np.arange(1, len(x) + 1)
    return ranks / (len(x) + 1)


def _log(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.log1p(np.abs(x))


def _sqrt(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.sqrt(np.abs(x))


def _standardize(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / max(x.std(), 1e-8)


_TRANSFORMS: dict[Transform, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda x: x,
    "rank_uniform": _rank,
    "log": _log,
    "sqrt": _sqrt,
    "standardize": _standardize,
}
