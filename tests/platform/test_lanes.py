"""Each operation on lanes against numpy."""

import numpy as np
import pytest

from relscale.platform import lanes
from relscale.platform.compiled import kept
from relscale.platform.lanes import LANES

ONE_THIRD = np.float32(1 / 3)


@kept(__file__, lanes.__file__)
def _apply(x: np.ndarray, y: np.ndarray, out: np.ndarray, scalars: np.ndarray) -> None:
    a, b = lanes.load(x, 3), lanes.load(y, 0)
    results = (
        lanes.add(a, b),
        lanes.subtract(a, b),
        lanes.multiply(a, b),
        lanes.divide(a, b),
        lanes.add_product(a, b, lanes.spread(ONE_THIRD)),
        lanes.greater(a, b),
        lanes.first(5, a, b),
        lanes.exp2(a),
    )
    for i in range(len(results)):
        lanes.store(out, 16 * i, results[i])
    scalars[0], scalars[1] = lanes.total(a), lanes.greatest(a)


@kept(__file__, lanes.__file__)
def _turn(x: np.ndarray, place: int, stride: int) -> None:
    lanes.turn(x, place, stride)


@pytest.fixture
def numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=24).astype(np.float32), (1 + rng.random(LANES)).astype(np.float32)


def test_operations(numbers):
    x, b = numbers
    a = x[3 : 3 + LANES]
    out, scalars = np.zeros((8, LANES), np.float32), np.zeros(2, np.float32)
    _apply(x, b, out.reshape(-1), scalars)
    expected = [
        a + b,
        a - b,
        a * b,
        a / b,
        a + b * ONE_THIRD,
        np.maximum(a, b),
        np.where(np.arange(LANES) < 5, a, b),
        np.exp2(a),
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scalars, [a.sum(), a.max()], rtol=1e-5)


def test_powers_over_the_whole_range():
    x = np.linspace(-125.9, 126.9, 64 * LANES).astype(np.float32)
    out, scalars = np.zeros(8 * LANES, np.float32), np.zeros(2, np.float32)
    for i in range(0, len(x), LANES):
        _apply(np.append(np.zeros(3, np.float32), x[i : i + LANES]), np.ones(LANES, np.float32), out, scalars)
        np.testing.assert_allclose(out[-LANES:], np.exp2(x[i : i + LANES].astype(np.float64)), rtol=3e-7)


def test_a_square_is_turned_in_its_place():
    x = np.arange(40 * LANES, dtype=np.float32)
    expected = x.copy().reshape(20, 32)
    expected[2:18, 5:21] = expected[2:18, 5:21].T.copy()
    _turn(x, 2 * 32 + 5, 32)
    np.testing.assert_array_equal(x, expected.reshape(-1))
