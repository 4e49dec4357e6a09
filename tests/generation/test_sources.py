"""Root signals: closed forms, ranges and laws."""

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from relscale.generation import sources
from relscale.generation.config import SourceKind, SourcePrior

PRIOR = SourcePrior()


def draw(kind: SourceKind, n_categories: int = 0, seed: int = 0, n_rows: int = 400, **changes) -> np.ndarray:
    prior = SourcePrior(kinds=(kind,), **changes)
    return sources.sample_source(
        n_rows, n_categories, is_activity=True, prior=prior, rng=np.random.default_rng(seed)
    )


def test_trend_by_row() -> None:
    expected = [min(-1.0 * (r / 7) ** 1.5 + 0.2, 0.9) for r in range(7)]
    np.testing.assert_allclose(sources.trend(7, -1.0, 1.5, 0.2, 0.9), expected)
    assert sources.trend(7, -1.0, 1.5, 0.2, 0.9).min() < 0.2  # no lower clip
    np.testing.assert_allclose(sources.trend(4, 1.0, 0.0, 0.2, 0.9), [0.9] * 4)  # 0 ** 0 is 1


def test_cycle_by_row() -> None:
    expected = [min(max(np.sin(np.pi * r / 4), -0.3), 0.8) for r in range(11)]
    np.testing.assert_allclose(sources.cycle(11, 1.0, 0.31, -0.3, 0.8), expected)


def test_autoregression_by_row() -> None:
    innovations = np.random.default_rng(0).standard_normal(50)
    state, expected = 0.0, []
    for innovation in innovations:
        state = 0.7 * state + innovation
        expected.append(state)
    np.testing.assert_allclose(sources.autoregression(innovations, 0.7), expected)


def test_time_series_of_entity_tables_lose_trend_and_cycle() -> None:
    """With no innovations, an entity signal is constant and an activity signal is not."""
    quiet = SourcePrior(kinds=("ts",), ar_noise_entity=0.0, ar_noise_activity=0.0, value_scales=(1.0,))
    for seed in range(10):
        entity = sources.time_series(200, False, quiet, np.random.default_rng(seed))
        activity = sources.time_series(200, True, quiet, np.random.default_rng(seed))
        assert np.ptp(entity) < 1e-12
        assert np.ptp(activity) > 1e-3


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "beta", "mixed"])
def test_independent_numbers_stay_in_the_scale(kind: SourceKind) -> None:
    for seed in range(20):
        values = draw(kind, seed=seed, value_scales=(10.0,))
        assert values.dtype == np.float32
        assert values.shape == (400,)
        assert 0 <= values.min() < values.max() <= 10


def test_laws_inside_the_range() -> None:
    for seed in range(3):
        uniform = draw("uniform", seed=seed, n_rows=4000)
        low, high = _range(seed)
        assert kstest((uniform - low) / (high - low), "uniform").pvalue > 0.01
        gaussian = draw("gaussian", seed=seed, n_rows=4000)
        z = (gaussian - (low + high) / 2) / ((high - low) / 4)
        assert abs(np.mean(np.abs(z) > 1.99999) - 0.0455) < 0.015  # two standard deviations reach the clip
        assert kstest(z[np.abs(z) < 1.9999], "truncnorm", (-2, 2)).pvalue > 0.01


def _range(seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    rng.integers(1)  # the kind
    scale = PRIOR.value_scales[rng.integers(5)]
    low, high = np.sort(rng.random(2)) * scale
    return low, high


def test_mixtures_use_all_their_components() -> None:
    ranges = [np.unique(np.floor(np.log10(draw("mixed", seed=s) + 1e-9))).size for s in range(40)]
    assert max(ranges) >= 3  # components of several scales in one column


@pytest.mark.parametrize("kind", ["ts", "uniform", "mixed"])
def test_categorical_sources_hold_classes(kind: SourceKind) -> None:
    labels = draw(kind, n_categories=5, n_rows=3000, value_scales=(1.0,))
    assert labels.dtype == np.int64
    assert set(labels) == {0, 1, 2, 3, 4}


def test_independent_class_shares_are_dirichlet() -> None:
    """The first of K classes has share Beta(1, K - 1)."""
    shares = [np.mean(draw("gaussian", n_categories=4, seed=s, n_rows=2000) == 0) for s in range(300)]
    assert kstest(shares, "beta", (1, 3)).pvalue > 0.01


def test_classes_follow_their_row_probabilities() -> None:
    law = np.array([[0.2, 0.0, 0.8], [0.0, 1.0, 0.0]])
    labels = sources.draw_classes(np.repeat(law, 10_000, axis=0), rng=np.random.default_rng(0))
    assert chisquare(np.bincount(labels[:10_000], minlength=3)[[0, 2]], [2000, 8000]).pvalue > 0.01
    assert set(labels[:10_000]) == {0, 2}
    assert set(labels[10_000:]) == {1}
