"""One-axis fits: exact recovery, invariances, and the refusals."""

import numpy as np
import pytest

from relscale.analysis import fit_axis
from relscale.analysis.laws import power_law
from relscale.analysis.projection import search
from relscale.analysis.results import AnalysisError

# The two laws of PluRel (arXiv:2602.04029): databases, and tokens in billions.
LAWS = {
    "databases": (0.36, 0.07, 0.38, 8.0 * 2 ** np.arange(8)),
    "tokens": (0.36, 0.025, 0.48, 0.5 * 2.0 ** np.arange(7)),
}
NOISE = np.random.default_rng(5).normal(0, 3e-4, 8)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [4, None])
def test_points_of_a_law_give_it_back(law: str, n: int | None) -> None:
    E, A, alpha, x = LAWS[law]
    fit = fit_axis(x[:n], power_law(x[:n], E, A, alpha))
    assert [fit.E, fit.A, fit.alpha] == pytest.approx([E, A, alpha], rel=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_objectives_scale_does_not_move_the_optimum(scale: float) -> None:
    E, A, alpha, x = LAWS["databases"]
    loss = power_law(x, E, A, alpha) + NOISE
    reference, fit = fit_axis(x, loss), fit_axis(x, loss, weights=np.full(8, scale))
    assert [fit.E, fit.A, fit.alpha] == pytest.approx([reference.E, reference.A, reference.alpha], rel=1e-4)


def test_units_order_and_a_constant() -> None:
    E, A, alpha, x = LAWS["databases"]
    loss = power_law(x, E, A, alpha) + NOISE
    fit = fit_axis(x, loss)
    other_unit, shifted = fit_axis(x * 1e9, loss), fit_axis(x, loss + 0.25)
    shuffled = fit_axis(x[::-1], loss[::-1])
    for same in (other_unit, shifted, shuffled):
        assert same.alpha == pytest.approx(fit.alpha, abs=1e-6)
    assert pytest.approx(fit.A * 1e9**fit.alpha, rel=1e-4) == other_unit.A
    assert pytest.approx(0.25, abs=1e-7) == shifted.E - fit.E
    assert 0.9 < fit.correlation <= 1


def test_the_optimum_beats_its_surroundings() -> None:
    E, A, alpha, x = LAWS["tokens"]
    loss = power_law(x, E, A, alpha) + NOISE[:7]
    fit = fit_axis(x, loss)
    at = np.array([fit.E, fit.A, fit.alpha])
    best = np.sum((loss - power_law(x, *at)) ** 2)
    for step in np.vstack([np.eye(3), -np.eye(3)]) * 1e-4 * at:
        assert np.sum((loss - power_law(x, *(at + step))) ** 2) > best


def test_profile_sets_hold_the_estimate_and_shrink_with_the_noise() -> None:
    E, A, alpha, x = LAWS["databases"]
    wide, narrow = (fit_axis(x, power_law(x, E, A, alpha) + scale * NOISE) for scale in (3.0, 0.3))
    for fit in (wide, narrow):
        assert fit.alpha_set[0] <= fit.alpha <= fit.alpha_set[1]
        assert fit.offset_set[0] <= fit.E <= fit.offset_set[1]
    assert np.ptp(narrow.offset_set) < np.ptp(wide.offset_set) / 3


def test_many_tables_at_once_equal_one_by_one() -> None:
    E, A, alpha, x = LAWS["databases"]
    rng = np.random.default_rng(2)
    losses = power_law(x, E, A, alpha) + rng.normal(0, 3e-4, (5, 8))
    weights = np.ones((5, 8))
    weights[2, 6:] = 0
    weights[3, 3:] = 0  # too few points left
    found = np.column_stack(search(x, losses, weights))
    for row in (0, 1, 2, 4):
        used = weights[row] > 0
        fit = fit_axis(x[used], losses[row, used])
        assert found[row] == pytest.approx([fit.E, fit.A, fit.alpha], rel=1e-5)
    assert np.isnan(found[3]).all()


def test_refusals_name_the_numbers() -> None:
    x = LAWS["databases"][3]
    cases = {
        "exponent_at_bound": [
            (x, 0.4 + 0.001 * np.log(x), "the loss does not fall with it at any exponent"),
            (x, 0.6 - 0.002 * np.log(x), "exponent 0.02 at the search limit; data are consistent with flat"),
            (x, np.where(x < 10, 0.5, 0.4), "exponent 3 at the search limit; data are consistent with step"),
        ],
        "too_few_points": [
            (x[[0, 0, 1, 2]], 0.4 - x[:4] / 1e3, "3 distinct values, need at least 4; have 8, 16, 32")
        ],
        "invalid_axis": [
            (-x, x, "point 1: n_databases must be a positive number, got -8"),
            (x, x[:3], "axis n_databases: (8,) values, (3,) losses"),
        ],
        "non_finite_loss": [(x, np.where(x == 32, np.nan, 0.4), "point 3: loss is nan")],
    }
    for code, examples in cases.items():
        for values, loss, part in examples:
            with pytest.raises(AnalysisError) as caught:
                fit_axis(values, loss, axis="n_databases")
            assert caught.value.code == code
            assert part in str(caught.value)
