"""Measures against closed forms, plain loops and scipy."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from relscale.analysis import statistics
from relscale.analysis.database import Link, read_database


def link(parents, n_parents) -> Link:
    return Link(child="a", key="k", parent="b", parents=np.asarray(parents), n_parents=n_parents, n_broken=0)


def test_fan_out_counts_children_and_ignores_those_without_parent():
    np.testing.assert_array_equal(statistics.fan_out(link([0, 2, 2, -1, 2], 4)), [1, 0, 3, 0])


def test_ccdf_is_the_share_that_is_at_least_k():
    values, shares = statistics.ccdf(np.array([0, 0, 1, 1, 1, 4, 7, 7]))
    np.testing.assert_array_equal(values, [1, 4, 7])
    np.testing.assert_allclose(shares, [6 / 8, 3 / 8, 2 / 8])


def test_poisson_ccdf_is_that_of_uniform_draws():
    rng = np.random.default_rng(0)
    counts = np.bincount(rng.integers(0, 20_000, 60_000), minlength=20_000)
    values, shares = statistics.ccdf(counts)
    np.testing.assert_allclose(shares, statistics.poisson_ccdf(3.0, values[-1])[values - 1], atol=0.012)


@pytest.mark.parametrize("counts", [[5, 5, 5], [0, 0, 9], [1, 2, 3, 10]])
def test_gini_is_the_mean_absolute_difference(counts):
    counts = np.array(counts)
    differences = np.abs(counts[:, None] - counts).mean()
    assert statistics.gini(counts) == pytest.approx(differences / (2 * counts.mean()))


def test_gini_of_nothing_is_unknown():
    assert np.isnan(statistics.gini(np.zeros(4, dtype=int)))


def test_jump_is_one_for_uniform_draws_and_small_for_neighbours():
    rng = np.random.default_rng(1)
    assert statistics.jump(link(rng.integers(0, 500, 40_000), 500)) == pytest.approx(1, abs=0.02)
    assert statistics.jump(link(np.arange(40_000) // 80, 500)) < 0.001
    assert np.isnan(statistics.jump(link([3], 9)))


def test_row_correlation_sees_one_order_of_both_tables():
    assert statistics.row_correlation(link(np.arange(900) // 3, 300)) == pytest.approx(1, abs=1e-4)
    assert statistics.row_correlation(link(299 - np.arange(900) // 3, 300)) == pytest.approx(-1, abs=1e-4)


def test_moments_of_known_laws():
    rng = np.random.default_rng(2)
    exponential = rng.exponential(size=400_000)
    assert statistics.skewness(exponential) == pytest.approx(2, abs=0.05)
    assert statistics.excess_kurtosis(exponential) == pytest.approx(6, abs=0.6)
    assert statistics.excess_kurtosis(rng.uniform(size=400_000)) == pytest.approx(-1.2, abs=0.01)
    assert np.isnan(statistics.skewness(np.full(50, 3.0)))


def test_lag_one_recovers_an_autoregression_across_gaps():
    rng = np.random.default_rng(3)
    values = np.zeros(50_000)
    for place in range(1, len(values)):
        values[place] = 0.7 * values[place - 1] + rng.normal()
    values[rng.random(len(values)) < 0.1] = np.nan
    assert statistics.lag_one(values) == pytest.approx(0.7, abs=0.015)


def test_rank_correlations_are_spearmans():
    rng = np.random.default_rng(4)
    table = rng.normal(size=(300, 4)).round(1)  # with ties
    table[:, 1] += table[:, 0]
    expected = spearmanr(table).statistic[np.triu_indices(4, 1)]
    np.testing.assert_allclose(statistics.rank_correlations(list(table.T)), expected, atol=1e-12)


def test_rank_correlations_leave_out_constants_and_bear_gaps():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(3, 2000))
    values[1] = np.exp(values[0])
    values[2] = 1.0
    values[0, rng.random(2000) < 0.1] = np.nan
    (correlation,) = statistics.rank_correlations(list(values))
    assert correlation == pytest.approx(1, abs=0.002)


def plain_epsilon_squared(values: np.ndarray, groups: np.ndarray) -> float:
    """One-way analysis of variance, group by group."""
    within = sum(((values[groups == g] - values[groups == g].mean()) ** 2).sum() for g in set(groups))
    total = ((values - values.mean()) ** 2).sum()
    n = len(values)
    return float(1 - (within / (n - len(set(groups)))) / (total / (n - 1)))


def test_eta_squared_is_the_analysis_of_variance():
    rng = np.random.default_rng(6)
    groups = np.unique(rng.integers(0, 40, 200), return_inverse=True)[1]
    values = rng.normal(size=200) + 0.3 * groups
    expected = plain_epsilon_squared(values, groups)
    assert statistics.adjusted_eta_squared(values[:, None], groups) == pytest.approx(expected)


def test_eta_squared_is_zero_on_average_without_dependence():
    rng = np.random.default_rng(7)
    draws = [
        statistics.adjusted_eta_squared(
            rng.normal(size=(90, 1)), np.unique(rng.integers(0, 60, 90), return_inverse=True)[1]
        )
        for _ in range(400)
    ]
    assert np.mean(draws) == pytest.approx(0, abs=4 * np.std(draws) / 20)
    assert np.std(draws) > 0.05


def test_eta_squared_is_unknown_for_constants_and_single_children():
    assert np.isnan(statistics.adjusted_eta_squared(np.ones((50, 1)), np.arange(50) % 5))
    assert np.isnan(statistics.adjusted_eta_squared(np.arange(50.0)[:, None], np.arange(50)))


def test_dependence_finds_the_column_that_the_parent_makes(shop):
    database = read_database(shop.folder)
    links = {link.key: link for link in database.links}
    rng = np.random.default_rng(8)
    orders = database.tables["orders"]
    found = statistics.dependence(links["customer"], orders, n_permutations=39, rng=rng)
    assert found[0].column == "price" and found[0].eta_squared == pytest.approx(1) and found[0].found
    by_name = {result.column: result for result in found}
    assert "empty" not in by_name and "list" not in by_name and "note" in by_name
    assert abs(by_name["noise"].eta_squared) < 0.1
    packed = statistics.dependence(links["packer"], orders, n_permutations=39, rng=rng)
    assert next(result for result in packed if result.column == "sent").eta_squared > 0.99


def test_the_permutation_null_is_rarely_passed_without_dependence():
    rng = np.random.default_rng(9)
    passed = 0
    for _ in range(200):
        levels, groups = rng.normal(size=(60, 1)), np.unique(rng.integers(0, 12, 60), return_inverse=True)[1]
        null = max(statistics.adjusted_eta_squared(levels, rng.permutation(groups)) for _ in range(39))
        passed += statistics.adjusted_eta_squared(levels, groups) > null
    assert passed <= 15  # 5 are expected, 15 has a chance of 1e-4


def test_binned_means_and_their_errors():
    times = np.array([0.0, 0.4, 0.9, 2.2, np.nan, 2.9])
    values = np.array([1.0, 3.0, np.nan, 5.0, 9.0, 5.0])
    mean, error = statistics.binned_means(values, times, np.array([0.0, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(mean, [2, np.nan, 5])
    np.testing.assert_allclose(error, [1, np.nan, 0])


def test_evenly_spreads_over_the_whole():
    np.testing.assert_array_equal(statistics.evenly(3, 5), [0, 1, 2])
    np.testing.assert_array_equal(statistics.evenly(101, 5), [0, 25, 50, 75, 100])
