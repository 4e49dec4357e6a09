"""The additive surface: recovery, refusals, information criterion."""

import numpy as np
import pytest

from relscale.analysis.frontier import Grid
from relscale.analysis.surfaces import aicc, fit_additive


def test_the_additive_surface_is_recovered(monotone, make_table) -> None:
    surface = fit_additive(Grid.from_table(make_table(monotone)))
    assert surface["status"] == "ok"
    found = [surface[name] for name in ("E", "A", "alpha", "B", "beta")]
    assert found == pytest.approx([0.36, 0.1, 0.38, 0.03, 0.48], rel=1e-3)
    assert surface["aicc"] is None
    assert surface["rmse"] < 1e-9


def test_its_error_is_the_noise_of_the_means(monotone, make_table) -> None:
    surface = fit_additive(Grid.from_table(make_table(monotone, sigma=1e-3, seeds=4)))
    assert surface["rmse"] == pytest.approx(5e-4, rel=0.25)
    assert surface["aicc"] == pytest.approx(aicc(surface["rmse"] ** 2 * 80, 80, 6))


def test_a_bowl_is_not_forced_into_it(bowl, make_table) -> None:
    surface = fit_additive(Grid.from_table(make_table(bowl, sigma=3e-4, seeds=3)))
    assert surface["status"] == "failed" or surface["rmse"] > 10 * 3e-4


def test_a_small_grid_has_no_surface(monotone, make_table) -> None:
    grid = Grid.from_table(make_table(monotone, n_databases=[8, 16, 32]))
    surface = fit_additive(grid)
    assert (surface["status"], surface["code"], surface["E"]) == ("failed", "too_few_points", None)
    assert "30 grid points on 3 x 10 levels" in surface["message"]


def test_aicc_of_the_worked_example() -> None:
    assert aicc(7.0, 7, 4) == pytest.approx(28)
    assert aicc(7 * np.e, 7, 3) == pytest.approx(7 + 14)
