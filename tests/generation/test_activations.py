"""Compiled activations and elementary functions against PyTorch's; random bits against known answers."""

import numpy as np
import propagation_oracle as oracle
import pytest
import torch

from relscale.generation.activations import ACTIVATIONS, MAX_WAVES, activate, sample_waves
from relscale.generation.arithmetic import normal_quantile, random_bits, tanhshrink, uniform

GRID = np.concatenate([np.linspace(-8, 8, 4001), [-1e4, -60, -0.5, 0, 0.5, 60, 1e4]]).astype(np.float32)
NO_WAVES = np.zeros((3, MAX_WAVES), np.float32)


def test_every_activation_has_a_reference() -> None:
    assert set(oracle.REFERENCE) == set(ACTIVATIONS) - {"sine_mixture"}


@pytest.mark.parametrize("name", oracle.REFERENCE)
def test_activation_equals_its_reference(name: str) -> None:
    found = GRID.copy()
    activate(ACTIVATIONS.index(name), found, NO_WAVES, np.empty(2 * len(found), np.float32))
    expected = oracle.REFERENCE[name](torch.from_numpy(GRID.astype(np.float64))).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", oracle.REFERENCE)
def test_large_arguments_and_infinity_are_as_in_the_reference(name: str) -> None:
    x = np.array([-np.inf, -3e6, -88.7, 1e-6, 88.7, 3e6, np.inf, np.nan], np.float32)
    found = x.copy()
    activate(ACTIVATIONS.index(name), found, NO_WAVES, np.empty(2 * len(found), np.float32))
    expected = oracle.REFERENCE[name](torch.from_numpy(x)).numpy()
    finite = np.isfinite(expected) & np.isfinite(x)
    np.testing.assert_allclose(found[finite], expected[finite], rtol=1e-5, atol=1e-5)
    assert not np.isfinite(found[~np.isfinite(expected)]).any() or name in ("sin", "cos")


def test_sine_mixture_is_its_sum() -> None:
    waves = sample_waves(1, rng=np.random.default_rng(0))[0]
    found = np.linspace(-3, 3, 50, dtype=np.float32)
    expected = oracle.activation("sine_mixture", found.astype(np.float64), waves)
    activate(ACTIVATIONS.index("sine_mixture"), found, waves, np.empty(2 * len(found), np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_tanhshrink_keeps_its_relative_accuracy_near_zero() -> None:
    for x in (1e-3, 0.05, 0.39, 0.41):
        exact = float(np.float32(x)) - np.tanh(float(np.float32(x)))
        assert tanhshrink(np.float32(x)) == pytest.approx(exact, rel=2e-5)


def test_random_bits_are_philox() -> None:
    """Known answers of Random123 for philox4x32 with 7 rounds."""
    zero = np.uint32(0)
    assert [hex(b) for b in random_bits(zero, zero, zero, (zero, zero))] == [
        "0x5f6fb709",
        "0xd893f64",
        "0x4f121f81",
        "0x4f730a48",
    ]


def test_normal_quantiles_are_those_of_the_normal() -> None:
    from scipy.stats import norm

    levels = np.concatenate([np.linspace(0.001, 0.999, 999), [1e-6, 1 - 1e-6]]).astype(np.float32)
    found = [normal_quantile(u) for u in levels]
    np.testing.assert_allclose(found, norm.ppf(levels.astype(np.float64)), rtol=1e-4, atol=1e-5)
    assert 0 < uniform(np.uint32(0)) < uniform(np.uint32(2**32 - 1)) < 1
