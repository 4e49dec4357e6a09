"""Do ridges and laws agree with one surface?"""

import numpy as np
import pytest

from relscale.analysis.fit import fit_results
from relscale.analysis.ridge import consistency

WIDE = [2**i for i in range(2, 13)]


def drawn(value: float, sd: float = 0.01) -> np.ndarray:
    return value + sd * np.random.default_rng(round(value * 1000)).normal(size=500)


def test_a_bowl_is_consistent(bowl, make_table) -> None:
    table = make_table(bowl, sigma=3e-4, seeds=3, n_databases=WIDE)
    checks = fit_results(table, n_boot=200, surfaces=False)["ridge"]["consistency"]
    assert checks["m_prime"]["expected"] == pytest.approx(1 / bowl.m, rel=0.05)
    assert checks["alpha_n"]["value"] == pytest.approx(bowl.alpha, abs=0.03)
    assert (checks["consistent"], checks["message"]) == (True, None)


def test_contradictions_are_named() -> None:
    values = {"m": 0.8, "m_prime": 1.25, "alpha_n": 0.6, "alpha_s": 0.5}
    draws = {name: drawn(value) for name, value in values.items()}
    checks = consistency(values, draws)
    assert not checks["consistent"]
    assert "loss in databases is 0.6, the other ridge and axis imply 0.4" in checks["message"]
    assert "number of databases is" not in checks["message"]
    assert checks["alpha_n"]["se"] == pytest.approx(0.01 * np.sqrt(1 + 0.8**2 + 0.5**2), rel=0.15)


def test_missing_pieces_give_no_check(bowl, monotone, make_table) -> None:
    assert fit_results(make_table(bowl), surfaces=False)["ridge"]["consistency"] is None
    table = make_table(monotone, sigma=3e-4, seeds=2)
    assert fit_results(table, n_boot=20, surfaces=False)["ridge"]["consistency"] is None
