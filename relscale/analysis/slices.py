"""What is known of every slice's minimum: where it lies, how deep it is, with intervals."""

from typing import Any

import numpy as np

from relscale.analysis.frontier import INTERIOR, STATUS, Minima, View, minima
from relscale.analysis.intervals import percentiles, widened_quantile
from relscale.analysis.ushape import Shape

MAX_DROPPED = 0.5


def slice_records(
    slices: View, found: Minima, shape: Shape, systematic: np.ndarray, draws: np.ndarray | None
) -> list[dict[str, Any]]:
    """One record a slice: "at", "status", "x_opt", "loss_opt", "ci95", "kind", "drop_share", "systematic".

    Parameters
    ----------
    slices, found, shape, systematic : the slices of an axis and what was found in them.
    draws : (b, I, J) resampled means, or None.

    Returns
    -------
    ci95 has intervals of x_opt and loss_opt: percentiles of the draws in which the slice has an interior
    minimum, or, without draws but with a known noise SD, those of the delta method; None where the slice
    has no interior minimum or loses it in half of the draws. drop_share is that share, None without draws.
    systematic is the error of loss_opt from the choice of the curve through the slice.
    """
    drawn = None if draws is None else minima(slices.x, draws, slices.precision)
    records = []
    for row, status in enumerate(found.status):
        interior = bool(status == INTERIOR)
        three = slices.counts[row, max(found.index[row] - 1, 0) : found.index[row] + 2]
        dof = max(int((three - 1).sum()), 1)  # of the runs that this minimum hangs on
        dropped = None if drawn is None else float((drawn.status[:, row] != INTERIOR).mean())
        ci95 = None
        if interior and drawn is not None:
            ci95 = _drawn_intervals(drawn, row, dof) if dropped < MAX_DROPPED else None  # type: ignore[operator]
        elif interior and slices.noise_sd:
            ci95 = _delta_intervals(slices, found, row)
        records.append(
            {
                "at": float(slices.at[row]),
                "status": STATUS[status],
                "x_opt": float(found.x_opt[row]) if np.isfinite(found.x_opt[row]) else None,
                "loss_opt": float(found.loss_opt[row]),
                "ci95": ci95,
                "kind": shape.kinds[row],
                "drop_share": dropped,
                "systematic": float(systematic[row]) if interior else None,
            }
        )
    return records


def _drawn_intervals(drawn: Minima, row: int, dof: int) -> dict[str, list[float]]:
    inside = drawn.status[:, row] == INTERIOR
    return {
        "x_opt": percentiles(drawn.x_opt[inside, row], dof).tolist(),
        "loss_opt": percentiles(drawn.loss_opt[inside, row], dof).tolist(),
    }


def _delta_intervals(slices: View, found: Minima, row: int) -> dict[str, list[float]]:
    assert slices.noise_sd is not None
    ends = np.array([1, -1]) * widened_quantile(slices.noise_dof) * slices.noise_sd
    x_opt = found.x_opt[row] * np.exp(ends / np.sqrt(found.log_x_weight[row]))
    loss_opt = found.loss_opt[row] + ends / np.sqrt(found.loss_weight[row])
    return {"x_opt": x_opt.tolist(), "loss_opt": loss_opt.tolist()}
