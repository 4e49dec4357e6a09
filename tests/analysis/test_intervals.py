"""Intervals of draws."""

import numpy as np
import pytest
from scipy import stats

from relscale.analysis.intervals import effective_dof, interval, percentiles


def test_percentiles_widen_as_students_t() -> None:
    draws = np.random.default_rng(0).normal(size=200_000)
    assert percentiles(draws, 5) == pytest.approx([-2.571, 2.571], abs=0.04)
    assert percentiles(draws, 10**6) == pytest.approx([-1.96, 1.96], abs=0.03)


def test_skewed_draws_get_bca() -> None:
    """The mean of 20 exponentials: BCa comes nearer to the exact interval than percentiles."""
    rng = np.random.default_rng(3)
    sample = rng.exponential(size=20)
    draws = rng.choice(sample, (40_000, 20)).mean(1)
    jackknife = (sample.sum() - sample) / 19
    ends, method = interval(np.exp(6 * draws), np.exp(6 * sample.mean()), np.exp(6 * jackknife), 10**6)
    assert method == "bca"
    plain, method = interval(draws, sample.mean(), jackknife, 10**6)
    assert method == "percentile"
    exact = 2 * sample.sum() / stats.chi2.ppf([0.975, 0.025], 40)
    bca = np.log(ends) / 6
    assert np.abs(bca - exact).sum() < np.abs(plain - exact).sum()


def test_effective_degrees_of_freedom() -> None:
    assert effective_dof(np.ones(8), np.full(8, 2.0)) == pytest.approx(16)
    assert effective_dof(np.array([1.0, 1e-9]), np.full(2, 2.0)) == pytest.approx(2)
