"""The law, its gradient and its linear part against plain oracles."""

import numpy as np
import pytest
from scipy.optimize import nnls

from relscale.analysis.laws import centre, gradient, power_law, project

X = np.array([8.0, 16, 64, 200, 1024])


def test_gradient_is_the_difference_quotient() -> None:
    at = np.array([0.36, 0.07, 0.38])
    for column, step in enumerate(np.eye(3) * 1e-6):
        quotient = (power_law(X, *(at + step)) - power_law(X, *(at - step))) / 2e-6
        np.testing.assert_allclose(gradient(X, at[1], at[2])[:, column], quotient, rtol=1e-6)


def test_projection_is_constrained_least_squares() -> None:
    """Against a general solver, with cases where E or the excess ends at its bound."""
    rng = np.random.default_rng(0)
    log_x = np.log(X / centre(X))
    loss = np.stack([0.4 + 0.05 * rng.normal(size=5), np.sort(rng.uniform(size=5)), 3 * np.exp(-2 * log_x)])
    weights = rng.uniform(0.5, 2, size=loss.shape)
    alphas = np.array([[0.05, 0.4, 1.0, 2.9]])
    offset, excess, rss = project(log_x, loss, weights, alphas)
    for table in range(3):
        root = np.sqrt(weights[table])
        for place, alpha in enumerate(alphas[0]):
            columns = np.column_stack([np.ones(5), np.exp(-alpha * log_x)]) * root[:, None]
            expected, norm = nnls(columns, loss[table] * root)
            np.testing.assert_allclose([offset[table, place], excess[table, place]], expected, atol=1e-9)
            assert rss[table, place] == pytest.approx(norm**2, rel=1e-9, abs=1e-15)
    assert (offset == 0).any()
    assert (excess == 0).any()


def test_centre_is_the_geometric_mean() -> None:
    assert centre(np.array([1.0, 4, 16])) == pytest.approx(4)
