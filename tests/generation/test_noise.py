"""Beta noise: the table of quantiles against the exact law, and the draws from it."""

import numpy as np
import pytest
from scipy.stats import beta, kstest

from relscale.generation.noise import DENSITY_KNOTS, NOISE_LEVELS, blur, fill_quantiles
from relscale.generation.tiles import TILE, WIDTH

KEYS = (np.uint32(5), np.uint32(6))


def beta_quantiles(a: float, b: float) -> np.ndarray:
    table = np.empty(NOISE_LEVELS, np.float32)
    fill_quantiles(float(a), float(b), np.float32(1), table, np.empty(DENSITY_KNOTS, np.float32))
    return table


def draw(levels: np.ndarray, row: int, lanes: int = TILE) -> np.ndarray:
    embeddings = np.zeros((WIDTH, lanes), np.float32)
    blur(embeddings, levels, row, KEYS, np.empty(WIDTH * TILE, np.uint16))
    return embeddings


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.5, 5), (5, 0.5), (5, 5), (1, 1), (2.3, 0.7)])
def test_quantiles_are_those_of_beta(a: float, b: float) -> None:
    table = beta_quantiles(a, b)
    levels = (np.arange(NOISE_LEVELS) + 0.5) / NOISE_LEVELS
    assert table.dtype == np.float32
    assert (np.diff(table) >= 0).all()
    # Where float32 cannot resolve the level (x beside 1), the quantile itself is compared.
    error = np.minimum(np.abs(beta.cdf(table, a, b) - levels), np.abs(table - beta.ppf(levels, a, b)))
    assert error.max() < 1e-4


def test_draws_follow_the_law_and_are_independent() -> None:
    draws = np.stack([draw(beta_quantiles(0.7, 3.1), row) for row in range(0, 60 * TILE, TILE)])
    assert kstest(draws.ravel()[::3].astype(np.float64), beta(0.7, 3.1).cdf).pvalue > 0.01
    rows = draws.transpose(0, 2, 1).reshape(-1, WIDTH)
    correlation = np.corrcoef(np.concatenate([rows[1:], rows[:-1]], axis=1).T)
    off_diagonal = np.abs(correlation - np.eye(2 * WIDTH)).max()
    assert off_diagonal < 5.5 / np.sqrt(len(rows))


def test_noise_belongs_to_the_row_and_not_to_the_tile() -> None:
    levels = beta_quantiles(2, 2)
    np.testing.assert_array_equal(draw(levels, 0)[:, 64:96], draw(levels, 64, 32))
