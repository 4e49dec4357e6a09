"""Two studies of known laws: are their exponents and losses told apart when they are, and only then?"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.compare import compare, fit_studies
from relscale.analysis.studies import Study

AXES = ("n_databases", "tokens")
N_DATABASES = [2**i for i in range(2, 12)]
TOKENS = [65_536_000 * 2**i for i in range(11)]


@pytest.fixture
def study(bowl_at, make_table):
    """`study(name, alpha, seeds, rng)`: a study of a bowl with that exponent."""

    def make(name: str, alpha: float = 0.38, *, seeds: int = 3, rng: int = 0, **settings) -> Study:
        surface = bowl_at(0.117)
        surface.alpha = alpha
        settings = {"n_databases": N_DATABASES, "tokens": TOKENS} | settings
        table = make_table(surface, sigma=3e-4, seeds=seeds, rng=np.random.default_rng(rng), **settings)
        return Study(name=name, path=Path(name), table=table, held_out="the same")

    return make


def compared(*studies: Study, n_boot: int = 200) -> dict:
    result = compare(fit_studies(studies, n_boot=n_boot), n_boot=n_boot)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    return result


def test_exponents_apart_are_told_apart(study) -> None:
    (pair,) = compared(study("a"), study("b", 0.28, rng=1))["pairs"]
    for axis, truth in zip(AXES, (-0.10, -0.10 / 0.79), strict=True):
        found = pair["axes"][axis]
        low, high = found["ci95"]
        assert found["verdict"] == "differ"
        assert low < found["difference"] < high < 0
        assert low < truth < high or abs(found["difference"] - truth) < 0.02
    assert pair["loss"]["verdict"] == "differ" and pair["loss"]["difference"] > 0
    assert pair["loss"]["points"] == len(N_DATABASES) * len(TOKENS)


def test_equal_laws_cannot_be_told_apart(study) -> None:
    result = compared(study("a"), study("b", rng=1), study("c", rng=2))
    assert [(pair["first"], pair["second"]) for pair in result["pairs"]] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
    verdicts = [pair["axes"][axis]["verdict"] for pair in result["pairs"] for axis in AXES]
    verdicts += [pair["loss"]["verdict"] for pair in result["pairs"]]
    assert verdicts.count("not_told_apart") >= 8, "one of nine in twenty is chance"


def test_the_interval_of_a_difference_covers_it(study) -> None:
    """Over 12 pairs of small studies; of 200 pairs it were 97 % along N and 92 % along S."""
    small = {"n_databases": N_DATABASES[1:9], "tokens": TOKENS[1:]}
    inside = []
    for k in range(12):
        (pair,) = compared(study("a", rng=2 * k, **small), study("b", 0.33, rng=2 * k + 1, **small))["pairs"]
        found = pair["axes"]["n_databases"]
        if found["ci95"]:
            inside.append(found["ci95"][0] < -0.05 < found["ci95"][1])
    assert len(inside) > 8 and np.mean(inside) >= 0.8


def test_a_study_without_a_law_or_an_interval_says_so(study, monotone, make_table) -> None:
    few = Study(
        name="few",
        path=Path("few"),
        table=make_table(monotone, seeds=2, sigma=1e-3, n_databases=[8, 16], tokens=TOKENS),
        held_out="the same",
    )
    (pair,) = compared(study("a"), few)["pairs"]
    assert pair["axes"]["n_databases"] == {
        "verdict": "no_law",
        "difference": None,
        "ci95": None,
        "failed_draws": None,
    }
    (pair,) = compared(study("a"), study("b", seeds=1))["pairs"]
    assert {pair["axes"][axis]["verdict"] for axis in AXES} == {"no_interval"}
    assert pair["axes"]["tokens"]["difference"] is not None
    assert pair["loss"]["ci95"] is not None and pair["loss"]["at"][0]["low"] is None


def test_a_frontier_and_a_boundary_are_not_compared(study, monotone, make_table) -> None:
    table = make_table(monotone, sigma=1e-4, seeds=3, n_databases=N_DATABASES, tokens=TOKENS)
    edge = Study(name="edge", path=Path("edge"), table=table, held_out=None)
    (pair,) = compared(study("a"), edge)["pairs"]
    assert pair["axes"]["n_databases"]["verdict"] == "unlike_laws"
    assert pair["held_out"] == "unknown"


def test_losses_on_other_databases_are_not_compared(study) -> None:
    other = study("b", rng=1)
    other = Study(name="b", path=other.path, table=other.table, held_out="others")
    (pair,) = compared(study("a"), other)["pairs"]
    assert (pair["held_out"], pair["loss"]) == ("different", None)
    assert pair["axes"]["tokens"]["ci95"] is not None


def test_grids_without_a_common_point(study) -> None:
    (pair,) = compared(study("a"), study("b", rng=1, tokens=[s + 1024 for s in TOKENS]), n_boot=100)["pairs"]
    assert pair["held_out"] == "same" and pair["loss"] is None


def by_database(study: Study, effects: np.ndarray, own: float, seed: int) -> Study:
    """The study with losses on each database: an effect that all studies share, and a part of its own."""
    rng = np.random.default_rng(seed)
    shifts = effects + own * rng.normal(size=len(effects))
    shifts -= shifts.mean()
    rows = [
        study.table.assign(database=f"d{d}", loss=study.table["loss"] + shift)
        for d, shift in enumerate(shifts)
    ]
    return Study(
        name=study.name,
        path=study.path,
        table=study.table,
        held_out=study.held_out,
        per_database=pd.concat(rows, ignore_index=True),
    )


def test_effects_that_databases_have_in_both_studies_cancel(study) -> None:
    effects = np.random.default_rng(5).normal(0, 0.1, 30)
    first, second = study("a"), study("b", rng=1)
    alike = compared(by_database(first, effects, 0.0, 1), by_database(second, effects, 0.0, 2))["pairs"][0]
    apart = compared(by_database(first, effects, 0.01, 1), by_database(second, effects, 0.01, 2))["pairs"][0]
    plain = compared(first, second)["pairs"][0]
    assert alike["shared_databases"] == apart["shared_databases"] == 30
    assert plain["shared_databases"] == 0

    def width(interval: list[float]) -> float:
        return interval[1] - interval[0]

    assert width(alike["loss"]["ci95"]) == pytest.approx(width(plain["loss"]["ci95"]), rel=0.02)
    expected = 2 * 1.96 * 0.01 * np.sqrt(2 / 30)
    assert width(apart["loss"]["ci95"]) == pytest.approx(expected, rel=0.35)
    point = apart["loss"]["at"][0]
    assert point["high"] - point["low"] > 3 * (plain["loss"]["at"][0]["high"] - plain["loss"]["at"][0]["low"])
    for axis in AXES:  # a shift of all points moves the offsets, not the exponents
        assert width(alike["axes"][axis]["ci95"]) == pytest.approx(
            width(plain["axes"][axis]["ci95"]), rel=0.1
        )
