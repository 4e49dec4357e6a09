"""Laws of whole tables: recovery and coverage, and a verdict wherever the data give no number."""

import json
import time

import numpy as np
import pandas as pd
import pytest

from relscale.analysis import fit as module
from relscale.analysis.axis import warn_of_disagreement
from relscale.analysis.points import Law
from relscale.analysis.results import AnalysisError
from relscale.analysis.robust import RobustFit

AXIS_KEYS = {"status", "code", "E", "A", "alpha", "ci95", "ci95_method", "u_shape", "slices", "points",
             "band", "warnings", "correlation_E_alpha", "rmse", "objective", "profile", "forms",
             "sensitivity", "extrapolation", "forecast"}  # fmt: skip
SLICE_KEYS = {"at", "status", "x_opt", "loss_opt", "ci95", "kind", "drop_share", "systematic"}
AXES = ("n_databases", "tokens")


def fit_results(table: pd.DataFrame, **options) -> dict:
    """Without whole surfaces, which have tests of their own and take most of the time."""
    return module.fit_results(table, **({"surfaces": False} | options))


def codes(entry: dict) -> set[str]:
    return {warning["code"] for warning in entry["warnings"]}


def message(entry: dict, code: str) -> str:
    return next(warning["message"] for warning in entry["warnings"] if warning["code"] == code)


def check_contract(fit: dict) -> None:
    """The written structure of fit.json: keys, values, and nothing that JSON cannot hold."""
    assert json.loads(json.dumps(fit, allow_nan=False)) == fit
    assert fit.keys() == {"axes", "ridge", "surface", "rows", "noise", "settings", "missing", "forecasts"}
    assert {"read", "used", "dropped"} <= fit["rows"].keys()
    assert set(fit["ridge"]) == {"tokens_of_n", "n_of_tokens", "consistency"}
    for entry in fit["axes"].values():
        assert entry.keys() == AXIS_KEYS
        assert entry["status"] in ("ok", "boundary", "failed")
        assert entry["u_shape"] in ("u_shape", "monotone", "flat", "inconclusive")
        failed = entry["status"] == "failed"
        assert (entry["code"] is not None) == failed
        assert all((entry[name] is None) == failed for name in ("E", "A", "alpha"))
        assert not failed or entry["code"] in codes(entry)
        for record in entry["slices"]:
            assert set(record) == SLICE_KEYS
            assert record["status"] in ("interior", "edge", "flat")
            assert record["kind"] in ("u_shape", "decreasing", "increasing", "flat", "inconclusive")
        if entry["ci95"]:
            assert set(entry["ci95"]) == {"E", "A", "alpha"}
            assert all(low < high for low, high in entry["ci95"].values())


def test_a_bowl_with_three_seeds(bowl, make_table) -> None:
    fit = fit_results(make_table(bowl, sigma=3e-4, seeds=3, n_databases=[2**i for i in range(2, 13)]))
    check_contract(fit)
    for axis, alpha in (("n_databases", bowl.alpha), ("tokens", bowl.beta)):
        entry = fit["axes"][axis]
        assert (entry["status"], entry["u_shape"]) == ("ok", "u_shape")
        low, high = entry["ci95"]["alpha"]
        assert low < alpha < high
        assert low < entry["alpha"] < high
        assert entry["E"] == pytest.approx(bowl.E, abs=0.004)
    low, high = fit["ridge"]["tokens_of_n"]["ci95"]
    assert low < bowl.m < high
    assert fit["noise"]["sd"] == pytest.approx(3e-4, rel=0.15)


def test_coverage_of_the_interval(bowl, make_table) -> None:
    """24 tables of 3 seeds: binomial 95 % coverage is 19 or more with probability 99.9 %.

    benchmarks/fit_coverage.py does the same with 200 tables of each law.
    """
    rng = np.random.default_rng(11)
    covered = 0
    for draw in range(24):
        fit = fit_results(make_table(bowl, sigma=3e-4, seeds=3, rng=rng), n_boot=200, seed=draw)
        low, high = fit["axes"]["n_databases"]["ci95"]["alpha"]
        covered += low <= bowl.alpha <= high
    assert covered >= 19


