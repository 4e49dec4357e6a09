"""Whole surfaces: recovery, closed forms, which model wins, what is not identified, refusals."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.frontier import AXES, INTERIOR, UNIT, Grid, minima, ridge_exponent, view
from relscale.analysis.projection import fit_axis
from relscale.analysis.surface_forms import Points, forms
from relscale.analysis.surface_frontier import bowl_laws
from relscale.analysis.surface_search import Data, Optimum, identify, search
from relscale.analysis.surfaces import UNIQUE, aicc, fit_surfaces, unique_tokens
from relscale.analysis.verdict import _surface

N_DATABASES = [8 * 2**i for i in range(8)]
TOKENS = [524_288_000 * 2**i for i in range(7)]
U = 0.02  # billions of unique tokens a database


def repetition(n: float, s: float) -> float:
    s, unique = s / 1e9, U * n
    repeats = max(0.0, s / unique - 1)
    effective = min(s, unique) + unique * 15.4 * (1 - np.exp(-repeats / 15.4))
    return 0.36 + 0.1 * n**-0.38 + 0.03 * effective**-0.48


def overfit(n: float, s: float) -> float:
    s = s / 1e9
    return 0.36 + 0.07 * n**-0.4 + 0.02 * s**-0.5 + 8e-4 * (s / (U * n)) ** 0.6 * n**-0.1


@pytest.fixture
def fitted(make_table) -> Callable[..., dict]:
    """The surfaces of a table on the published grid of 8 x 7 points."""

    def fit(surface: Callable[[float, float], float], *, unique: float | None = U * 1e9, **options) -> dict:
        table = make_table(surface, **{"n_databases": N_DATABASES, "tokens": TOKENS} | options)
        if unique is not None:
            table[UNIQUE] = unique
        grid = Grid.from_table(table)
        return fit_surfaces(grid, unique_tokens(table, grid))

    return fit


def model(surface: dict, name: str) -> dict:
    return next(model for model in surface["models"] if model["model"] == name)


def test_every_surface_is_recovered_and_chosen(fitted, bowl, monotone) -> None:
    truths = {
        "additive": (monotone, {"E": 0.36, "A": 0.1, "alpha": 0.38, "B": 0.03, "beta": 0.48}),
        "bowl": (bowl, {"E": 0.36, "A": 0.07, "alpha": 0.38, "k": 0.117, "m": 0.79, "p": 0.5, "q": 1.0}),
        "repetition": (repetition, {"E": 0.36, "A": 0.1, "alpha": 0.38, "beta": 0.48, "repeats": 15.4}),
        "overfit": (overfit, {"E": 0.36, "A": 0.07, "alpha": 0.4, "B": 0.02, "P": 8e-4, "c": 0.6, "g": 0.1}),
    }
    for name, (surface, truth) in truths.items():
        found = fitted(surface)
        best = model(found, name)
        assert found["best"] == name
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert {key: best["parameters"][key] for key in truth} == pytest.approx(truth, rel=1e-4)
        assert best["identifiable"] and best["starts"] == 20 and best["starts_at_optimum"] >= 3
        assert best["rmse"] < 1e-9 and best["loso_rmse"] < 1e-8


def test_the_additive_numbers_stand_beside_the_models(fitted, monotone) -> None:
    surface = fitted(monotone, sigma=1e-3, seeds=4)
    null = surface["models"][0]
    assert (surface["model"], surface["status"], surface["cells"]) == ("additive", "ok", 56)
    assert all(surface[name] == null["parameters"][name] for name in ("E", "A", "alpha", "B", "beta"))
    assert surface["rmse"] == pytest.approx(5e-4, rel=0.25)
    assert surface["aicc"] == pytest.approx(aicc(surface["rmse"] ** 2 * 56, 56, 6))
    assert null["chi2_dof"] == pytest.approx(1, abs=0.6)
    assert null["loso_rmse"] > null["rmse"]
    assert null["parameters"]["alpha"] == pytest.approx(0.38, abs=4 * null["standard_errors"]["alpha"])


def test_a_bowl_with_noise(fitted, bowl) -> None:
    surface = fitted(bowl, sigma=1e-3, seeds=3, unique=None)
    best = model(surface, "bowl")
    assert surface["best"] == "bowl"
    for name, value in (("alpha", bowl.alpha), ("m", bowl.m), ("E", bowl.E)):
        assert best["parameters"][name] == pytest.approx(value, abs=4 * best["standard_errors"][name])
        assert best["standard_errors"][name] < 0.05 * value
    assert min(m["loso_rmse"] for m in surface["models"] if m["loso_rmse"]) == best["loso_rmse"]
    assert model(surface, "additive")["delta_aicc"] or model(surface, "additive")["status"] == "failed"


def test_frontiers_and_ridges_of_a_bowl_against_closed_forms(fitted, bowl) -> None:
    best = model(fitted(bowl), "bowl")
    truth = {
        "n_databases": (bowl.A, bowl.alpha, bowl.k, bowl.m),
        "tokens": (bowl.B, bowl.beta, None, 1 / bowl.m),
    }
    for axis, (scale, exponent, centre, slope) in truth.items():
        law = best["laws"][axis]
        assert [law[name] for name in ("E", "A", "alpha", "m")] == pytest.approx(
            [bowl.E, scale, exponent, slope], rel=1e-4
        )
        assert centre is None or law["k"] == pytest.approx(centre, rel=1e-4)
        inside = [point for point in best["frontier"][axis] if point["inside"]]
        assert len(inside) >= 4
        other = "tokens" if axis == "n_databases" else "n_databases"
        for point in inside:
            x = point["x"] / UNIT[axis]
            assert point["loss"] == pytest.approx(law["E"] + law["A"] * x ** -law["alpha"], abs=1e-7)
            assert point["at"] / UNIT[other] == pytest.approx(law["k"] * x ** law["m"], rel=2e-3)
    assert best["ridge"]["tokens_of_n"] == pytest.approx(bowl.m, abs=2e-3)
    assert best["ridge"]["n_of_tokens"] == pytest.approx(1 / bowl.m, abs=2e-3)


def test_slice_minima_of_a_bowl_are_near_its_closed_forms(bowl, make_table) -> None:
    """The three-point vertices of an octave grid: exponents within 0.03, ridges within 3 %."""
    grid = Grid.from_table(make_table(bowl))
    ridges = dict(zip(AXES, (bowl.m, 1 / bowl.m), strict=True))
    for axis, exponent in (("n_databases", bowl.alpha), ("tokens", bowl.beta)):
        slices = view(grid, axis)
        found = minima(slices.x, slices.means, slices.counts)
        inside = found.status == INTERIOR
        law = fit_axis(slices.at[inside] / UNIT[axis], found.loss_opt[inside])
        assert law.alpha == pytest.approx(exponent, abs=0.03)
        assert ridge_exponent(slices.at, found) == pytest.approx(ridges[axis], rel=0.03)


def test_a_bowl_too_flat_on_its_left_has_no_frontier_over_databases() -> None:
    values = {"E": 0.36, "A": 0.07, "alpha": 0.38, "k": 0.1, "m": 0.79, "p": 0.5, "q": 0.4}
    assert bowl_laws(values)["tokens"] is None
    assert bowl_laws(values | {"q": 0.6})["tokens"] is not None


def test_a_big_grid_frees_the_depth_of_the_bowl(fitted, bowl) -> None:
    def deep(n: float, s: float) -> float:
        floor = bowl.E + bowl.A * n**-bowl.alpha
        return floor + 0.6 * (bowl(n, s) - floor)

    best = model(
        fitted(deep, n_databases=[2**i for i in range(10)], tokens=[2**i * 10**8 for i in range(10)]), "bowl"
    )
    assert best["parameters"]["h"] == pytest.approx(0.6, rel=1e-3)
    assert best["laws"]["n_databases"]["alpha"] == pytest.approx(bowl.alpha, rel=1e-4)


@pytest.mark.parametrize("form", forms(120), ids=lambda form: form.name)
def test_derivatives_are_difference_quotients(form) -> None:
    rng = np.random.default_rng(0)
    points = Points(**{name: rng.normal(size=30) for name in Points.__slots__})
    shape = rng.uniform(0.3, 1.2, size=len(form.shape))
    slopes = form.columns(points, shape)[1]
    for place, step in enumerate(np.eye(len(shape)) * 1e-6):
        ahead, behind = (form.columns(points, shape * np.exp(sign * step))[0] for sign in (1, -1))
        np.testing.assert_allclose(slopes[:, :, place], (ahead - behind) / 2e-6, atol=1e-7)


def test_parameters_that_cannot_be_told_apart_are_named_and_withheld(fitted, bowl) -> None:
    """Over one octave of N and of S a law is a straight line: nothing separates E from A and alpha."""
    narrow = {"n_databases": [100, 120, 140, 160, 180], "tokens": [4 * 10**9 + i * 10**8 for i in range(6)]}
    surface = fitted(bowl, sigma=1e-6, seeds=3, **narrow)
    codes = {}
    for found in surface["models"]:
        if found["status"] == "ok" and not found["identifiable"]:
            names = [name for name, value in found["parameters"].items() if value is None]
            texts = " ".join(warning["message"] for warning in found["warnings"])
            codes |= {warning["code"]: warning["message"] for warning in found["warnings"]}
            assert names and all(name in texts for name in names)
            assert set(names).isdisjoint(found["standard_errors"])
            for point in found["frontier"]["n_databases"]:
                assert point["loss"] == pytest.approx(bowl(point["x"], point["at"]), abs=1e-4)
    assert "are not separately identifiable (condition" in codes["surface_ill_conditioned"]


def test_a_singular_jacobian_names_its_weakest_direction() -> None:
    """An additive surface on a diagonal S proportional to N, where both terms are the same."""
    log = np.linspace(-2, 2, 20)
    points = Points(log_n=log, log_s=log, log_unique=log, log_repeats=log)
    data = Data(points=points, loss=0.4 + 0.02 * np.exp(-0.5 * log), root_weight=np.ones(20))
    optimum = Optimum(
        shape=np.array([0.5, 0.5]), linear=np.array([0.4, 0.01, 0.01]), rss=0.0,
        starts=1, starts_at_optimum=1, rivals=np.empty((0, 2)),
    )  # fmt: skip
    condition, names, _ = identify(forms(56)[0], data, optimum)
    assert condition > 1e6
    assert names == ["A", "B", "alpha", "beta"]


def test_two_optima_make_a_fit_ambiguous(monotone, make_table) -> None:
    """On the diagonal the two terms may change places: rivals with other exponents are found."""
    log = np.linspace(-2, 2, 20)
    points = Points(log_n=log, log_s=log, log_unique=log, log_repeats=log)
    loss = 0.4 + 0.02 * np.exp(-0.3 * log) + 0.01 * np.exp(-1.2 * log)
    found = search(forms(56)[0], Data(points=points, loss=loss, root_weight=np.ones(20)))
    assert sorted(found.shape) == pytest.approx([0.3, 1.2], rel=1e-2)
    assert any(rival == pytest.approx(found.shape[::-1], rel=1e-2) for rival in found.rivals)


def test_small_grids_and_unknown_repeats_are_refused(fitted, monotone) -> None:
    surface = fitted(monotone, n_databases=N_DATABASES[:3], tokens=[10**8 * 2**i for i in range(10)])
    assert (surface["status"], surface["code"], surface["E"]) == ("failed", "too_few_points", None)
    assert "30 grid points on 3 x 10 levels" in surface["message"]
    assert surface["best"] is None and _surface(surface) == ""
    middle = fitted(monotone, n_databases=N_DATABASES[:5], tokens=TOKENS[:6], unique=None)
    found = {entry["model"]: (entry["code"], entry["message"]) for entry in middle["models"]}
    assert found["ratio"][1] == (
        "surface ratio: 30 grid points on 5 x 6 levels, need at least 40 points and 4 levels on both axes"
    )
    assert found["repetition"][0] == "missing_column" and UNIQUE in found["repetition"][1]
    bad = fitted(monotone, n_databases=N_DATABASES[:5], tokens=TOKENS[:6], unique=0)
    assert model(bad, "repetition")["code"] == "invalid_axis"
    assert "at n_databases=8" in model(bad, "repetition")["message"]


def test_unique_tokens_are_means_over_the_runs_of_each_n() -> None:
    table = pd.DataFrame({"n_databases": [8, 8, 16, 16], "tokens": [1.0, 2, 1, 2], "loss": 0.4})
    table[UNIQUE] = [10.0, 30, 5, np.nan]
    np.testing.assert_array_equal(unique_tokens(table, Grid.from_table(table)), [20.0, np.nan])
    assert unique_tokens(table.drop(columns=UNIQUE), Grid.from_table(table)) is None


def test_the_verdict_names_the_surface_and_its_exponents(fitted, bowl) -> None:
    sentence = _surface(fitted(overfit, sigma=3e-4, seeds=3))
    assert "The over-fitting surface over all 56 grid points is preferred by AICc (by " in sentence
    assert "over the bowl-shaped one), and it predicts slices left out best; its exponents are" in sentence
    surface = fitted(bowl, sigma=3e-4, seeds=3)
    sentence = _surface(surface)
    values = model(surface, "bowl")["parameters"]
    assert sentence.startswith("The bowl-shaped surface over all 56 grid points is the only form that holds")
    assert f"{values['alpha']:.2f} (databases) and {values['m']:.2f} (best tokens with databases)" in sentence


def test_aicc_of_the_worked_example() -> None:
    assert aicc(7.0, 7, 4) == pytest.approx(28)
    assert aicc(7 * np.e, 7, 3) == pytest.approx(7 + 14)
