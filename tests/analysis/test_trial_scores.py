"""Scores of many networks: their table, its choice by loss, and rank correlations with their intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from study_fit import N, S, study_scores

from relscale.analysis.trial_scores import agreement, agreement_sentence, best_other, score_table

ENTRY = {
    "dataset": "rel-f1", "task": "driver-position", "split": "test", "metric": "nmae",
    "visibility": "strict", "value": 0.5, "ci95": [0.4, 0.6], "ci95_entities": [0.3, 0.7],
    "baselines": {"global_mean": 0.8}, "difference": {"verdict": "better"},
    "r2": {"value": 0.2, "ci95": [0.1, 0.3], "ci95_entities": None, "baselines": {"global_mean": 0.0},
           "difference": {"verdict": "level"}},
}  # fmt: skip


def networks(loss: np.ndarray, value: np.ndarray, metric: str = "roc_auc") -> pd.DataFrame:
    """One task, scored by networks of one seed each."""
    count = len(loss)
    return pd.DataFrame(
        {"key": [f"{place}" for place in range(count)], "n_databases": range(1, count + 1), "tokens": 1024,
         "seed": 0, "loss": loss, "dataset": "d", "task": "t", "split": "test", "metric": metric,
         "visibility": "temporal", "value": value}
    )  # fmt: skip


def test_a_regression_has_two_rows_and_only_named_trials_count() -> None:
    results = pd.DataFrame(
        {"key": ["a", "b"], "n_databases": [2, 4], "tokens": 8, "seed": 1, "loss": [0.4, 0.3]}
    )
    table = score_table({"b": [ENTRY]}, results)
    assert table["metric"].tolist() == ["nmae", "r2"]
    assert table[["low", "high", "verdict"]].values.tolist() == [[0.3, 0.7, "better"], [0.1, 0.3, "level"]]
    assert (table["loss"] == 0.3).all() and (table["n_databases"] == 4).all()
    assert table["baseline_global_mean"].tolist() == [0.8, 0.0]
    assert set(table["visibility"]) == {"strict"}


@pytest.mark.parametrize(("metric", "sign"), [("roc_auc", -1), ("nmae", 1)])
def test_agreement_is_spearmans_with_better_scores_up(metric: str, sign: int) -> None:
    rng = np.random.default_rng(0)
    loss = rng.normal(size=60)
    value = sign * loss + rng.normal(size=60)
    found, ends = agreement(networks(loss, value, metric), n_boot=400)
    assert found == pytest.approx(sign * spearmanr(loss, value).statistic)
    assert ends is not None and found is not None
    assert ends[0] < found < ends[1]
    # Fisher's interval of a rank correlation, with the variance of Bonett and Wright (2000)
    half = 1.96 * np.sqrt((1 + found**2 / 2) / 57)
    expected = np.tanh(np.arctanh(found) + np.array([-half, half]))
    assert ends == pytest.approx(list(expected), abs=0.08)


def test_seeds_of_a_point_are_drawn_together() -> None:
    rng = np.random.default_rng(1)
    loss, value = rng.normal(size=30), rng.normal(size=30)
    once = networks(loss, value)
    copies = pd.concat([once.assign(seed=seed) for seed in range(8)], ignore_index=True)
    widths = [np.ptp(agreement(table, n_boot=300)[1]) for table in (once, copies)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1), "copies are no new evidence"


def test_words_of_better_and_worse() -> None:
    loss, rng = np.linspace(0, 1, 40), np.random.default_rng(2)
    assert "goes with a better score (rank correlation 1.00" in agreement_sentence(
        networks(loss, -loss), n_boot=100
    )
    assert "goes with a worse score" in agreement_sentence(networks(loss, -loss, "nmae"), n_boot=100)
    noise = networks(loss, rng.normal(size=40))
    assert "not related beyond chance" in agreement_sentence(noise, n_boot=200)
    assert "all 40 networks are alike" in agreement_sentence(networks(loss, 0 * loss), n_boot=10)


def test_the_other_axis_is_chosen_by_loss_alone() -> None:
    table = study_scores()
    shown = best_other(table, "n_databases", "tokens")
    for n in N:
        means = table[table["n_databases"] == n].groupby("tokens")["loss"].mean()
        assert set(shown.loc[shown["n_databases"] == n, "tokens"]) == {means.idxmin()}
    assert len(shown) == 2 * len(N) and set(table["tokens"]) == set(S[1:4])
