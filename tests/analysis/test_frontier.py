"""Slices and vertices against closed forms and plain loops."""

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.fit import fit_axis
from relscale.analysis.frontier import EDGE, FLAT, INTERIOR, UNIT, Grid, minima, ridge_exponent, view

X = 2.0 ** np.arange(6)
ONES = np.ones(6)


@pytest.mark.parametrize(
    ("means", "status", "x_opt"),
    [
        ([1, 2, 3, 4, 5, 6], EDGE, 1.0),
        ([6, 5, 4, 3, 2, 1], EDGE, 32.0),
        ([3, 3, 3, 3, 3, 3], FLAT, np.nan),
        ([5, 4, np.nan, 1, 4, 5], FLAT, np.nan),
        ([5, 4, 1, 1, 4, 5], INTERIOR, 2**2.5),
        ([5, 4, 1, 4, 5, 6], INTERIOR, 4.0),
        ([1, np.nan, 3, 4, 5, 6], FLAT, np.nan),
        ([6, 5, 4, 3, np.nan, 1], FLAT, np.nan),
    ],
)
def test_what_a_slice_is(means: list[float], status: int, x_opt: float) -> None:
    found = minima(X, np.array([means], dtype=float), ONES[None])
    assert found.status[0] == status
    np.testing.assert_allclose(found.x_opt[0], x_opt)


def test_vertices_are_those_of_fitted_parabolas() -> None:
    rng = np.random.default_rng(0)
    means = rng.uniform(size=(40, 6))
    found = minima(X, means, np.broadcast_to(ONES, means.shape))
    for row in np.flatnonzero(found.status == INTERIOR):
        j = means[row].argmin()
        c2, c1, c0 = np.polyfit(np.log(X[j - 1 : j + 2]), means[row, j - 1 : j + 2], 2)
        assert found.x_opt[row] == pytest.approx(np.exp(-c1 / (2 * c2)))
        assert found.loss_opt[row] == pytest.approx(c0 - c1**2 / (4 * c2))
    assert (found.status == INTERIOR).sum() > 10


def test_vertex_weights_are_the_variances_of_repeated_slices() -> None:
    truth, counts, sd = np.array([0.9, 0.5, 0.25, 0.3, 0.8, 1.2]), np.array([3, 3, 3, 1, 3, 3]), 1e-4
    rng = np.random.default_rng(1)
    means = truth + rng.normal(0, sd / np.sqrt(counts), (20_000, 6))
    repeated, once = minima(X, means, counts), minima(X, truth[None], counts[None])
    assert np.var(repeated.loss_opt) == pytest.approx(sd**2 / once.loss_weight[0], rel=0.05)
    assert np.var(np.log(repeated.x_opt)) == pytest.approx(sd**2 / once.log_x_weight[0], rel=0.05)


def test_frontiers_and_ridges_of_the_bowl(bowl, make_table) -> None:
    """Both laws and both ridges in closed form; what is left is the bias of the octave grid's parabolas."""
    grid = Grid.from_table(make_table(bowl))
    slopes = {}
    for axis, E, A, alpha in (
        ("n_databases", bowl.E, bowl.A, bowl.alpha),
        ("tokens", bowl.E, bowl.B, bowl.beta),
    ):
        slices = view(grid, axis)
        found = minima(slices.x, slices.means, slices.counts)
        inside = found.status == INTERIOR
        fit = fit_axis(slices.at[inside] / UNIT[axis], found.loss_opt[inside])
        assert fit.alpha == pytest.approx(alpha, abs=0.03)
        assert pytest.approx(fit.E, abs=1e-3) == E
        assert pytest.approx(fit.A, rel=0.08) == A
        slopes[axis] = float(ridge_exponent(slices.at, found))
    assert slopes["n_databases"] == pytest.approx(bowl.m, abs=0.03)
    assert slopes["tokens"] == pytest.approx(1 / bowl.m, abs=0.06)


