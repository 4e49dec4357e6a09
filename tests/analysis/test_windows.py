"""Cubic and quartic windows beside the parabola."""

import numpy as np
import pytest

from relscale.analysis.frontier import Grid, minima, view
from relscale.analysis.windows import systematic_error, window_minima


def test_windows_find_the_minimum_of_curves_they_hold(make_table) -> None:
    """A quartic in ln x with its minimum of 0.3 at 1: exact by the quartic, not by the parabola."""

    def surface(n: float, s: float) -> float:
        t = np.log(s / 1e9)
        return 0.3 + t**2 * (0.01 + 0.002 * t + 0.0004 * t**2)

    tokens = [int(1.2e8 * 2**i) for i in range(7)]
    slices = view(Grid.from_table(make_table(surface, tokens=tokens)), "n_databases")
    found = minima(slices.x, slices.means, slices.counts)
    losses = window_minima(slices, found)
    np.testing.assert_allclose(losses["quartic_7"], 0.3, atol=1e-9)
    assert (np.abs(losses["quadratic_3"] - 0.3) > 1e-6).all()
    spread = systematic_error(losses)
    table = np.stack(list(losses.values()))
    np.testing.assert_allclose(spread, np.ptp(table, axis=0))


def test_a_slice_without_windows_has_the_typical_error() -> None:
    nan = np.nan
    losses = {
        "quadratic_3": np.array([0.30, 0.31, 0.32, nan]),
        "cubic_5": np.array([0.302, 0.314, nan, nan]),
    }
    spread = systematic_error(losses)
    assert spread[:3] == pytest.approx([0.002, 0.004, np.sqrt((0.002**2 + 0.004**2) / 2)])
    assert np.isnan(spread[3])


def test_a_hole_closes_a_window(bowl, make_table) -> None:
    slices = view(Grid.from_table(make_table(bowl).drop(index=10)), "n_databases")
    losses = window_minima(slices, minima(slices.x, slices.means, slices.counts))
    assert np.isnan(losses["quartic_7"][1]) and np.isfinite(losses["quartic_7"][2])
