"""Values put in order, compiled: few distinct ones become codes, many are sorted within blocks of rows."""

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


@compiled
def rank(signals: Signals, place: int) -> None:
    """Fill in the order and the ladder of a signal of numbers."""
    values, order, ladder = signals.numbers[place], signals.order[place], signals.ladder[place]
    size, room = block_size(len(values)), max(block_size(len(values)), len(ladder))
    keys, rows = np.empty((2, room), np.uint32), np.empty((2, room), np.int32)
    for start in range(0, len(values), size):
        _sort(values[start : start + size], order[start : start + size], keys, rows)
    if len(values) <= BLOCK:
        for i in range(len(values)):
            ladder[i] = values[order[i]]
        return
    some, last = np.empty(len(ladder), np.float32), len(ladder) - 1
    for i in range(len(ladder)):
        some[i] = values[i * (len(values) - 1) // last]
    places = np.empty(len(ladder), np.int32)
    _sort(some, places, keys, rows)
    for i in range(1, last):
        ladder[i] = some[places[i]]
    ladder[0], ladder[last] = values.min(), values.max()


@compiled
def _sort(values: np.ndarray, order: np.ndarray, keys: np.ndarray, rows: np.ndarray) -> None:
    """Write the rows by ascending value: by the four bytes of their bits, the last first."""
    n, bits = len(values), values.view(np.int32)
    counts = np.zeros((4, 256), np.int32)
    for i in range(n):
        key = np.uint32(bits[i] ^ ((bits[i] >> 31) | SIGN))  # in the order of the numbers, negative ones too
        keys[0, i], rows[0, i] = key, i
        for byte in range(4):
            counts[byte, (key >> np.uint32(8 * byte)) & np.uint32(255)] += 1
    now = 0
    for byte in range(4):
        shift, places = np.uint32(8 * byte), counts[byte]
        if places[(keys[now, 0] >> shift) & np.uint32(255)] == n:
            continue
        place = 0
        for value in range(256):
            count = places[value]
            places[value] = place
            place += count
        then = 1 - now
        for i in range(n):
            key = keys[now, i]
            value = (key >> shift) & np.uint32(255)
            place = places[value]
            keys[then, place], rows[then, place] = key, rows[now, i]
            places[value] = place + 1
        now = then
    order[:] = rows[now, :n]


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
