"""Forecasts: what they say, and where they stop."""

import json

import numpy as np
import pytest

from relscale.analysis.fit import fit_results
from relscale.analysis.forecast import forecast, parse_request
from relscale.analysis.laws import power_law
from relscale.analysis.results import AnalysisError
from relscale.analysis.verdict import verdict_sentences

WIDE = [2**i for i in range(2, 13)]


@pytest.fixture(scope="module")
def fit(bowl, make_table) -> dict:
    table = make_table(bowl, sigma=3e-4, seeds=3, n_databases=WIDE)
    requests = [("n_databases", 6000), ("tokens", 5e10), ("n_databases", 10**6)]
    return fit_results(table, n_boot=200, surfaces=False, forecasts=requests)


def test_a_forecast_is_the_law_with_its_interval(fit: dict, bowl) -> None:
    entry = json.loads(json.dumps(fit["axes"]["n_databases"]))
    largest = entry["points"][-1]["x"]
    said = forecast(entry, 2 * largest)
    assert said["loss"] == power_law(2 * largest, entry["E"], entry["A"], entry["alpha"])
    assert said["low"] < bowl.E + bowl.A * (2 * largest) ** -bowl.alpha < said["high"]
    assert said["tested"]
    edge, ends = forecast(entry, largest), entry["band"]
    assert [edge["low"], edge["high"]] == pytest.approx([ends["low"][-1], ends["high"][-1]])
    tokens = fit["axes"]["tokens"]
    assert forecast(tokens, 2e10)["loss"] == power_law(20.0, tokens["E"], tokens["A"], tokens["alpha"])


def test_records_and_sentences(fit: dict) -> None:
    near, tokens, far = fit["forecasts"]
    assert (near["axis"], near["x"], near["code"]) == ("n_databases", 6000, None)
    assert near["low"] < near["loss"] < near["high"]
    assert tokens["axis"] == "tokens"
    assert (far["code"], far["loss"]) == ("extrapolation_too_far", None)
    sentences = verdict_sentences(fit)
    assert any(sentence.startswith("Forecast for 6,000 databases: loss 0.36") for sentence in sentences)
    assert any(
        sentence.startswith("No forecast for 1 M databases: requested 1 M is") for sentence in sentences
    )


def test_too_far_names_the_numbers(fit: dict, bowl, make_table) -> None:
    entry = fit["axes"]["n_databases"]
    largest = entry["points"][-1]["x"]
    with pytest.raises(
        AnalysisError, match=r"is 5 times the largest fitted value .*reach a factor 4"
    ) as caught:
        forecast(entry, 5 * largest)
    assert caught.value.code == "extrapolation_too_far"
    with pytest.raises(AnalysisError, match=r"times below the smallest fitted value"):
        forecast(entry, 0.1)
    noisy = make_table(bowl, sigma=6e-3, seeds=3, rng=np.random.default_rng(2))
    vague = fit_results(noisy, n_boot=200, surfaces=False)["axes"]["n_databases"]
    assert vague["forecast"]["horizon"] < 4 * vague["points"][-1]["x"]
    with pytest.raises(AnalysisError, match="interval of the improvement is wider than the improvement"):
        forecast(vague, 3.9 * vague["points"][-1]["x"])


def test_an_axis_without_a_law_has_no_forecast(bowl_at, make_table) -> None:
    table = make_table(bowl_at(1e-6), sigma=1e-4, seeds=2)
    requests = [("n_databases", 2000.0)]
    record = fit_results(table, n_boot=0, surfaces=False, forecasts=requests)["forecasts"][0]
    assert record["code"] == "no_interior_optimum"
    assert "no law to forecast 2,000 from: axis n_databases: minimum at the low end" in record["message"]


def test_requests_of_the_command_line() -> None:
    assert parse_request("n_databases=4096") == ("n_databases", 4096.0)
    assert parse_request("tokens=2e9") == ("tokens", 2e9)
    for text in ("databases=1", "tokens", "tokens=many", "tokens=-1", "tokens=inf"):
        with pytest.raises(
            AnalysisError, match=f"a forecast at '{text}' cannot be read; write n_databases=NUMBER"
        ):
            parse_request(text)
