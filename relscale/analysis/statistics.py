"""Measures of columns and foreign keys: shape, fan-out, locality, dependence on the parent row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import poisson, rankdata

from relscale.analysis.database import Column, Link, Table

MIN_ROWS = 20
"""Fewer values than this give no skewness, correlation or dependence: NaN."""
_N_LEVELS = 20


@dataclass(frozen=True, slots=True)
class Dependence:
    """How much of a child column its parent row explains.

    eta_squared : adjusted, 0 in expectation for independence, 1 if the parent row determines the value.
    null : the largest of the same measure over permutations of the parents; NaN if there were none.
    """

    column: str
    eta_squared: float
    null: float

    @property
    def found(self) -> bool:
        return self.eta_squared > self.null


def fan_out(link: Link) -> np.ndarray:
    """Children of every parent row; int64 of shape (n_parents,)."""
    return np.bincount(link.parents[link.parents >= 0], minlength=link.n_parents)


def ccdf(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct positive counts k, ascending, and the share of all entries that are at least k."""
    values, times = np.unique(counts, return_counts=True)
    share = times[::-1].cumsum()[::-1] / max(1, len(counts))
    return values[values > 0], share[values > 0]


def poisson_ccdf(mean: float, largest: int) -> np.ndarray:
    """P(K >= k) of a Poisson law for k = 1 to `largest`; float64 of shape (largest,)."""
    return poisson.sf(np.arange(largest), mean)


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of non-negative counts: 0 if all are equal, near 1 if one holds all; NaN if none."""
    n, total = len(counts), counts.sum()
    if total == 0:
        return np.nan
    ranks = np.arange(1, n + 1)
    return float((2 * ranks - n - 1) @ np.sort(counts) / (n * total))


def jump(link: Link) -> float:
    """Mean distance between the parents of adjacent child rows, over that of uniform draws (n_parents / 3).

    1 without locality, near 0 where neighbouring rows share a parent; NaN below two rows with parents.
    """
    parents = link.parents[link.parents >= 0]
    return float(np.abs(np.diff(parents)).mean() / (link.n_parents / 3)) if len(parents) > 1 else np.nan


def skewness(values: np.ndarray) -> float:
    """Third standardised moment of the finite values; NaN for a constant."""
    return _moment(values, 3)


def excess_kurtosis(values: np.ndarray) -> float:
    """Fourth standardised moment of the finite values, less the normal law's 3; NaN for a constant."""
    return _moment(values, 4) - 3


def lag_one(values: np.ndarray) -> float:
    """Correlation of each value with the next one in row order, where both are present; NaN if constant."""
    first, second = values[:-1], values[1:]
    both = np.isfinite(first) & np.isfinite(second)
    return _correlation(first[both], second[both])


