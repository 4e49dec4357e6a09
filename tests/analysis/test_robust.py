"""The robust estimate: recovery, its gradient, the optimiser's discipline."""

from dataclasses import replace

import numpy as np
import pytest

from relscale.analysis.laws import power_law
from relscale.analysis.projection import fit_axis
from relscale.analysis.results import AnalysisError
from relscale.analysis.robust import MIN_DELTA, fit_robust, huber_log, minimise, refuse_unconverged

X = 8.0 * 2 ** np.arange(8)
LAW = (0.36, 0.07, 0.38)
NOISE = np.random.default_rng(5).normal(0, 4e-4, 8)
ONES = np.ones(8)


def robust(loss: np.ndarray, weights: np.ndarray = ONES):
    return fit_robust(X, loss, weights, fit_axis(X, loss, weights=weights), rng=np.random.default_rng(0))


def test_points_of_a_law_give_it_back() -> None:
    fit = robust(power_law(X, *LAW))
    assert [fit.E, fit.A, fit.alpha] == pytest.approx(LAW, rel=1e-6)
    assert (fit.delta, fit.n_starts) == (MIN_DELTA, 21)
    assert fit.n_at_optimum > 10
    assert fit.gradient < 1e-5


def test_without_outliers_it_is_least_squares() -> None:
    weights = np.linspace(0.5, 2, 8)
    loss = power_law(X, *LAW) + NOISE / 4
    assert robust(loss, weights).alpha == pytest.approx(fit_axis(X, loss, weights=weights).alpha, rel=1e-3)


def test_an_outlier_counts_less() -> None:
    loss = power_law(X, *LAW) + NOISE / 4
    loss[6] += 3e-3
    assert abs(robust(loss).alpha - LAW[2]) < 0.5 * abs(fit_axis(X, loss).alpha - LAW[2])


def test_the_gradient_is_the_difference_quotient() -> None:
    loss = power_law(X, *LAW) + NOISE
    objective = huber_log(X, loss, np.linspace(0.5, 2, 8), fit_axis(X, loss))
    for t in (np.array([-4.1, -1.0, 0.4]), np.array([-4.3, -1.02, 0.37])):
        value, slope = objective(t)
        for k, step in enumerate(np.eye(3) * 1e-7):
            quotient = (objective(t + step)[0] - objective(t - step)[0]) / 2e-7
            assert slope[k] == pytest.approx(quotient, rel=1e-4, abs=1e-5 * value)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_the_objectives_scale_does_not_move_the_optimum(factor: float) -> None:
    loss = power_law(X, *LAW) + NOISE
    start = fit_axis(X, loss)
    objective = huber_log(X, loss, ONES, start)
    starts = np.array([[-4.2, -1.02, 0.38], [-5.0, -1.05, 0.8], [-3.9, -1.0, 0.2]])
    ends, values, _ = minimise(objective, starts)
    others, scaled, _ = minimise(replace(objective, scale=factor * objective.scale), starts)
    assert others[scaled.argmin()] == pytest.approx(ends[values.argmin()], rel=1e-4)


def test_an_offset_of_zero_is_no_obstacle() -> None:
    fit = robust(power_law(X, 0.0, 2.0, 0.3) * (1 + NOISE * np.where(X > 100, 1, -1)))
    assert 0 <= fit.E < 0.02
    assert fit.alpha == pytest.approx(0.3, abs=0.01)


def test_an_optimiser_that_stopped_early_is_refused() -> None:
    loss = power_law(X, *LAW) + NOISE
    objective = huber_log(X, loss, ONES, fit_axis(X, loss))
    value, slope = objective(np.array([-4.0, -1.0, 0.5]))
    with pytest.raises(
        AnalysisError, match=r"axis n: optimiser stopped at gradient .*objective scale"
    ) as caught:
        refuse_unconverged(float(np.linalg.norm(slope)), value, objective, "n")
    assert caught.value.code == "not_converged"
