"""Metrics under weights against scikit-learn on the drawn table; intervals over rows and entities."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score, roc_auc_score

from relscale.analysis.resampling import METRICS, interval, score_draws
from relscale.platform.seeds import Purpose, stream

PLAIN = {
    "roc_auc": roc_auc_score,
    "nmae": lambda target, prediction: mean_absolute_error(target, prediction) / 2,
    "r2": r2_score,
    "accuracy": accuracy_score,
}


@pytest.mark.parametrize("metric", METRICS)
def test_a_weight_is_a_repeated_row(metric: str) -> None:
    rng = stream(0, Purpose.EVALUATION)
    target = rng.integers(0, 2, 60).astype(float)
    prediction = (
        np.round(rng.normal(target, 1)) if metric != "accuracy" else rng.integers(0, 2, 60).astype(float)
    )
    weights = rng.integers(0, 4, (5, 60)).astype(float)
    found = METRICS[metric](target, prediction, 2.0)(weights)
    for one, value in zip(weights.astype(int), found, strict=True):
        wanted = PLAIN[metric](np.repeat(target, one), np.repeat(prediction, one))
        assert value == pytest.approx(wanted, rel=1e-10)


def test_rows_of_an_entity_that_agree_widen_the_interval_over_entities() -> None:
    rng = stream(1, Purpose.EVALUATION)
    entity = np.repeat(np.arange(20), 30)
    target = np.zeros(600)
    predictions = {"model": np.repeat(rng.normal(size=20), 30)}
    ends = [
        interval(score_draws("nmae", target, predictions, groups, n_boot=400)["model"])
        for groups in (None, entity)
    ]
    width = [high - low for low, high in ends]  # type: ignore[misc]
    assert width[1] == pytest.approx(width[0] * np.sqrt(30), rel=0.2)


def test_predictors_share_their_draws_and_draws_without_a_score_are_left_out() -> None:
    target = np.array([0.0, 0, 0, 1])
    one = np.array([0.1, 0.2, 0.3, 0.4])
    draws = score_draws("roc_auc", target, {"a": one, "b": 2 * one}, None, n_boot=50)
    np.testing.assert_array_equal(draws["a"], draws["b"])
    assert 0 < np.isnan(draws["a"]).sum() < 50
    assert interval(draws["a"]) == [1.0, 1.0]
    assert interval(np.full(3, np.nan)) is None
