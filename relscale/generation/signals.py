"""The values that networks read: few levels as codes, others as numbers."""

import numpy as np

from relscale.generation.ranks import BLOCK, SAMPLE, find_levels
from relscale.generation.tiles import TILE, Signals

FEWEST_ROWS = 128
"""Below so many rows, encoders are as cheap to compute as to tabulate."""


def empty_signals(n_signals: int, n_rows: int, *, interpolate: bool = False) -> Signals:
    """Room for the values of that many nodes or columns."""
    n_rungs = n_rows if n_rows <= BLOCK else SAMPLE + 1
    return Signals(
        numbers=np.empty((n_signals, n_rows), np.float32),
        codes=np.empty((n_signals, n_rows), np.int32),
        levels=np.zeros((n_signals, TILE), np.float32),
        n_levels=np.zeros(n_signals, np.int64),
        coded=np.zeros(n_signals, bool),
        order=np.empty((n_signals, n_rows), np.int32),
        ladder=np.empty((n_signals, n_rungs if interpolate and n_rows >= FEWEST_ROWS else 0), np.float32),
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
