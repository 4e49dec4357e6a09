"""Losses by held-out database: read, checked, resampled jointly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relscale.analysis import report
from relscale.analysis.fit import fit_results
from relscale.analysis.frontier import Grid
from relscale.analysis.per_database import database_losses, load_per_database
from relscale.analysis.results import AnalysisError

EFFECTS = np.random.default_rng(1).normal(0, 0.02, 30)


@pytest.fixture
def runs(bowl, make_table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A bowl measured on 30 databases, each easy or hard for all runs alike; results and long table."""
    table = make_table(bowl, sigma=3e-4, seeds=2)
    long = table.loc[table.index.repeat(30)].assign(database=list(range(30)) * len(table))
    long["loss"] += EFFECTS[long["database"]] - EFFECTS.mean()
    return table, long


def test_databases_shift_all_points_together(runs) -> None:
    table, long = runs
    grid = Grid.from_table(table)
    losses = database_losses(long.sample(frac=1, random_state=0), table, grid)
    assert losses is not None
    np.testing.assert_allclose(losses.own, 0, atol=1e-12)
    means = losses.means
    np.testing.assert_allclose(means.mean(2), grid.means)
    np.testing.assert_allclose(means[3, 4] - grid.means[3, 4], EFFECTS - EFFECTS.mean(), atol=1e-12)
    draws = replace(grid, by_database=losses).resampled_means(2000, rng=np.random.default_rng(0))
    assert draws.mean((1, 2)).std() == pytest.approx(EFFECTS.std(ddof=1) / np.sqrt(30), rel=0.08)
    contrast = draws[:, 0, 0] - draws[:, 7, 9]
    alone = grid.resampled_means(2000, rng=np.random.default_rng(0))
    assert contrast.std() == pytest.approx((alone[:, 0, 0] - alone[:, 7, 9]).std(), rel=1e-6)


def test_the_luck_of_a_run_with_single_databases_counts_once(bowl, make_table) -> None:
    sigma, own, size = 1e-4, 2e-3, 40
    rng = np.random.default_rng(2)
    table = make_table(bowl, sigma=sigma, seeds=3)
    losses = table["loss"].to_numpy()[:, None] + rng.normal(0, own, (len(table), size))
    long = table.loc[table.index.repeat(size)].assign(
        database=np.tile(np.arange(size), len(table)), loss=losses.ravel()
    )
    table = table.assign(loss=losses.mean(1))
    grid = Grid.from_table(table)
    found = database_losses(long, table, grid)
    assert found is not None
    np.testing.assert_allclose(found.own, own**2 / size, rtol=0.05)
    draws = replace(grid, by_database=found).resampled_means(1000, rng=rng)
    variance = (draws[:, 1:] - draws[:, :-1]).var(0).mean()
    assert variance == pytest.approx(2 * (sigma**2 + own**2 / size) / 3, rel=0.1)


def test_they_widen_the_offset_and_hardly_the_exponent(runs) -> None:
    table, long = runs
    plain, both = (fit_results(table, n_boot=300, per_database=data, surfaces=False) for data in (None, long))
    width = [
        {name: np.ptp(fit["axes"]["n_databases"]["ci95"][name]) for name in ("E", "alpha")}
        for fit in (plain, both)
    ]
    assert width[1]["E"] > 4 * width[0]["E"]
    assert width[1]["alpha"] < 1.5 * width[0]["alpha"]
    assert "resampled seeds and 30 held-out databases" in both["settings"]["interval"]
    assert "databases" not in plain["settings"]["interval"]


def test_what_cannot_be_paired_is_refused(runs) -> None:
    table, long = runs
    grid = Grid.from_table(table)
    first = (long["n_databases"] == 8) & (long["tokens"] == long["tokens"].min()) & (long["seed"] == 0)
    with pytest.raises(AnalysisError, match=r"'4' of the run n_databases=8, tokens=131072000, seed=0"):
        database_losses(long[~(first & (long["database"] == 4))], table, grid)
    with pytest.raises(AnalysisError, match="'0' of the run n_databases=8, tokens=131072000, seed=0"):
        database_losses(long[~first], table, grid)
    assert database_losses(long[long["database"] == 3], table, grid) is None
    with pytest.raises(AnalysisError, match="two losses on one held-out database"):
        database_losses(pd.concat([long, long.iloc[:1]]), table, grid)


def test_the_file_beside_the_results_is_found(runs, tmp_path: Path, monkeypatch) -> None:
    table, long = runs
    given = {}
    monkeypatch.setattr(report, "fit_with_draws", lambda results, **options: given.update(options) or 1 / 0)
    table.to_parquet(tmp_path / "results.parquet")
    long.to_parquet(tmp_path / "per_database.parquet")
    long.drop(columns="database").to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(ZeroDivisionError):  # what comes after is not of interest here
        report.write_fit(tmp_path / "fit", tmp_path / "results.parquet")
    assert len(given["per_database"]) == len(long)
    with pytest.raises(AnalysisError, match=r"has no column 'database'; needed are n_databases"):
        load_per_database(tmp_path / "short.csv")
