"""Values put in order, compiled: few distinct ones become codes, many are sorted within blocks of rows."""

from typing import NamedTuple

import numpy as np

from relscale.generation.tiles import Signals
from relscale.platform.compiled import compiled, kept

BLOCK = 5120
"""Rows that are joined at once, at most: their totals (640 KB) stay in the second cache."""
SAMPLE = 4096
"""Intervals between the sampled values that stand for a signal of more than BLOCK rows."""
SIGN = np.int32(-(2**31))


@compiled
def block_size(n_rows: int) -> int:
    """Rows of a block: as even as possible, at most BLOCK."""
    n_blocks = (n_rows + BLOCK - 1) // BLOCK
    return (n_rows + n_blocks - 1) // n_blocks


class Sorting(NamedTuple):
    """Room for `rank`: keys uint32 [2, n], rows int32 [2, n], counts int32 [4, 256], sample float32 [n]."""

    keys: np.ndarray
    rows: np.ndarray
    counts: np.ndarray
    sample: np.ndarray


def sorting_room(n_rows: int) -> Sorting:
    """Room for signals of that many rows."""
    n = max(min(n_rows, BLOCK), SAMPLE + 1 if n_rows > BLOCK else 0)
    keys, rows = np.empty((2, n), np.uint32), np.empty((3, n), np.int32)
    return Sorting(keys, rows, np.empty((4, 256), np.int32), np.empty(n, np.float32))


@compiled
def rank(signals: Signals, place: int, room: Sorting) -> None:
    """Fill in the order and the ladder of a signal of numbers."""
    values, order, ladder = signals.numbers[place], signals.order[place], signals.ladder[place]
    n, size, last = len(values), block_size(len(values)), len(ladder) - 1
    for start in range(0, n, size):
        _sort(values[start : start + size], order[start : start + size], room)
    if n <= BLOCK:
        for i in range(n):
            ladder[i] = values[order[i]]
        return
    for i in range(len(ladder)):
        room.sample[i] = values[i * (n - 1) // last]
    places = room.rows[2, : len(ladder)]
    _sort(room.sample[: len(ladder)], places, room)
    for i in range(len(ladder)):
        ladder[i] = room.sample[places[i]]
    for i in range(n):
        ladder[0], ladder[last] = min(ladder[0], values[i]), max(ladder[last], values[i])


@compiled
def _sort(values: np.ndarray, order: np.ndarray, room: Sorting) -> None:
    """Write the rows by ascending value: by the four bytes of their bits, the last first."""
    n, bits, keys, rows, counts = len(values), values.view(np.int32), room.keys, room.rows, room.counts
    for i in range(counts.size):
        counts[i // 256, i % 256] = 0
    for i in range(n):
        key = np.uint32(bits[i] ^ ((bits[i] >> 31) | SIGN))  # in the order of the numbers, negative ones too
        keys[0, i], rows[0, i] = key, i
        for byte in range(4):
            counts[byte, (key >> np.uint32(8 * byte)) & np.uint32(255)] += 1
    now = 0
    for byte in range(4):
        shift, then = np.uint32(8 * byte), 1 - now
        if counts[byte, (keys[now, 0] >> shift) & np.uint32(255)] == n:
            continue
        place = 0
        for value in range(256):
            count = counts[byte, value]
            counts[byte, value] = place
            place += count
        for i in range(n):
            key = keys[now, i]
            value = (key >> shift) & np.uint32(255)
            place = counts[byte, value]
            keys[then, place], rows[then, place] = key, rows[now, i]
            counts[byte, value] = place + 1
        now = then
    for i in range(n):
        order[i] = rows[now, i]


@kept(__file__)
def find_levels(values: np.ndarray, most: int, levels: np.ndarray, codes: np.ndarray) -> int:
    """Write distinct values and each value's place among them; their number, or 0 if there are too many."""
    n = 0
    for i in range(len(values)):
        k = codes[i - 1] if i > 0 else 0  # neighbours are often equal
        if not (k < n and levels[k] == values[i]):
            k = 0
            while k < n and levels[k] != values[i]:
                k += 1
        if k == n:
            if n == most:
                return 0
            levels[n] = values[i]
            n += 1
        codes[i] = k
    return n
