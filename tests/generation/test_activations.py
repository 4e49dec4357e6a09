"""Activations against PyTorch's functions of the same names, and closed forms."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from relscale.generation.activations import ACTIVATIONS, SineMixture, sample_activation

GRID = np.concatenate([np.linspace(-8, 8, 4001), [-1e4, -60, -0.5, 0, 0.5, 60, 1e4]]).astype(np.float32)

REFERENCE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": functional.relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "silu": functional.silu,
    "softsign": functional.softsign,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hardswish": functional.hardswish,
    "mish": functional.mish,
    "leaky_relu": functional.leaky_relu,
    "gelu": functional.gelu,
    "softplus": functional.softplus,
    "hardsigmoid": functional.hardsigmoid,
    "hardtanh": functional.hardtanh,
    "celu": functional.celu,
    "tanhshrink": functional.tanhshrink,
    "rrelu": lambda x: functional.rrelu(x, training=False),
    "logsigmoid": functional.logsigmoid,
    "softshrink": functional.softshrink,
    "hardshrink": functional.hardshrink,
    "identity": lambda x: x,
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "sign": torch.sign,
    "clamp": lambda x: torch.clamp(x, -1, 1),
    "signed_log": lambda x: torch.sign(x) * torch.log1p(torch.abs(x)),
    "bent_identity": lambda x: (torch.sqrt(x * x + 1) - 1) / 2 + x,
}


def test_every_activation_has_a_reference() -> None:
    assert set(REFERENCE) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_equals_its_reference(name: str) -> None:
    x = GRID.copy()
    y = ACTIVATIONS[name](x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(x, GRID)
    assert not np.shares_memory(x, y)
    expected = REFERENCE[name](torch.from_numpy(GRID.astype(np.float64))).numpy()
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)


def test_sine_mixture_is_its_sum() -> None:
    x = np.linspace(-3, 3, 50, dtype=np.float32)
    mixture = SineMixture(np.array([1.5, -0.5]), np.array([2.0, 0.3]), np.array([0.1, 1.0]))
    expected = 1.5 * np.sin(2 * x + 0.1) - 0.5 * np.sin(0.3 * x + 1)
    np.testing.assert_allclose(mixture(x), expected, atol=1e-5)


def test_drawn_sine_mixtures_differ_and_keep_their_ranges() -> None:
    rng = np.random.default_rng(0)
    mixtures = [sample_activation("sine_mixture", rng=rng) for _ in range(200)]
    sizes = [len(mixture.terms) for mixture in mixtures]  # type: ignore[attr-defined]
    frequencies = np.array([f for mixture in mixtures for _, f, _ in mixture.terms])  # type: ignore[attr-defined]
    assert set(sizes) == {3, 4, 5, 6, 7}
    assert 0.1 <= frequencies.min() < 0.15
    assert 8 < frequencies.max() <= 10
    assert abs(np.median(frequencies) - 1) < 0.2
