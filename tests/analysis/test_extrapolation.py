"""Fit on small, judge on large: without a leak, and with the errors of plain arithmetic."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.fit import fit_results

WIDE = [2**i for i in range(2, 13)]


def fit(table: pd.DataFrame, n_boot: int = 100) -> dict:
    return fit_results(table, n_boot=n_boot, surfaces=False)["axes"]


def test_scores_are_those_of_the_points(bowl, make_table) -> None:
    for entry in fit(make_table(bowl, sigma=3e-4, seeds=3, n_databases=WIDE)).values():
        test, loss = entry["extrapolation"], np.array([point["loss"] for point in entry["points"]])
        assert test["status"] == "ok"
        n_train = -(-len(loss) // 2)
        assert test["cut"] == entry["points"][n_train - 1]["x"]
        held_out = [point["loss"] for point in test["points"]]
        assert held_out == list(loss[n_train:])
        error = np.array([point["predicted"] for point in test["points"]]) - held_out
        assert test["bias"] == pytest.approx(error.mean())
        assert test["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
        assert test["max_error"] == pytest.approx(np.abs(error).max())
        assert test["skill"] == pytest.approx(
            1 - np.mean(error**2) / np.mean((loss[n_train - 1] - held_out) ** 2)
        )
        inside = [point["low"] <= point["loss"] <= point["high"] for point in test["points"]]
        assert test["coverage"] == np.mean(inside) >= 0.5
        assert [record["n_train"] for record in test["rolling"]] == list(range(n_train, len(loss)))
        assert test["rolling"][0]["rmse"] == test["rmse"]
        assert test["skill"] > 0.7


@pytest.mark.parametrize("surface", ["bowl", "monotone"])
def test_nothing_of_the_large_runs_reaches_the_prediction(
    surface: str, make_table: Callable, request: pytest.FixtureRequest
) -> None:
    table = make_table(request.getfixturevalue(surface), sigma=3e-4, seeds=3, n_databases=WIDE)
    before = fit(table)["n_databases"]["extrapolation"]
    large = table["n_databases"] > before["cut"]
    noise = np.random.default_rng(7).normal(0, 2e-4, int(large.sum()))
    table.loc[large, "loss"] += noise
    after = fit(table)["n_databases"]["extrapolation"]
    assert [point["predicted"] for point in after["points"]] == [
        point["predicted"] for point in before["points"]
    ]
    assert after["rmse"] != before["rmse"]


def test_fewer_than_seven_points_are_no_test(bowl, make_table) -> None:
    entry = fit(make_table(bowl, sigma=1e-4, seeds=3, n_databases=[8, 16, 32, 64, 128]))["n_databases"]
    test = entry["extrapolation"]
    assert (test["status"], test["code"], test["rmse"], test["points"]) == (
        "failed",
        "too_few_points",
        None,
        [],
    )
    assert test["message"].startswith("axis n_databases: 5 points of the law, need at least 7")


def test_one_seed_has_errors_and_no_interval(bowl, make_table) -> None:
    test = fit(make_table(bowl))["n_databases"]["extrapolation"]
    assert test["rmse"] < 5e-4
    assert (test["coverage"], test["points"][0]["low"]) == (None, None)