def rank_correlations(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Spearman correlation of every pair of columns over their common rows; shape (pairs,).

    Ranks are taken over each column's own values, which differs from ranks within a pair's common rows by
    little where few are missing. Pairs with a constant column are left out.
    """
    if len(columns) < 2 or len(columns[0]) < MIN_ROWS:
        return np.empty(0)
    present = np.isfinite(np.array(columns))
    ranks = np.array([rankdata(column, nan_policy="omit") for column in columns])
    usable = present.sum(axis=1) >= MIN_ROWS
    ranks, present = ranks[usable], present[usable].astype(float)
    means = np.nansum(ranks, axis=1, keepdims=True) / present.sum(axis=1, keepdims=True)
    centred = np.nan_to_num(ranks - means)
    power = centred**2 @ present.T
    with np.errstate(invalid="ignore", divide="ignore"):
        table = centred @ centred.T / np.sqrt(power * power.T)
    pairs = table[np.triu_indices(len(table), 1)]
    return pairs[np.isfinite(pairs)]


def row_correlation(link: Link) -> float:
    """Spearman correlation between a child's row number and its parent's; 0 without drift."""
    rows = np.flatnonzero(link.parents >= 0)
    if len(rows) < MIN_ROWS:
        return np.nan
    return _correlation(rows.astype(float), rankdata(link.parents[rows]))


def dependence(
    link: Link, child: Table, *, n_permutations: int = 0, rng: np.random.Generator | None = None
) -> list[Dependence]:
    """Dependence of every column of the child table on its parent row, strongest first.

    Parameters
    ----------
    link, child : the foreign key and its table. Numbers and times count by their ranks; of categories and
        texts the 20 commonest, and the rest as one.
    n_permutations : of the parents among the rows, for `Dependence.null`; needs `rng`.

    Columns are left out whose value is constant, or whose parents have hardly more than one child each, so
    that nothing can be said.
    """
    results = []
    for column in child.columns:
        if column.kind == "other":
            continue
        parents = link.parents[child.rows]
        used = (parents >= 0) & np.isfinite(column.values)
        groups = np.unique(parents[used], return_inverse=True)[1]
        levels = _levels(column, used)
        value = adjusted_eta_squared(levels, groups)
        if not np.isfinite(value):
            continue
        null = np.nan
        if n_permutations:
            assert rng is not None
            null = max(adjusted_eta_squared(levels, rng.permutation(groups)) for _ in range(n_permutations))
        results.append(Dependence(column.name, value, null))
    return sorted(results, key=lambda result: -result.eta_squared)


def adjusted_eta_squared(levels: np.ndarray, groups: np.ndarray) -> float:
    """Share of the variance of `levels` between groups, adjusted for the number of groups (epsilon squared).

    Parameters
    ----------
    levels : float64 of shape (n, k); several indicator columns give Goodman and Kruskal's tau.
    groups : int64 of shape (n,), values 0 to the number of groups less 1, each of them present.

    Returns
    -------
    1 - (SS_within / (n - groups)) / (SS_total / (n - 1)); NaN for a constant, or if n - groups < 10.
    """
    n = len(groups)
    sizes = np.bincount(groups)
    if n - len(sizes) < 10:
        return np.nan
    levels = levels - levels.mean(axis=0)
    total = float((levels**2).sum())
    if total <= 1e-12 * n:
        return np.nan
    sums = np.array([np.bincount(groups, weights=level) for level in levels.T])
    between = float((sums**2 / sizes).sum())
    return 1 - (total - between) / (n - len(sizes)) / (total / (n - 1))


def evenly(n: int, count: int) -> np.ndarray:
    """At most `count` whole numbers below n, evenly spread; int64, ascending."""
    return np.arange(n) if n <= count else np.linspace(0, n - 1, count).astype(np.int64)


def binned_means(values: np.ndarray, times: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the values and its standard error in each bin of time; float64 (bins,), NaN where empty."""
    used = np.isfinite(values) & np.isfinite(times)
    values, bins = values[used], np.digitize(times[used], edges[1:-1])
    n = np.bincount(bins, minlength=len(edges) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(bins, weights=values, minlength=len(n)) / n
        squares = np.bincount(bins, weights=(values - mean[bins]) ** 2, minlength=len(n))
        return mean, np.sqrt(squares / np.maximum(n - 1, 1) / n)


def time_share(table: Table, column: Column, n_bins: int = 40) -> float:
    """Share of a column's variance between equal bins of its table's time, adjusted; NaN if unknown."""
    if table.times is None or column.kind not in ("number", "boolean"):
        return np.nan
    used = np.isfinite(table.times) & np.isfinite(column.values)
    times = table.times[used]
    if len(times) < MIN_ROWS or times.min() == times.max():
        return np.nan
    bins = np.linspace(times.min(), times.max(), n_bins + 1)[1:-1]
    groups = np.unique(np.digitize(times, bins), return_inverse=True)[1]
    return adjusted_eta_squared(_levels(column, used), groups)


def _levels(column: Column, used: np.ndarray) -> np.ndarray:
    """The used values as columns of numbers: ranks in [0, 1], 0 and 1, or an indicator for each category."""
    values = column.values[used]
    if column.kind == "boolean":
        return values[:, None]
    if column.kind in ("number", "time"):
        return rankdata(values)[:, None] / max(1, len(values))
    codes = np.minimum(values, _N_LEVELS).astype(np.int64)
    return np.eye(_N_LEVELS + 1)[codes][:, : codes.max(initial=0) + 1]


def _moment(values: np.ndarray, power: int) -> float:
    values = values[np.isfinite(values)]
    if len(values) < MIN_ROWS:
        return np.nan
    values = values - values.mean()
    spread = np.sqrt((values**2).mean())
    return float(((values / spread) ** power).mean()) if spread > 1e-12 else np.nan


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if len(first) < MIN_ROWS or first.std() < 1e-12 or second.std() < 1e-12:
        return np.nan
    return float(np.corrcoef(first, second)[0, 1])
