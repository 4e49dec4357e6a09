"""The law of two variables: recovery, intervals, early stopping, refusals, what the command writes."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from relscale.analysis.joint import JointObjective, fit_joint, search, starts
from relscale.analysis.joint_report import write_joint
from relscale.analysis.laws import centre
from relscale.analysis.results import AnalysisError

BESIROGLU = {"E": 1.8172, "A": 482.01, "alpha": 0.3478, "B": 2085.43, "beta": 0.3658}


@pytest.fixture(scope="module")
def chinchilla() -> Callable[..., pd.DataFrame]:
    """240 runs over the range of Hoffmann et al. 2022, with the law of Besiroglu et al. 2024."""

    def make(sigma: float = 3e-3, seed: int = 0, n: int = 240) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        params = np.exp(rng.uniform(np.log(5e7), np.log(1.6e10), n))
        tokens = np.exp(rng.uniform(np.log(1e9), np.log(5e11), n))
        law = BESIROGLU
        loss = law["E"] + law["A"] * params ** -law["alpha"] + law["B"] * tokens ** -law["beta"]
        noisy = loss * np.exp(sigma * rng.normal(size=n))
        return pd.DataFrame({"params": params, "tokens": tokens, "loss": noisy})

    return make


def objective_of(table: pd.DataFrame) -> JointObjective:
    x, y = table["params"].to_numpy(), table["tokens"].to_numpy()
    return JointObjective(
        log_x=np.log(x / centre(x)),
        log_y=np.log(y / centre(y)),
        log_loss=np.log(table["loss"].to_numpy()),
        weight=np.ones(len(table)),
    )


def test_the_replicated_chinchilla_law_is_recovered_within_its_interval(chinchilla) -> None:
    joint = fit_joint(chinchilla(), x="params", y="tokens", n_boot=200)
    for name, value in BESIROGLU.items():
        low, high = joint["ci95"][name]
        assert low < value < high
        assert low < joint[name] < high
    assert joint["ci95"]["alpha"][1] - joint["ci95"]["alpha"][0] < 0.05
    assert (joint["rows"], joint["starts"], joint["starts_at_optimum"]) == (240, 81, 81)
    assert joint["rmse_log"] == pytest.approx(3e-3, rel=0.2)
    assert joint["warnings"] == []


def test_without_noise_the_law_comes_back_whole(chinchilla) -> None:
    joint = fit_joint(chinchilla(sigma=0), x="params", y="tokens", n_boot=0)
    assert {name: joint[name] for name in BESIROGLU} == pytest.approx(BESIROGLU, rel=1e-6)
    assert joint["ci95"] is None


def test_outliers_hardly_move_it(chinchilla) -> None:
    table = chinchilla(sigma=1e-3)
    table.loc[:11, "loss"] *= 1.2  # one run in twenty diverged a little
    joint = fit_joint(table, x="params", y="tokens", n_boot=0)
    assert joint["alpha"] == pytest.approx(0.3478, abs=0.01)
    assert joint["beta"] == pytest.approx(0.3658, abs=0.01)


def test_the_gradient_is_the_difference_quotient(chinchilla) -> None:
    objective = objective_of(chinchilla())
    for at in starts(objective)[::20]:
        _, gradient = objective(at)
        quotient = [(objective(at + step)[0] - objective(at - step)[0]) / 2e-6 for step in np.eye(5) * 1e-6]
        np.testing.assert_allclose(gradient, quotient, rtol=1e-5, atol=1e-3)


def test_the_optimum_does_not_depend_on_the_scale_of_the_objective(chinchilla) -> None:
    objective = objective_of(chinchilla(sigma=1e-2))
    found = [search(replace(objective, scale=objective.scale * factor)) for factor in (1e-3, 1, 1e3)]
    for other in found:
        np.testing.assert_allclose(other.t, found[1].t, rtol=1e-4)
        assert other.starts_at_optimum == other.starts


def test_a_mean_with_default_tolerances_would_stop_early(chinchilla) -> None:
    """What the scale and the tolerances are for: every start reports success, and none is at the optimum."""
    objective = objective_of(chinchilla(sigma=1e-2))
    mean = replace(objective, scale=1 / 240)
    naive = [minimize(mean, start, jac=True, method="L-BFGS-B") for start in starts(objective)[::2]]
    best = search(objective)
    values = np.array([end.fun for end in naive]) * objective.scale / mean.scale
    assert all(end.success for end in naive)
    assert values.min() > best.value * (1 + 1e-6)
    assert np.ptp([end.x[3] for end in naive]) > 0.2
    assert best.starts_at_optimum == best.starts


def test_equal_seeds_give_equal_intervals(chinchilla) -> None:
    table = chinchilla(n=60)
    fits = [fit_joint(table, x="params", y="tokens", n_boot=20, seed=seed)["ci95"] for seed in (1, 1, 2)]
    assert fits[0] == fits[1] != fits[2]


def test_units_of_the_columns_change_the_coefficients_alone(chinchilla) -> None:
    table = chinchilla()
    other = table.assign(tokens=table["tokens"] / 1e9)
    first, second = (fit_joint(each, x="params", y="tokens", n_boot=0) for each in (table, other))
    for name in ("E", "A", "alpha", "beta"):
        assert second[name] == pytest.approx(first[name], rel=1e-6)
    assert second["B"] == pytest.approx(first["B"] * 1e9 ** -first["beta"], rel=1e-5)


def spoiled(table: pd.DataFrame, column: str, value: object) -> pd.DataFrame:
    table = table.astype({column: object})
    table.loc[2, column] = value
    return table


@pytest.mark.parametrize(
    ("spoil", "code", "text"),
    [
        (lambda t: t.drop(columns="tokens"), "missing_column", "no column 'tokens'; found are params, loss"),
        (
            lambda t: spoiled(t, "params", -5),
            "invalid_axis",
            "row 3: params must be a positive number, got -5",
        ),
        (lambda t: spoiled(t, "tokens", "many"), "invalid_axis", "row 3: tokens must be a positive number"),
        (lambda t: spoiled(t, "loss", np.nan), "non_finite_loss", "row 3: loss must be a positive number"),
        (lambda t: t[:5], "too_few_points", "5 rows, need more than the 5 parameters"),
        (
            lambda t: t.assign(params=1e8),
            "too_few_points",
            "column params: 1 distinct values, need",
        ),
        (lambda t: t.assign(loss=t["params"] ** 0.01), "exponent_at_bound", "column params: exponent"),
    ],
)
def test_unusable_tables_are_refused_in_one_sentence(chinchilla, spoil, code, text) -> None:
    with pytest.raises(AnalysisError) as refused:
        fit_joint(spoil(chinchilla(n=40)), x="params", y="tokens", n_boot=0)
    assert refused.value.code == code
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


def test_rows_without_a_loss_are_dropped_on_demand(chinchilla) -> None:
    table = spoiled(chinchilla(n=40), "loss", np.nan)
    joint = fit_joint(table, x="params", y="tokens", n_boot=0, drop_nonfinite=True)
    assert (joint["rows"], joint["dropped"]) == (39, 1)


def test_the_folder_holds_the_law_a_figure_and_a_page(chinchilla, tmp_path) -> None:
    chinchilla(n=60).to_csv(tmp_path / "runs.csv", index=False)
    fitted = write_joint(tmp_path / "out", tmp_path / "runs.csv", x="params", y="tokens", n_boot=20)
    written = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert written == fitted
    assert {"E", "A", "alpha", "B", "beta", "objective", "ci95", "rows"} <= written["joint"].keys()
    assert (tmp_path / "out" / "figures" / "joint_law.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"params^-{fitted['joint']['alpha']:.4f}" in page
    assert "http" not in page.replace("http://www.w3.org", "")
