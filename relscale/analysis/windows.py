"""How far the minima of the slices depend on the curve through them: cubics and quartics beside parabolas."""

from collections.abc import Mapping

import numpy as np
from numpy.polynomial import Polynomial

from relscale.analysis.frontier import INTERIOR, Minima, View

WINDOWS = {"cubic_5": (3, 5), "quartic_7": (4, 7)}
"""Degree in ln x, and the number of neighbouring points that it is fitted to."""


def window_minima(slices: View, found: Minima) -> dict[str, np.ndarray]:
    """The loss at the minimum of every interior slice, by each curve: (I,), NaN where it has none.

    A window lies around the smallest mean, shifted where the grid ends. Its curve is weighted by the runs of
    the points; its minimum must lie between the neighbours of the smallest mean.
    """
    losses = {"quadratic_3": np.where(found.status == INTERIOR, found.loss_opt, np.nan)}
    for name, (degree, size) in WINDOWS.items():
        losses[name] = np.array(
            [
                _minimum(slices, row, int(found.index[row]), degree, size) if status == INTERIOR else np.nan
                for row, status in enumerate(found.status)
            ]
        )
    return losses


def systematic_error(losses: Mapping[str, np.ndarray]) -> np.ndarray:
    """The spread of each slice's loss over the windows: (I,), NaN where it has no minimum.

    Not half of it: on an octave grid all windows may miss a lopsided bowl to the same side.

    A slice with a single window has the root mean square of the others; if there are none, 0.
    """
    table = np.stack(list(losses.values()))
    interior = np.isfinite(losses["quadratic_3"])
    several = np.isfinite(table).sum(0) > 1
    spread = np.full(table.shape[1], np.nan)
    spread[several] = np.nanmax(table[:, several], 0) - np.nanmin(table[:, several], 0)
    typical = np.sqrt(np.mean(spread[several] ** 2)) if several.any() else 0.0
    spread[interior & ~several] = typical
    return spread


def _minimum(slices: View, row: int, middle: int, degree: int, size: int) -> float:
    start = min(max(middle - size // 2, 0), len(slices.x) - size)
    window = slice(start, start + size)
    means, precision = slices.means[row, window], slices.precision[row, window]
    if start < 0 or not precision.all():
        return np.nan
    t = np.log(slices.x[window] / slices.x[middle])
    curve = Polynomial.fit(t, means, degree, w=np.sqrt(precision))
    low, high = np.log(slices.x[[middle - 1, middle + 1]] / slices.x[middle])
    turns = curve.deriv().roots()
    turns = turns[np.isreal(turns)].real
    inside = turns[(turns > low) & (turns < high) & (curve.deriv(2)(turns) > 0)]
    return float(curve(inside).min()) if len(inside) else np.nan
