"""The candidate forms: each wins on points of its own."""

import numpy as np
import pytest

from relscale.analysis.forms import candidate_forms

X = 8.0 * 2 ** np.arange(9)
LOSSES = {
    "power_law_offset": 0.36 + 0.07 * X**-0.38,
    "power_law": 0.6 * X**-0.08,
    "exponential": 0.36 + 0.05 * np.exp(-X / 300),
    "logarithm": 0.5 - 0.02 * np.log(X),
}


@pytest.mark.parametrize("form", LOSSES)
def test_points_of_a_form_prefer_it(form: str) -> None:
    loss = LOSSES[form] + np.random.default_rng(2).normal(0, 1e-4, len(X))
    records = {record["form"]: record for record in candidate_forms(X, loss, np.ones(len(X)))}
    assert records.keys() == LOSSES.keys()
    assert records[form]["delta_aicc"] == 0
    n, k, rss = len(X), records[form]["k"], records[form]["rss"]
    assert rss < 3 * n * 1e-8
    assert records[form]["aicc"] == pytest.approx(n * np.log(rss / n) + 2 * k * n / (n - k - 1))


def test_too_few_points_have_no_criterion() -> None:
    records = candidate_forms(X[:5], LOSSES["power_law_offset"][:5], np.ones(5))
    assert [record["aicc"] is None for record in records] == [True, False, True, False]
