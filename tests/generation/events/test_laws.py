"""Laws: the cells of a column follow what its law states."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from relscale.generation.events.laws import DAY, Law, numbers_of, sectors, show

N = 20_000


@pytest.fixture
def hidden():
    return np.random.default_rng(0).standard_normal((2, N)).astype(np.float32)


def cells(hidden, law, missing=None):
    return show(hidden, law, born=np.full(N, 20_000 * DAY), missing=missing, rng=np.random.default_rng(1))


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        (Law(kind="normal", location=3, scale=2), stats.norm(3, 2)),
        (Law(kind="lognormal", location=1, scale=0.5), stats.lognorm(0.5, scale=np.e)),
        (Law(kind="pareto", location=0, shape=2.5), stats.pareto(2.5)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_continuous_laws(hidden, law, expected):
    values = cells(hidden, law).to_numpy()
    assert stats.kstest(values, expected.cdf).pvalue > 0.01
    order = np.argsort(hidden[0], kind="stable")
    assert (np.diff(values[order]) >= 0).all(), "a monotone map of the hidden numbers"


def test_counts_are_negative_binomial(hidden):
    values = cells(hidden, Law(kind="count", location=4.0, scale=2.0, decimals=0)).to_numpy()
    assert values.dtype == np.int64 and values.min() == 0
    expected = stats.nbinom(2.0, 2.0 / 6.0)
    assert abs(values.mean() - 4) < 0.15 and abs(values.var() / expected.var() - 1) < 0.1


def test_zeros_and_ends(hidden):
    law = Law(kind="zero_inflated", location=2, scale=1, shape=0.4, high=30, decimals=1)
    values = cells(hidden, law).to_numpy()
    assert abs((values == 0).mean() - 0.4) < 0.02 and values.max() == 30
    percent = cells(hidden, Law(kind="percentage", location=-1, scale=1)).to_numpy()
    assert (percent > 0).all() and (percent < 100).all()


def test_classes_have_their_shares(hidden):
    shares = (0.5, 0.3, 0.15, 0.05)
    found = np.bincount(sectors(hidden, shares, exact=False), minlength=4) / N
    assert np.abs(found - shares).max() < 0.02
    ordinal = cells(hidden, Law(kind="ordinal", shares=shares)).to_numpy()
    assert np.abs(np.bincount(ordinal)[1:] / N - shares).max() < 0.02
    truth = cells(hidden, Law(kind="boolean", shares=(0.2,))).to_numpy(zero_copy_only=False)
    assert abs(truth.mean() - 0.2) < 0.01


def test_each_text_of_a_class_occurs(hidden):
    law = Law(kind="text", shares=(0.5, 0.5), labels=(("a", "b", "c"), ("d",)))
    assert set(cells(hidden, law).unique().to_pylist()) == {"a", "b", "c", "d"}


def test_moments_are_midnights_before_the_row(hidden):
    moments = cells(hidden, Law(kind="moment", location=2, scale=1)).to_numpy()
    assert (moments == moments.astype("datetime64[D]")).all()
    assert (moments <= np.datetime64(20_000, "D")).all()


def test_moments_are_at_most_a_century_before_the_row(hidden):
    moments = cells(hidden, Law(kind="moment", location=9, scale=3)).to_numpy()
    assert moments.min() == np.datetime64(20_000 - 36_525, "D")


def test_stated_shares_hold_whatever_the_law_of_the_cells(hidden):
    shares, pulled = (0.5, 0.3, 0.15, 0.05), hidden + np.array([[0.7], [0.4]], np.float32)
    drawn, stated = (
        np.bincount(sectors(pulled, shares, exact=exact), minlength=4) / N for exact in (False, True)
    )
    assert np.abs(drawn - shares).max() > 0.1
    np.testing.assert_allclose(stated, shares, atol=2 / N)


def test_a_stated_law_keeps_its_quantiles(hidden):
    law = Law(kind="normal", quantiles=(0.0, 1.0, 10.0), decimals=None)
    values = numbers_of(hidden[0], law)
    assert np.quantile(values, [0.25, 0.5, 0.75]) == pytest.approx([0.5, 1.0, 5.5], abs=0.15)


def test_missing_cells_are_empty(hidden):
    missing = np.arange(N) % 3 == 0
    for kind in ("normal", "category", "moment"):
        law = Law(kind=kind, shares=(0.5, 0.5), labels=(("x",), ("y",)))
        column = cells(hidden, law, missing)
        assert (
            isinstance(column, pa.Array)
            and (column.is_null().to_numpy(zero_copy_only=False) == missing).all()
        )