def test_a_grid_of_unequal_cells() -> None:
    rows = [(8, 100, 0, 0.4), (8, 100, 1, 0.6), (8, 200, 0, 0.3), (16, 200, 0, 0.2), (16, 200, 5, 0.4)]
    grid = Grid.from_table(pd.DataFrame(rows, columns=["n_databases", "tokens", "seed", "loss"]))
    np.testing.assert_array_equal(grid.counts, [[2, 1], [0, 2]])
    np.testing.assert_allclose(grid.means, [[0.5, 0.3], [np.nan, 0.3]])
    assert (grid.noise_sd, grid.noise_dof) == (pytest.approx(np.sqrt(0.04 / 2)), 2)


def test_resampled_means_have_the_spread_of_means() -> None:
    """Inflated by sqrt(n / (n - 1)): the variance of a mean is s^2 / n, also where n is 2 or 3."""
    rng = np.random.default_rng(4)
    cells = {(8, 1): 3, (8, 2): 2, (16, 1): 1, (16, 2): 40}
    rows = [(n, s, k, 0.5 + 0.01 * rng.normal()) for (n, s), size in cells.items() for k in range(size)]
    table = pd.DataFrame(rows, columns=["n_databases", "tokens", "seed", "loss"])
    grid = Grid.from_table(table)
    draws = grid.resampled_means(8000, rng=np.random.default_rng(0))
    variance = table.groupby(["n_databases", "tokens"])["loss"].var().to_numpy().reshape(2, 2)
    expected = np.where(grid.counts == 1, grid.noise_sd**2, variance / grid.counts)
    np.testing.assert_allclose(draws.var(0), expected, rtol=0.08)
    np.testing.assert_allclose(draws.mean(0), grid.means, atol=5e-4)


def test_branches_of_a_trunk_move_together() -> None:
    """Three trunks at each N, their branches alike: all points of an N get the same draw."""
    rng = np.random.default_rng(4)
    level = rng.normal(0, 0.01, (2, 3))
    rows = [
        (8 * 2**i, 2**j, k, f"t{k}", 0.5 + level[i, k]) for i in range(2) for j in range(4) for k in range(3)
    ]
    table = pd.DataFrame(rows, columns=["n_databases", "tokens", "seed", "trunk", "loss"])
    grid = Grid.from_table(table)
    assert (grid.trunks, grid.noise_dof) == (True, 4)
    draws = grid.resampled_means(4000, rng=np.random.default_rng(0))
    np.testing.assert_allclose(np.ptp(draws, axis=2), 0, atol=1e-12)
    np.testing.assert_allclose(draws[:, :, 0].var(0), level.var(1, ddof=1) / 3, rtol=0.08)
    assert abs(np.corrcoef(draws[:, 0, 0], draws[:, 1, 0])[0, 1]) < 0.05
    assert grid.jackknife_means().shape == (6, 2, 4)
    apart = Grid.from_table(table.drop(columns="trunk"))
    assert np.ptp(apart.resampled_means(5, rng=np.random.default_rng(0)), axis=2).max() > 0
    assert apart.noise_dof == 16


def test_means_without_one_run_and_parts_of_a_grid(bowl, make_table) -> None:
    grid = Grid.from_table(make_table(bowl, sigma=1e-3, seeds=3, n_databases=[8, 16, 32]))
    jackknife = grid.jackknife_means()
    assert len(jackknife) == 90
    expected = grid.losses[1, 2, [0, 2]].mean()
    assert jackknife[(10 + 2) * 3 + 1][1, 2] == pytest.approx(expected)
    part = grid.part("tokens", grid.tokens[4])
    assert part.losses.shape == (3, 5, 3)
    np.testing.assert_array_equal(part.means, grid.means[:, :5])
    assert part.noise_dof == 30
    raised, dofs = grid.raised_means()
    assert (raised - grid.means).sum((1, 2)) == pytest.approx(grid.noise_sd / np.sqrt(3))
    assert set(dofs) == {2}
