"""Missing grid points: refused by name, or listed."""

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.completeness import named
from relscale.analysis.fit import fit_results
from relscale.analysis.results import AnalysisError
from relscale.analysis.verdict import verdict_sentences


@pytest.fixture
def table(monotone, make_table) -> pd.DataFrame:
    table = make_table(monotone, n_databases=[8, 16, 32], tokens=[10**9, 2 * 10**9], seeds=2)
    table["status"] = "ok"
    table.loc[[6, 7], "status"] = "failed"
    return table


def test_a_missing_point_is_refused_by_name(table: pd.DataFrame) -> None:
    with pytest.raises(AnalysisError) as caught:
        fit_results(table)
    assert caught.value.code == "incomplete_grid"
    assert str(caught.value).startswith(
        "1 of 6 grid points have no usable run: (n_databases=16, tokens=2 B); run them"
    )
    with pytest.raises(AnalysisError, match=r"\(n_databases=16, tokens=2 B\)"):
        fit_results(table[table["status"] == "ok"])


def test_or_listed(table: pd.DataFrame) -> None:
    fit = fit_results(table, n_boot=0, allow_missing=True, surfaces=False)
    assert fit["missing"] == [{"n_databases": 16.0, "tokens": 2e9}]
    sentence = "The grid is incomplete: 1 point has no usable run: (n_databases=16, tokens=2 B)."
    assert sentence in verdict_sentences(fit)


def test_a_point_with_one_run_left_is_there(table: pd.DataFrame) -> None:
    table.loc[6, "status"] = "ok"
    assert fit_results(table, n_boot=0, surfaces=False)["missing"] == []


def test_dropping_losses_is_consent(table: pd.DataFrame) -> None:
    table["status"] = "ok"
    table.loc[[6, 7], "loss"] = np.nan
    fit = fit_results(table, n_boot=0, drop_nonfinite=True, surfaces=False)
    assert fit["missing"] == [{"n_databases": 16.0, "tokens": 2e9}]


def test_many_points_are_counted() -> None:
    points = [{"n_databases": float(n), "tokens": 1e9} for n in range(1, 16)]
    assert named(points).endswith("(n_databases=12, tokens=1 B), and 3 more")