def test_monotone_tables_are_never_called_u_shaped(monotone, make_table) -> None:
    rng = np.random.default_rng(3)
    verdicts = []
    for sigma in (3e-4, 1e-3, 3e-3) * 4:
        fit = fit_results(make_table(monotone, sigma=sigma, seeds=3, rng=rng), n_boot=0)
        verdicts += [fit["axes"][axis]["u_shape"] for axis in AXES]
    assert verdicts.count("u_shape") <= 3
    assert verdicts.count("monotone") >= 0.8 * len(verdicts)


def test_a_monotone_table_has_boundary_laws(monotone, make_table) -> None:
    table = make_table(monotone, sigma=3e-4, seeds=3, rng=np.random.default_rng(1))
    fit = fit_results(table)
    check_contract(fit)
    for axis, alpha in (("n_databases", 0.38), ("tokens", 0.48)):
        entry = fit["axes"][axis]
        assert (entry["status"], entry["code"], entry["u_shape"]) == ("boundary", None, "monotone")
        assert entry["ci95"]["alpha"][0] < alpha < entry["ci95"]["alpha"][1]
        assert {record["status"] for record in entry["slices"]} == {"edge"}
    text = message(fit["axes"]["n_databases"], "not_u_shaped")
    assert "no U-shape in 8 of 8 slices; reporting the slice at tokens=67.1 B as a boundary law" in text
    assert fit["ridge"]["tokens_of_n"]["exponent"] is None
    assert module.fit_results(table, n_boot=0)["surface"]["status"] == "ok"


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(
    ("k", "ends"),
    [
        (1e4, ("high end in all 8 slices; extend tokens above 67.1 B",
               "low end in all 10 slices; extend n_databases below 8")),
        (1e-6, ("low end in all 8 slices; extend tokens below 131 M",
                "high end in all 10 slices; extend n_databases above 1,024")),
    ],
)  # fmt: skip
def test_an_optimum_off_the_grid_gives_no_exponent(bowl_at, make_table, k, ends, seeds) -> None:
    fit = fit_results(make_table(bowl_at(k), sigma=1e-4, seeds=seeds))
    check_contract(fit)
    for axis, end in zip(AXES, ends, strict=True):
        entry = fit["axes"][axis]
        assert (entry["status"], entry["code"], entry["alpha"]) == ("failed", "no_interior_optimum", None)
        assert end in message(entry, "no_interior_optimum")


def test_few_interior_slices(bowl, make_table) -> None:
    tokens = [131_072_000 * 2**i for i in range(4)]
    entry = fit_results(make_table(bowl, tokens=tokens))["axes"]["n_databases"]
    n_interior = sum(record["status"] == "interior" for record in entry["slices"])
    assert 0 < n_interior < 4
    assert entry["code"] == "too_few_interior"
    assert f"{n_interior} of 8 slices have an interior minimum, need 4; edge slices at" in message(
        entry, "too_few_interior"
    )


def test_four_or_five_interior_slices_say_so(bowl, make_table) -> None:
    table = make_table(bowl, sigma=1e-4, seeds=3, n_databases=[8, 16, 32, 64])
    entry = fit_results(table)["axes"]["n_databases"]
    assert (entry["status"], entry["ci95"]) == ("ok", None)
    assert "4 of 4 slices have an interior minimum, 6 are needed" in message(entry, "too_few_interior")
    assert "span 3.0 octaves, 4 are needed" in message(entry, "too_few_points")
    table = make_table(bowl, sigma=1e-4, seeds=3, n_databases=[8, 16, 32, 64, 128])
    entry = fit_results(table)["axes"]["n_databases"]
    assert entry["ci95"] is not None
    assert "the interval is indicative" in message(entry, "too_few_interior")


def test_four_points_of_a_boundary_law_have_no_interval(monotone, make_table) -> None:
    table = make_table(monotone, sigma=1e-4, seeds=3, n_databases=[8, 16, 32, 64], tokens=[10**9])
    entry = fit_results(table)["axes"]["n_databases"]
    assert (entry["status"], entry["ci95"], entry["band"]) == ("boundary", None, None)
    assert "4 points for three parameters; no interval is reported" in message(entry, "too_few_points")
    assert "the law at tokens=1 B, its only value" in message(entry, "not_u_shaped")


