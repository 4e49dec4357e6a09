"""Surfaces from their parameters: the formulas of each form, and which model is taken."""

import numpy as np
import pandas as pd
import pytest
from study_fit import bowl, study_fit, study_table

from relscale.analysis.surface_values import predicted

RUNS = pd.DataFrame(
    {"n_databases": [8, 64], "tokens": [10**9, 4 * 10**9], "tokens_per_database": [10**7, 10**7]}
)
SUM = {"E": 0.3, "A": 0.2, "alpha": 0.5, "B": 0.1, "beta": 0.4}
n, s = np.array([8.0, 64.0]), np.array([1.0, 4.0])
FLOOR = 0.3 + 0.2 * n**-0.5 + 0.1 * s**-0.4
U = 0.01 * n


def surface(name: str, **parameters: float | None) -> dict:
    return {"models": [{"model": name, "status": "ok", "aicc": -1.0, "parameters": parameters}]}


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("additive", SUM, FLOOR),
        ("ratio", SUM | {"C": 0.01, "c": 0.5, "D": 0.02, "d": 0.3, "floor": 1.0},
         FLOOR + 0.01 * (s / n) ** 0.5 + 0.02 * (n / s) ** 0.3),
        ("overfit", SUM | {"P": 0.01, "c": 0.5, "g": 0.2}, FLOOR + 0.01 * (s / U) ** 0.5 * n**-0.2),
        ("repetition", SUM | {"repeats": 3.0},
         0.3 + 0.2 * n**-0.5 + 0.1 * (U + 3 * U * (1 - np.exp(-(s / U - 1) / 3))) ** -0.4),
    ],
)  # fmt: skip
def test_forms_are_those_of_their_papers(name: str, parameters: dict, expected: np.ndarray) -> None:
    found = predicted(surface(name, **parameters), RUNS)
    assert found is not None and found[0] == name
    np.testing.assert_allclose(found[1], expected)


def test_the_best_model_whose_parameters_are_known_is_taken() -> None:
    table, fit = study_table(), study_fit()
    found = predicted(fit["surface"], table)
    assert found is not None and found[0] == "bowl"
    np.testing.assert_allclose(found[1], bowl(table["n_databases"], table["tokens"]))
    fit["surface"]["models"][1]["parameters"]["q"] = None
    found = predicted(fit["surface"], table)
    assert found is not None and found[0] == "additive"
    fit["surface"]["models"][0]["status"] = "failed"
    assert predicted(fit["surface"], table) is None
    assert (
        predicted(surface("repetition", **SUM, repeats=3.0), RUNS.drop(columns="tokens_per_database")) is None
    )
