"""Profiles: their minimum is the fit, their cut the 95 % set."""

import numpy as np
import pytest

from relscale.analysis.laws import power_law
from relscale.analysis.profiles import profiles
from relscale.analysis.projection import fit_axis

X = 8.0 * 2 ** np.arange(8)


def test_profiles_of_a_law() -> None:
    loss = power_law(X, 0.36, 0.07, 0.38) + np.random.default_rng(5).normal(0, 3e-4, 8)
    fit = fit_axis(X, loss)
    found = profiles(X, loss, np.ones(8), fit)
    best = float(np.sum((loss - power_law(X, fit.E, fit.A, fit.alpha)) ** 2))
    for name, estimate in (("alpha", fit.alpha), ("E", fit.E)):
        curve = found[name]
        value, objective = np.array(curve["value"]), np.array(curve["objective"])
        assert objective.min() >= best * (1 - 1e-9)
        assert abs(value[objective.argmin()] - estimate) <= np.diff(value).max()
        inside = value[objective <= found["cut"]]
        assert inside.min() == pytest.approx(curve["low"], abs=1.01 * np.diff(value).max())
        assert inside.max() == pytest.approx(curve["high"], abs=1.01 * np.diff(value).max())


def test_a_set_that_reaches_a_limit_is_one_sided() -> None:
    loss = power_law(X[:5], 0.3, 0.1, 0.1) + np.random.default_rng(1).normal(0, 2e-3, 5)
    fit = fit_axis(X[:5], loss)
    found = profiles(X[:5], loss, np.ones(5), fit)
    assert fit.offset_set[0] == 0 and found["E"]["low"] is None
    assert found["alpha"]["low"] is None
