"""Random numbers and small hash tables of the sampler's kernel."""

import numpy as np

from relscale.platform.compiled import compiled, inlined

FREE = -1
"""Key of an empty place in a hash table."""


@inlined
def next_bits(state: np.ndarray) -> np.uint64:
    """Next 64 random bits of `state`, uint64 [1]: splitmix64 (Steele, Lea and Flood 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inlined
def below(state: np.ndarray, n: int) -> int:
    """An integer in [0, n), n < 2^32, by multiplication and shift."""
    high = (next_bits(state) >> np.uint64(32)) * np.uint64(n)
    return np.int64(high >> np.uint64(32))  # type: ignore[return-value]  # int() would stay unsigned


@inlined
def unit(state: np.ndarray) -> float:
    """A float in [0, 1)."""
    return (next_bits(state) >> np.uint64(11)) * 2.0**-53


@compiled
def slot_of(keys: np.ndarray, key: int) -> int:
    """Place of a non-negative `key`, or the free place where it belongs (linear probing).

    keys : int32, a power of two long, at least half of it FREE.
    """
    last = len(keys) - 1
    slot = (key * 0x9E3779B1 >> 7) & last
    while keys[slot] != FREE and keys[slot] != key:
        slot = (slot + 1) & last
    return slot


def table_size(n: int) -> int:
    """Length of a hash table for `n` keys."""
    return 1 << max(2, (2 * n - 1).bit_length())
