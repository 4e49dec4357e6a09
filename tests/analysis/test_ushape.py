"""The U-shape test: its verdicts and how often it errs."""

from collections import Counter

import numpy as np
import pytest

from relscale.analysis.frontier import Grid, view
from relscale.analysis.ushape import axis_shape, slice_shape

COUNTS = np.full(7, 3)
SD, DOF = 1e-3, 100


@pytest.mark.parametrize(
    ("means", "shape"),
    [
        ([0.42, 0.40, 0.39, 0.38, 0.39, 0.40, 0.42], "u_shape"),
        ([0.42, 0.40, 0.39, 0.385, 0.382, 0.381, 0.380], "decreasing"),
        ([0.380, 0.381, 0.382, 0.385, 0.39, 0.40, 0.42], "increasing"),
        ([0.3801, 0.3804, 0.3799, 0.3802, 0.38, 0.3803, 0.3801], "flat"),
        # The right end is above the minimum by 1.6 standard errors: neither shown nor excluded.
        ([0.42, 0.40, 0.39, 0.385, 0.380, 0.3807, 0.3813], "inconclusive"),
    ],
)
def test_shapes_of_a_slice(means: list[float], shape: str) -> None:
    assert slice_shape(np.array(means), COUNTS, SD, DOF, rng=np.random.default_rng(0)) == shape


def test_a_flattening_curve_is_seldom_called_a_u() -> None:
    rng = np.random.default_rng(1)
    truth = 0.38 + 0.05 * 4.0 ** -np.arange(7)
    means = truth + rng.normal(0, SD / np.sqrt(3), (200, 7))
    shapes = Counter(slice_shape(row, COUNTS, SD, DOF, rng=rng) for row in means)
    assert shapes["u_shape"] <= 10
    assert shapes["decreasing"] >= 140


def test_axis_verdicts(bowl, monotone, make_table) -> None:
    rng = np.random.default_rng(2)
    cases = [
        (make_table(bowl, sigma=3e-4, seeds=3), "u_shape"),
        (make_table(monotone, sigma=3e-4, seeds=3), "decreasing"),
        (make_table(lambda n, s: 0.4, sigma=1e-3, seeds=3), "flat"),
        (make_table(lambda n, s: 0.4, seeds=3), "flat"),
        (make_table(bowl), "inconclusive"),
        (make_table(bowl, sigma=3e-4, seeds=3, n_databases=[8, 16, 32, 64], tokens=[10**9]), "inconclusive"),
    ]
    for table, verdict in cases:
        grid = Grid.from_table(table)
        for axis in ("n_databases", "tokens"):
            assert axis_shape(view(grid, axis), rng=rng).verdict == verdict
