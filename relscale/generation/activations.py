"""The 29 activations of PluRel's random networks, as float32 array functions.

Each returns an array of the shape and dtype of its argument, which it never changes.
Source: PluRel (arXiv:2602.04029), reference implementation 1.1; definitions as in PyTorch.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import erf

from relscale.generation.config import ActivationName

Activation = Callable[[np.ndarray], np.ndarray]

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
RRELU_SLOPE = (1 / 8 + 1 / 3) / 2  # the mean of its random slope: the evaluation form


def sample_activation(name: ActivationName, *, rng: np.random.Generator) -> Activation:
    """The activation of that name; only `sine_mixture` has random parameters, fresh at every call."""
    if name != "sine_mixture":
        return ACTIVATIONS[name]
    n_terms = int(rng.integers(3, 7, endpoint=True))
    amplitudes = rng.standard_normal(n_terms)
    frequencies = np.exp(rng.uniform(np.log(0.1), np.log(10), n_terms))
    phases = rng.uniform(0, 2 * np.pi, n_terms)
    return SineMixture(amplitudes, frequencies, phases)


class SineMixture:
    """Sum over i of a_i sin(f_i x + phi_i)."""

    def __init__(self, amplitudes: np.ndarray, frequencies: np.ndarray, phases: np.ndarray) -> None:
        self.terms = list(zip(amplitudes.tolist(), frequencies.tolist(), phases.tolist(), strict=True))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        total = np.zeros_like(x)
        for amplitude, frequency, phase in self.terms:
            wave = x * frequency
            wave += phase
            np.sin(wave, out=wave)
            wave *= amplitude
            total += wave
        return total


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _elu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.expm1(np.minimum(x, 0))


def _selu(x: np.ndarray) -> np.ndarray:
    return SELU_SCALE * (np.maximum(x, 0) + SELU_ALPHA * np.expm1(np.minimum(x, 0)))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def _silu(x: np.ndarray) -> np.ndarray:
    return x * _sigmoid(x)


def _softsign(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.abs(x))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log(1 + np.exp(-np.abs(x)))


def _logsigmoid(x: np.ndarray) -> np.ndarray:
    return -_softplus(-x)


def _mish(x: np.ndarray) -> np.ndarray:
    return x * np.tanh(_softplus(x))


def _hardsigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(x / 6 + 0.5, 0, 1)


def _hardswish(x: np.ndarray) -> np.ndarray:
    return x * _hardsigmoid(x)


def _leaky_relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.01 * x)


def _rrelu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, RRELU_SLOPE * x)


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + erf(x * np.sqrt(0.5, dtype=x.dtype)))


def _hardtanh(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -1, 1)


def _tanhshrink(x: np.ndarray) -> np.ndarray:
    return x - np.tanh(x)


def _softshrink(x: np.ndarray) -> np.ndarray:
    return x - np.clip(x, -0.5, 0.5)


def _hardshrink(x: np.ndarray) -> np.ndarray:
    return x * (np.abs(x) > 0.5)


def _identity(x: np.ndarray) -> np.ndarray:
    return x.copy()


def _signed_log(x: np.ndarray) -> np.ndarray:
    return np.copysign(np.log(1 + np.abs(x)), x)


def _bent_identity(x: np.ndarray) -> np.ndarray:
    return 0.5 * (np.sqrt(x * x + 1) - 1) + x


ACTIVATIONS: dict[str, Activation] = {
    "relu": _relu,
    "elu": _elu,
    "selu": _selu,
    "silu": _silu,
    "softsign": _softsign,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "hardswish": _hardswish,
    "mish": _mish,
    "leaky_relu": _leaky_relu,
    "gelu": _gelu,
    "softplus": _softplus,
    "hardsigmoid": _hardsigmoid,
    "hardtanh": _hardtanh,
    "celu": _elu,  # with alpha 1 the two are one function
    "tanhshrink": _tanhshrink,
    "rrelu": _rrelu,
    "logsigmoid": _logsigmoid,
    "softshrink": _softshrink,
    "hardshrink": _hardshrink,
    "identity": _identity,
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
    "sign": np.sign,
    "clamp": _hardtanh,
    "signed_log": _signed_log,
    "bent_identity": _bent_identity,
}
"""Every activation without parameters, by name."""
