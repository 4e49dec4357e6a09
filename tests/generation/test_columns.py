"""Columns: quantisation, transforms, missing cells and booleans on fixed vectors."""

import numpy as np
import pytest
from scipy.stats import chisquare

from relscale.generation import columns
from relscale.generation.config import ColumnPrior

PLAIN = ColumnPrior(label_permute_prob=(0.0, 0.0), label_reverse_prob=(0.0, 0.0))


def test_labels_count_the_boundaries_below() -> None:
    values = np.array([3.0, -1.0, 3.0, 0.5, 8.0, -1.0])
    for seed in range(20):
        labels = columns.quantise(values, 4, prior=PLAIN, rng=np.random.default_rng(seed))
        boundaries = np.random.default_rng(seed).choice(values, 3)
        assert labels.tolist() == [int((boundaries < x).sum()) for x in values]


def test_reversal_and_permutation_relabel_whole_classes() -> None:
    values = np.random.default_rng(0).normal(size=50)
    plain = columns.quantise(values, 5, prior=PLAIN, rng=np.random.default_rng(1))
    always = ColumnPrior(label_permute_prob=(0.0, 0.0), label_reverse_prob=(1.0, 1.0))
    reverse = columns.quantise(values, 5, prior=always, rng=np.random.default_rng(1))
    assert (reverse == 4 - plain).all()
    shuffle = ColumnPrior(label_permute_prob=(1.0, 1.0), label_reverse_prob=(0.0, 0.0))
    images = set()
    for seed in range(30):
        plain = columns.quantise(values, 5, prior=PLAIN, rng=np.random.default_rng(seed))
        permuted = columns.quantise(values, 5, prior=shuffle, rng=np.random.default_rng(seed))
        image = dict(zip(plain.tolist(), permuted.tolist(), strict=True))
        assert [image[label] for label in plain.tolist()] == permuted.tolist()
        images.add(tuple(image.values()))
    assert len(images) > 10


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("identity", [4.0, -9.0, 0.0, 4.0]),
        ("rank_uniform", [0.6, 0.2, 0.4, 0.8]),
        ("log", [np.log(5), -np.log(10), 0.0, np.log(5)]),
        ("sqrt", [2.0, -3.0, 0.0, 2.0]),
        ("standardize", (np.array([4, -9, 0, 4]) + 0.25) / np.sqrt(28.1875)),
    ],
)
def test_transforms(kind, expected) -> None:
    transformed = columns.transform(np.array([4, -9, 0, 4], np.float32), kind)
    assert transformed.dtype == np.float64
    np.testing.assert_allclose(transformed, expected, atol=1e-12)


def test_constant_columns_become_ramps_or_stay_constant() -> None:
    constant = np.full(9, 3.0, np.float32)
    np.testing.assert_allclose(columns.transform(constant, "rank_uniform"), np.arange(1, 10) / 10)
    assert not columns.transform(constant, "standardize").any()


def test_missing_cells_are_a_floor_of_the_share_and_uniform() -> None:
    hits = np.zeros(10)
    for seed in range(2000):
        mask = columns.missing_cells(10, 0.39, rng=np.random.default_rng(seed))
        assert mask.sum() == 3
        hits += mask
    assert chisquare(hits).pvalue > 0.001


def test_classes_become_booleans_or_nothing() -> None:
    truth = columns.finish_classes(np.array([0, 2, 1, 0]))
    assert truth is not None
    assert truth.tolist() == [False, True, True, False]
    assert columns.finish_classes(np.array([1, 2])) is None
    assert columns.finish_classes(np.array([0, 0])) is None
