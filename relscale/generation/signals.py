"""The values that networks read, prepared: few levels as codes, others ranked for interpolation."""

import functools
import math

import numpy as np

from relscale.generation.interpolation import RUNGS
from relscale.generation.propagation import BLOCK, block_size, find_levels
from relscale.generation.tiles import TILE, Signals

STEPS = ((256, 0), (2000, 2), (32768, 8), (math.inf, 32))
"""Below so many rows, parts into which an interval of the coarse ladder may be divided; 0: no ladder."""


def empty_signals(n_signals: int, n_rows: int, *, interpolate: bool = False) -> Signals:
    """Room for the values of that many nodes or columns."""
    n_steps = next(steps for most, steps in STEPS if n_rows < most) if interpolate else 0
    return Signals(
        numbers=np.empty((n_signals, n_rows), np.float32),
        codes=np.empty((n_signals, n_rows), np.int32),
        levels=np.zeros((n_signals, TILE), np.float32),
        n_levels=np.zeros(n_signals, np.int64),
        coded=np.zeros(n_signals, bool),
        order=np.empty((n_signals, n_rows), np.int32),
        ladder=np.empty((n_signals, n_steps and 2 * RUNGS * n_steps + 1), np.float32),
    )


def fill_signal(
    signals: Signals, place: int, values: np.ndarray, *, is_class: bool, by_row: bool = False
) -> None:
    """Write one signal; numbers of few levels are coded, so that each level is encoded once (not by row)."""
    if is_class:
        signals.codes[place] = values
        signals.coded[place] = True
        return
    signals.numbers[place] = values
    most = 0 if by_row else min(TILE, len(values) // 4)
    n_levels = find_levels(signals.numbers[place], most, signals.levels[place], signals.codes[place])
    signals.n_levels[place] = n_levels
    signals.coded[place] = n_levels > 0


def rank_signal(signals: Signals, place: int) -> None:
    """Sort a signal of numbers, if its edges are interpolated."""
    n_rungs = signals.ladder.shape[1]
    if not n_rungs or signals.coded[place]:
        return
    values = signals.numbers[place]
    size = block_size(len(values))
    for start in range(0, len(values), size):
        signals.order[place, start : start + size] = np.argsort(values[start : start + size])
    if len(values) <= BLOCK:
        some = values[signals.order[place]]
    else:
        ends = [values.min(), values.max()]
        some = np.sort(np.concatenate([values[:: max(1, len(values) // (8 * n_rungs))], ends]))
    signals.ladder[place] = some[_ranks(len(some), n_rungs)]


@functools.lru_cache(maxsize=8)
def _ranks(size: int, n_rungs: int) -> np.ndarray:
    return np.linspace(0, size - 1, n_rungs).round().astype(np.int64)
