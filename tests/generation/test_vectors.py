"""Loops written in vectors against numpy; the order of values against its definition."""

import numpy as np
import pytest
from numba import njit

from relscale.generation import vectors
from relscale.generation.networks import WIDTH
from relscale.generation.ranks import BLOCK, SAMPLE, rank, sorting_room
from relscale.generation.signals import empty_signals

RNG = np.random.default_rng(0)


def draw(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


@njit
def run_multiply(weights, start, n_in, n_out, x, out):  # type: ignore[no-untyped-def]
    vectors.multiply(weights, start, n_in, n_out, x, out)


@njit
def run_joins(totals, row, table, place, slopes, line, x):  # type: ignore[no-untyped-def]
    vectors.add_row(totals[0], row, table, place)
    vectors.raise_row(totals[1], row, table, place)
    vectors.scale_row(totals[2], row, table, place)
    vectors.add_line(totals[3], row, table, place, slopes, line, x)
    vectors.raise_line(totals[4], row, table, place, slopes, line, x)
    vectors.scale_line(totals[5], row, table, place, slopes, line, x)
    vectors.put_line(totals[6], row, table, place, slopes, line, x)


@njit
def run_turn(rows, row, units, lane):  # type: ignore[no-untyped-def]
    vectors.turn_rows(rows, row, units, lane)


@njit
def run_rank(signals, place, room):  # type: ignore[no-untyped-def]
    rank(signals, place, room)


@pytest.mark.parametrize(("n_in", "n_out", "lanes"), [(32, 32, 16), (1, 32, 128), (32, 1, 48), (32, 11, 64)])
def test_product_of_a_matrix_and_a_tile(n_in: int, n_out: int, lanes: int) -> None:
    weights, x, out = draw(7 + n_in * n_out), draw(WIDTH, lanes), draw(WIDTH, lanes)
    untouched = out[n_out:].copy()
    run_multiply(weights, 7, n_in, n_out, x, out)
    expected = weights[7:].reshape(n_in, n_out).astype(np.float64).T @ x[:n_in]
    np.testing.assert_allclose(out[:n_out], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(out[n_out:], untouched)


def test_rows_and_lines_are_joined_to_one_row_alone() -> None:
    totals, table, slopes, x = draw(7, 5, WIDTH), draw(4, WIDTH), draw(6, WIDTH), np.float32(0.7)
    expected, line = totals.copy(), table[1] + x * slopes[5]
    expected[0, 3] += table[1]
    expected[1, 3] = np.maximum(totals[1, 3], table[1])
    expected[2, 3] *= table[1]
    expected[3, 3] += line
    expected[4, 3] = np.maximum(totals[4, 3], line)
    expected[5, 3] *= line
    expected[6, 3] = line
    run_joins(totals, 3, table, 1, slopes, 5, x)
    np.testing.assert_allclose(totals, expected, rtol=1e-5, atol=1e-6)


def test_rows_are_turned() -> None:
    rows, units = draw(vectors.LANES + 3, WIDTH), np.zeros((WIDTH, 2 * vectors.LANES), np.float32)
    run_turn(rows, 3, units, vectors.LANES)
    np.testing.assert_array_equal(units[:, vectors.LANES :], rows[3:].T)
    assert not units[:, : vectors.LANES].any()


@pytest.mark.parametrize("n_rows", [130, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_rows_come_in_the_order_of_their_values(n_rows: int) -> None:
    """Within each block; the ladder is all values of one block, or an even sample with both ends."""
    signals = empty_signals(1, n_rows, interpolate=True)
    values = np.where(RNG.random(n_rows) < 0.2, 0, draw(n_rows) * 10.0 ** RNG.integers(-9, 9, n_rows))
    signals.numbers[0] = values
    run_rank(signals, 0, sorting_room(n_rows))
    ladder, ordered = signals.ladder[0], np.sort(signals.numbers[0])
    if n_rows <= BLOCK:
        np.testing.assert_array_equal(ladder, ordered)
    else:
        assert len(ladder) == SAMPLE + 1
        assert (np.diff(ladder) >= 0).all()
        assert (ladder[0], ladder[-1]) == (ordered[0], ordered[-1])
    n_blocks = -(-n_rows // BLOCK)
    size = -(-n_rows // n_blocks)
    for start in range(0, n_rows, size):
        order = signals.order[0, start : start + size]
        assert sorted(order.tolist()) == list(range(len(order)))
        assert (np.diff(signals.numbers[0, start : start + size][order]) >= 0).all()
