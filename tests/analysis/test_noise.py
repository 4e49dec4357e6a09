"""Noise between seeds: one SD for all, or one for each value of an axis where they differ."""

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.fit import fit_results
from relscale.analysis.noise import noise_of

N, S = np.array([2, 4, 8, 16, 32, 64]), np.array([1e6, 2e6, 4e6, 8e6, 16e6, 32e6])


def losses(sd: np.ndarray, seed: int = 0, n_seeds: int = 3) -> np.ndarray:
    """A constant loss with normal noise of SD `sd`, broadcast to (6, 6)."""
    rng = np.random.Generator(np.random.Philox(seed))
    noise = rng.standard_normal((len(N), len(S), n_seeds))
    return 0.4 + np.broadcast_to(sd, (len(N), len(S)))[..., None] * noise


def test_equal_noise_is_pooled_over_all_points():
    found = noise_of(losses(np.array(1e-3)))
    assert (found.by, found.dof) == (None, 72)
    assert found.sd == pytest.approx(1e-3, rel=0.2)
    np.testing.assert_allclose(found.relative, 1)


def test_equal_noise_is_seldom_split():
    split = [noise_of(losses(np.array(1e-3), seed)).by is not None for seed in range(300)]
    assert sum(split) <= 4, "expected: 2 axes x 0.001 x 300"


@pytest.mark.parametrize(("by", "shape"), [("n_databases", (6, 1)), ("tokens", (1, 6))])
def test_noise_that_falls_along_an_axis_is_pooled_along_the_other(by, shape):
    sd = 1e-2 / np.array([1, 2, 4, 8, 16, 32]).reshape(shape)
    found = noise_of(losses(sd))
    assert found.by == by and found.dof == 12
    np.testing.assert_allclose(found.sds, np.broadcast_to(sd, (6, 6)), rtol=0.6)
    assert (found.sds == found.sds[:1]).all() if by == "tokens" else (found.sds == found.sds[:, :1]).all()


def test_noise_that_falls_along_both_axes_is_pooled_with_the_neighbours():
    fall = 1 / np.array([1, 2, 4, 8, 16, 32])
    found = noise_of(losses(1e-2 * fall[:, None] * fall))
    assert found.by == "both" and found.dof == 8, "a corner has 4 points of 3 runs"
    ratio = found.sds / (1e-2 * fall[:, None] * fall)
    assert ((ratio > 0.3) & (ratio < 4)).all()
    assert 1 < np.exp(np.log(ratio).mean()) < 2, "louder neighbours count most"


def test_a_few_repeated_points_are_not_taken_for_the_noise_of_others():
    table = losses(1e-2 / np.array([1, 2, 4, 8, 16, 32]) * np.ones((6, 1)))
    table[3:, :, 1:] = np.nan
    assert noise_of(table).by == "tokens", "corner points have no runs to pool"


def test_one_seed_says_nothing():
    found = noise_of(losses(np.array(1e-3), n_seeds=1))
    assert (found.sd, found.dof, found.by) == (None, 0, None)


def test_loud_small_grids_do_not_drown_the_law_of_the_quiet_ones():
    """Falling curves whose noise is 20 times larger at few databases: along the largest N a law stands."""
    rng = np.random.Generator(np.random.Philox(5))
    rows = [
        (n, s, seed, 0.38 + 0.3 / n + 0.02 * (s / 1e9) ** -0.4 * 0.1 + rng.normal(0, 0.02 / n))
        for n in N
        for s in S
        for seed in range(3)
    ]
    table = pd.DataFrame(rows, columns=["n_databases", "tokens", "seed", "loss"])
    fit = fit_results(table, n_boot=0, surfaces=False)
    assert fit["noise"]["by"] == "n_databases"
    assert [entry["at"] for entry in fit["noise"]["sds"]] == N.tolist()
    law = fit["axes"]["tokens"]
    assert law["status"] == "boundary"
    assert law["alpha"] == pytest.approx(0.4, abs=0.15)