def test_one_seed_claims_neither_interval_nor_shape(bowl, make_table) -> None:
    fit = fit_results(make_table(bowl))
    check_contract(fit)
    for axis in AXES:
        entry = fit["axes"][axis]
        assert (entry["status"], entry["ci95"], entry["u_shape"]) == ("ok", None, "inconclusive")
        assert "no grid point has two seeds" in message(entry, "single_seed")


def test_noise_alone_makes_no_law(make_table) -> None:
    rng = np.random.default_rng(8)
    for _ in range(20):
        fit = fit_results(make_table(lambda n, s: 0.4, sigma=1e-3, seeds=3, rng=rng), n_boot=0)
        check_contract(fit)
        for entry in fit["axes"].values():
            assert (entry["status"], entry["u_shape"]) == ("failed", "flat")
            assert entry["code"] in ("no_interior_optimum", "exponent_at_bound", "too_few_interior")


def test_an_offset_that_the_points_do_not_fix(monotone, make_table) -> None:
    table = make_table(monotone, sigma=2e-3, seeds=2, n_databases=[8, 16, 32, 64, 128], tokens=[10**9])
    entry = fit_results(table, seed=1)["axes"]["n_databases"]
    assert entry["status"] == "boundary"
    assert "exponent" in message(entry, "offset_not_identifiable")


def test_draws_without_a_frontier_are_counted(bowl, make_table) -> None:
    """Minima close to the grid's end: in some draws too few slices are left."""
    table = make_table(bowl, sigma=4e-3, seeds=3, tokens=[131_072_000 * 2**i for i in range(7)])
    entry = fit_results(table)["axes"]["tokens"]
    assert entry["status"] == "ok"
    assert "% of 1000 draws had no valid frontier" in message(entry, "bootstrap_degenerate")


@pytest.mark.parametrize(
    ("n", "tokens", "seeds"),
    [((8, 16, 32), 3, 1), ((64,), 10, 3), ((64,), 1, 1), ((8, 16, 32, 64, 128), 1, 2), ((8, 16), 2, 2)],
)
def test_awkward_shapes_get_verdicts(monotone, make_table, n, tokens, seeds) -> None:
    budgets = [131_072_000 * 2**i for i in range(tokens)]
    fit = fit_results(make_table(monotone, sigma=1e-4, seeds=seeds, n_databases=n, tokens=budgets))
    check_contract(fit)
    if len(n) < 4:
        assert fit["axes"]["n_databases"]["code"] == "too_few_points"
        assert f"{len(n)} distinct value" in message(fit["axes"]["n_databases"], "too_few_points")
    if tokens == 10:
        assert fit["axes"]["tokens"]["status"] == "boundary"
        assert fit["axes"]["tokens"]["alpha"] == pytest.approx(0.48, abs=0.05)


@pytest.mark.parametrize("seeds", [1, 3])
def test_ties_everywhere(make_table, seeds) -> None:
    fit = fit_results(make_table(lambda n, s: 0.5, seeds=seeds))
    check_contract(fit)
    for entry in fit["axes"].values():
        assert entry["code"] == "no_interior_optimum"
        assert {record["status"] for record in entry["slices"]} == {"flat"}


def test_holes_in_the_grid(bowl, make_table) -> None:
    """A missing point beside a slice's minimum makes the slice flat; nothing is filled in."""
    table = make_table(bowl, sigma=3e-4, seeds=3)
    whole = fit_results(table, n_boot=0)["axes"]["n_databases"]["slices"][3]
    beside = table[(table["n_databases"] == whole["at"]) & (table["tokens"] > whole["x_opt"])]["tokens"].min()
    hole = (table["n_databases"] == whole["at"]) & (table["tokens"] == beside)
    table["status"] = np.where(hole, "failed", "ok")
    fit = fit_results(table, n_boot=50, allow_missing=True)
    check_contract(fit)
    assert fit["missing"] == [{"n_databases": whole["at"], "tokens": beside}]
    assert fit["axes"]["n_databases"]["slices"][3]["status"] == "flat"
    assert fit["rows"] == {"read": 240, "used": 237, "dropped": 3, "reasons": {"failed": 3}}


