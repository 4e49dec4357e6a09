"""The 29 activations of PluRel's random networks, compiled, and the random parameters of one of them.

Source: PluRel (arXiv:2602.04029), reference implementation 1.1; definitions as in PyTorch.
"""

from typing import get_args

import numpy as np
from numba import carray, types

from relscale.generation import arithmetic
from relscale.generation.arithmetic import (
    HALF,
    ONE,
    SMALL_ANGLE,
    ZERO,
    F,
    bound,
    elu,
    erf,
    exp,
    expm1,
    far_sine,
    log1p,
    mish,
    sigmoid,
    sine,
    softplus,
    tanh,
    tanhshrink,
)
from relscale.generation.config import ActivationName
from relscale.platform.compiled import compiled, linked

ACTIVATIONS: tuple[ActivationName, ...] = get_args(ActivationName)
"""Names by code."""
# fmt: off
(
    RELU, ELU, SELU, SILU, SOFTSIGN, TANH, SIGMOID, HARDSWISH, MISH, LEAKY_RELU, GELU,
    SOFTPLUS, HARDSIGMOID, HARDTANH, CELU, TANHSHRINK, RRELU, LOGSIGMOID, SOFTSHRINK,
    HARDSHRINK, IDENTITY, ABS, SIN, COS, SIGN, CLAMP, SIGNED_LOG, BENT_IDENTITY,
    SINE_MIXTURE,
) = range(len(ACTIVATIONS))
# fmt: on

MAX_WAVES = 7
"""Terms of a sine mixture, at most."""
SELU_ALPHA, SELU_SCALE = F(1.6732632423543772), F(1.0507009873554805)
LEAK, RRELU_SLOPE = F(0.01), F((1 / 8 + 1 / 3) / 2)  # the mean of the random slope: the evaluation form
SIXTH, SQRT_HALF = F(1 / 6), F(np.sqrt(0.5))


def sample_waves(size: int, *, rng: np.random.Generator) -> np.ndarray:
    """Parameters of `size` sine mixtures: float32 [size, 3, MAX_WAVES] of amplitudes, frequencies, phases.

    A mixture has 3 to 7 terms; the amplitudes of those it lacks are 0.
    """
    present = np.arange(MAX_WAVES) < rng.integers(3, MAX_WAVES, size=(size, 1), endpoint=True)
    amplitudes = rng.standard_normal((size, MAX_WAVES)) * present
    frequencies = np.exp(rng.uniform(np.log(0.1), np.log(10), (size, MAX_WAVES)))
    phases = rng.uniform(0, 2 * np.pi, (size, MAX_WAVES))
    return np.stack([amplitudes, frequencies, phases], axis=1).astype(np.float32)


@compiled
def _swing(h: np.ndarray, quarter: int) -> None:
    """sin(h + quarter * pi / 2) in place."""
    n_far = 0
    for i in range(len(h)):
        n_far += 1 if abs(h[i]) > SMALL_ANGLE else 0
    if n_far == 0:
        for i in range(len(h)):
            h[i] = sine(h[i], quarter)
    else:
        for i in range(len(h)):
            h[i] = far_sine(h[i], quarter)


_FLOATS = types.CPointer(types.float32)


@linked(types.void(types.int64, _FLOATS, types.int64, _FLOATS, _FLOATS), __file__, arithmetic.__file__)
def relscale_activate(code, values, size, waves_of_mixture, spare):  # type: ignore[no-untyped-def]
    """`activate` for arrays given by pointers."""
    h, waves, room = carray(values, size), carray(waves_of_mixture, (3, MAX_WAVES)), carray(spare, 2 * size)
    if code == RELU:
        for i in range(size):
            h[i] = ZERO if h[i] < ZERO else h[i]
    elif code in (ELU, CELU):  # with alpha 1 the two are one function
        for i in range(size):
            h[i] = elu(h[i])
    elif code == SELU:
        for i in range(size):
            h[i] = SELU_SCALE * (h[i] if h[i] > ZERO else SELU_ALPHA * expm1(h[i]))
    elif code == SILU:
        for i in range(size):
            h[i] *= sigmoid(h[i])
    elif code == SOFTSIGN:
        for i in range(size):
            h[i] /= ONE + abs(h[i])
    elif code == TANH:
        for i in range(size):
            h[i] = tanh(h[i])
    elif code == SIGMOID:
        for i in range(size):
            h[i] = sigmoid(h[i])
    elif code == HARDSWISH:
        for i in range(size):
            h[i] *= HALF + bound(h[i] * SIXTH, HALF)
    elif code == MISH:
        for i in range(size):
            h[i] = mish(h[i])
    elif code == LEAKY_RELU:
        for i in range(size):
            h[i] *= LEAK if h[i] < ZERO else ONE
    elif code == GELU:
        for i in range(size):
            h[i] *= HALF * (ONE + erf(h[i] * SQRT_HALF))
    elif code == SOFTPLUS:
        for i in range(size):
            h[i] = softplus(h[i])
    elif code == HARDSIGMOID:
        for i in range(size):
            h[i] = HALF + bound(h[i] * SIXTH, HALF)
    elif code in (HARDTANH, CLAMP):
        for i in range(size):
            h[i] = bound(h[i], ONE)
    elif code == TANHSHRINK:
        for i in range(size):
            h[i] = tanhshrink(h[i])
    elif code == RRELU:
        for i in range(size):
            h[i] *= RRELU_SLOPE if h[i] < ZERO else ONE
    elif code == LOGSIGMOID:
        for i in range(size):
            h[i] = (h[i] if h[i] < ZERO else ZERO) - log1p(exp(-abs(h[i])))
    elif code == SOFTSHRINK:
        for i in range(size):
            h[i] -= bound(h[i], HALF)
    elif code == HARDSHRINK:
        for i in range(size):
            h[i] *= ONE if abs(h[i]) > HALF else ZERO
    elif code == ABS:
        for i in range(size):
            h[i] = abs(h[i])
    elif code in (SIN, COS):
        _swing(h, 1 if code == COS else 0)
    elif code == SIGN:
        for i in range(size):
            h[i] = ONE if h[i] > ZERO else (-ONE if h[i] < ZERO else h[i])
    elif code == SIGNED_LOG:
        for i in range(size):
            h[i] = (-ONE if h[i] < ZERO else ONE) * log1p(abs(h[i]))
    elif code == BENT_IDENTITY:
        for i in range(size):
            h[i] += HALF * (np.sqrt(h[i] * h[i] + ONE) - ONE)
    elif code == SINE_MIXTURE:
        total, wave = room[:size], room[size : 2 * size]
        for i in range(size):
            total[i] = ZERO
        for term in range(waves.shape[1]):
            amplitude, frequency, phase = waves[0, term], waves[1, term], waves[2, term]
            if amplitude != ZERO:
                for i in range(size):
                    wave[i] = frequency * h[i] + phase
                _swing(wave, 0)
                for i in range(size):
                    total[i] += amplitude * wave[i]
        for i in range(size):
            h[i] = total[i]


@compiled
def activate(code: int, h: np.ndarray, waves: np.ndarray, room: np.ndarray) -> None:
    """Apply the activation `code` in place to a flat float32 array.

    waves : float32 [3, MAX_WAVES], of a mixture; room : float32, twice as many as `h`.
    """
    relscale_activate(code, h.ctypes, h.size, waves.ctypes, room.ctypes)
