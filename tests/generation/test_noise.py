"""Beta noise: the table of quantiles against the exact law."""

import numpy as np
import pytest
from scipy.stats import beta, kstest

from relscale.generation.noise import QUANTILES, beta_quantiles, sample_noise


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.5, 5), (5, 0.5), (5, 5), (1, 1), (2.3, 0.7)])
def test_quantiles_are_those_of_beta(a: float, b: float) -> None:
    table = beta_quantiles(a, b)
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    assert table.dtype == np.float32
    assert (np.diff(table) >= 0).all()
    # Where float32 cannot resolve the level (x beside 1), the quantile itself is compared.
    error = np.minimum(np.abs(beta.cdf(table, a, b) - levels), np.abs(table - beta.ppf(levels, a, b)))
    assert error.max() < 1e-4


def test_draws_follow_the_law() -> None:
    draws = sample_noise((2000, 25), 0.7, 3.1, rng=np.random.default_rng(0))
    assert draws.dtype == np.float32
    assert kstest(draws.ravel().astype(np.float64), beta(0.7, 3.1).cdf).pvalue > 0.01