def test_order_names_and_units(bowl, make_table) -> None:
    """A constant moves the offset alone: exactly by least squares, to second order in robust log losses."""
    table = make_table(bowl, sigma=3e-4, seeds=3)
    fit = fit_results(table, n_boot=0)
    renamed = table.sample(frac=1, random_state=1).assign(seed=lambda t: t["seed"] + 100)
    thousands = table.assign(tokens=table["tokens"] / 1000)
    raised = table.assign(loss=table["loss"] + 0.25)
    for axis in AXES:
        entry = fit["axes"][axis]
        for other in (renamed, thousands):
            again = fit_results(other, n_boot=0)["axes"][axis]
            assert again["alpha"] == pytest.approx(entry["alpha"], abs=1e-6)
        shifted = fit_results(raised, n_boot=0)["axes"][axis]
        assert shifted["alpha"] == pytest.approx(entry["alpha"], abs=1e-4)
        assert shifted["E"] - entry["E"] == pytest.approx(0.25, abs=1e-5)
        windows = [one["sensitivity"]["quadratic_3"] for one in (entry, shifted)]
        assert windows[0]["alpha"] == pytest.approx(windows[1]["alpha"], abs=1e-6)


def test_starts_that_disagree_are_reported() -> None:
    points = dict.fromkeys(("x", "loss", "weights", "systematic"), np.ones(8))
    law = Law(status="ok", axis="tokens", noise_dof=16, **points)
    fit = RobustFit(E=0.36, A=0.1, alpha=0.4, delta=1e-3, scale=1e6, n_starts=21, n_at_optimum=2,
                    alpha_spread=0.31, gradient=0.0)  # fmt: skip
    warn_of_disagreement(law, fit)
    text = "axis tokens: 2 of 21 starts reached the best objective; spread of alpha 0.31"
    assert law.warnings == [{"code": "optimiser_disagreement", "message": text}]


def test_draws_come_beside_the_fit(bowl, make_table) -> None:
    table = make_table(bowl, sigma=3e-4, seeds=3, n_databases=[2**i for i in range(2, 13)])
    fit = module.fit_with_draws(table, n_boot=60, surfaces=False)
    assert fit.draws.keys() == set(AXES)
    for axis, draws in fit.draws.items():
        assert (list(draws.columns), len(draws)) == (["E", "A", "alpha"], 60)
        low, high = fit.entry["axes"][axis]["ci95"]["alpha"]
        assert draws["alpha"].between(low, high).mean() >= 0.9


def test_equal_seeds_give_equal_fits(bowl, make_table) -> None:
    table = make_table(bowl, sigma=3e-4, seeds=3)
    assert fit_results(table, n_boot=50, seed=4) == fit_results(table, n_boot=50, seed=4)
    other = fit_results(table, n_boot=50, seed=5)["axes"]["n_databases"]["ci95"]
    assert other != fit_results(table, n_boot=50, seed=4)["axes"]["n_databases"]["ci95"]


def test_a_thousand_draws_are_quick(bowl, make_table) -> None:
    table = make_table(bowl, sigma=3e-4, seeds=3)
    started = time.process_time()  # of this process alone, however busy the machine is
    fit_results(table, n_boot=1000)
    assert time.process_time() - started < 3


def test_nonfinite_rows_are_refused_or_counted(bowl, make_table) -> None:
    table = make_table(bowl, sigma=3e-4, seeds=3)
    table.loc[7, "loss"] = np.nan
    with pytest.raises(AnalysisError, match=r"row 8 \(n_databases=8, tokens=524288000, seed=1\)"):
        fit_results(table)
    rows = fit_results(table, n_boot=0, drop_nonfinite=True)["rows"]
    assert rows == {"read": 240, "used": 239, "dropped": 1, "reasons": {"non-finite loss": 1}}
    assert pd.isna(table.loc[7, "loss"])
