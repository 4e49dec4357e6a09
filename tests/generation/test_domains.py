"""Declared columns: latent values become cells that keep to what is declared."""

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from relscale.generation.config import ColumnPrior, GeneratorConfig
from relscale.generation.domains import Domain, make_phrases, show

PERIOD = (datetime(2001, 3, 1), datetime(2004, 5, 6))
LATENT = np.random.default_rng(0).normal(5, 2, 400).astype(np.float32)
CLASSES = np.random.default_rng(0).integers(4, size=400)


def cells(values: np.ndarray, seed: int = 0, *, missing: np.ndarray | None = None, **fields: Any) -> pa.Array:
    return show(
        values,
        Domain(**fields),
        missing=missing,
        period=PERIOD,
        config=GeneratorConfig(),
        rng=np.random.default_rng(seed),
    )


def monotone(latent: np.ndarray, shown: np.ndarray) -> bool:
    return bool((np.diff(shown[np.argsort(latent, kind="stable")].astype(float)) >= 0).all())


@pytest.mark.parametrize(
    "latent", [LATENT, LATENT * 1e-6, LATENT**9 * 1e4, -np.exp(3 * LATENT), LATENT + 1e6]
)
@pytest.mark.parametrize(
    ("low", "high", "limit"), [(None, None, 2**31 - 1), (0, None, 2**15 - 1), (None, -3, 1e9), (1, 5, 1e9)]
)
def test_integers_keep_their_range_and_differ(
    latent: np.ndarray, low: float | None, high: float | None, limit: float
) -> None:
    for seed in range(5):
        shown = cells(latent, seed, kind="integer", decimals=0, low=low, high=high, limit=limit)
        values = shown.to_numpy()
        assert shown.type == pa.int64()
        assert monotone(latent, values)
        assert len(np.unique(values)) >= 3
        assert values.min() >= (-limit if low is None else low)
        assert values.max() <= (limit if high is None else high)


def test_a_declared_range_is_used_whole() -> None:
    for seed in range(5):
        values = cells(LATENT, seed, kind="integer", decimals=0, low=-2, high=7).to_numpy()
        assert set(values) == set(range(-2, 8))


def test_decimals_are_rounded_and_fit_their_type() -> None:
    for seed in range(20):
        values = cells(LATENT, seed, kind="real", decimals=2, limit=9.99).to_numpy()
        np.testing.assert_array_equal(values, np.round(values, 2))
        assert np.abs(values).max() <= 9.99
        assert len(np.unique(values)) > 20


def test_numbers_without_a_declaration_are_only_transformed() -> None:
    plain = GeneratorConfig(columns=ColumnPrior(transforms=("identity",)))
    shown = show(
        LATENT, Domain(kind="real"), missing=None, period=PERIOD, config=plain, rng=np.random.default_rng(0)
    )
    np.testing.assert_array_equal(shown.to_numpy(), LATENT.astype(np.float64))


def test_constant_latents_stay_in_range() -> None:
    constant = np.full(50, 3.0, np.float32)
    for seed in range(5):
        values = cells(constant, seed, kind="integer", decimals=0, low=2, high=4).to_numpy()
        assert 2 <= values.min() <= values.max() <= 4
        values = cells(constant, seed, kind="integer", decimals=0, limit=100).to_numpy()
        assert np.abs(values).max() <= 100


@pytest.mark.parametrize("kind", ["date", "timestamp"])
def test_moments_lie_in_the_period_in_the_order_of_the_latent(kind: str) -> None:
    for seed in range(5):
        shown = cells(LATENT, seed, kind=kind)
        moments = shown.to_pylist()
        assert shown.type == pa.timestamp("us")
        assert PERIOD[0] <= min(moments) < max(moments) <= PERIOD[1]
        assert (max(moments) - min(moments)).days > 900
        assert monotone(LATENT, shown.to_numpy())
        assert (kind == "date") == all(moment.hour == moment.microsecond == 0 for moment in moments)


def test_labels_keep_their_type_and_case() -> None:
    assert cells(CLASSES, kind="label", labels=("a", "B", "c d", "é")).to_pylist() == [
        ("a", "B", "c d", "é")[k] for k in CLASSES
    ]
    assert cells(CLASSES, kind="label", labels=(1, 2, 3, 5)).type == pa.int64()
    assert cells(CLASSES, kind="label", labels=(0.5, 1.0, 2.0, 4.0)).type == pa.float64()
    assert set(cells(CLASSES % 2, kind="label", labels=("only",)).to_pylist()) == {"only"}
    assert cells(CLASSES, kind="boolean").to_pylist() == (CLASSES > 0).tolist()


def test_each_class_of_a_text_is_one_phrase() -> None:
    shown = np.array(cells(CLASSES, kind="text").to_pylist())
    phrases = [set(shown[k == CLASSES]) for k in range(4)]
    assert [len(found) for found in phrases] == [1] * 4
    assert len(set.union(*phrases)) == 4
    assert shown.tolist() == cells(CLASSES, kind="text").to_pylist()
    assert shown.tolist() != cells(CLASSES, 1, kind="text").to_pylist()


def test_phrases_fit_their_length_and_differ_while_they_can() -> None:
    phrases = make_phrases(8, 2, rng=np.random.default_rng(0))
    assert len(set(phrases)) == 8
    assert {len(phrase) for phrase in phrases} == {2}
    letters = make_phrases(40, 1, rng=np.random.default_rng(0))  # 14 consonants begin a word
    assert (len(letters), len(set(letters))) == (40, 14)


def test_missing_cells_are_empty() -> None:
    missing = np.arange(400) % 3 == 0
    for values, fields in (
        (LATENT, {"kind": "integer", "decimals": 0}),
        (LATENT, {"kind": "date"}),
        (CLASSES, {"kind": "text"}),
        (CLASSES, {"kind": "label", "labels": ("a", "b", "c", "d")}),
        (CLASSES, {"kind": "boolean"}),
    ):
        shown = cells(values, missing=missing, **fields)
        assert shown.is_null().to_pylist() == missing.tolist()


def test_classes_of_the_latent_column() -> None:
    rng = np.random.default_rng(0)
    config = GeneratorConfig(num_categories=(3, 5))
    assert {Domain(kind="text").sample_classes(config, rng=rng) for _ in range(50)} == {3, 4, 5}
    assert Domain(kind="label", labels=("x",)).sample_classes(config, rng=rng) == 2
    assert Domain(kind="label", labels=tuple("abcdefg")).sample_classes(config, rng=rng) == 7
    assert Domain(kind="boolean").sample_classes(config, rng=rng) == 2
    assert Domain(kind="date").sample_classes(config, rng=rng) == 0
