"""What a page needs to let a reader pick one slice of the grid: runs and minima as plain values."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from relscale.analysis.figures import LABELS, OTHER, SYMBOLS
from relscale.analysis.slice_figures import frame, levels
from relscale.analysis.verdict import NAMES
from relscale.platform.progress import human_count


def chart_data(results: pd.DataFrame, fit: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the interactive chart, ready for JSON.

    Returns
    -------
    {"axes": [{"name", "symbol", "x_label", "ticks": [[x, text]], "slices"}], "levels": [[text, loss]],
    "frame": [low, high]}; a slice has "label", "status", "runs": [[x, loss, seed]], "minimum": [x, loss] or
    None, and its "interval" as in fit.json.
    """
    return {
        "axes": [_axis(results, fit, axis) for axis in NAMES],
        "levels": [[label, level] for label, level in levels(results).items()],
        "frame": list(frame(results, fit)),
    }


def _axis(results: pd.DataFrame, fit: Mapping[str, Any], axis: str) -> dict[str, Any]:
    """The slices at fixed values of `axis`."""
    other = OTHER[axis]
    slices = []
    for record in fit["axes"][axis]["slices"]:
        runs = results[results[axis] == record["at"]].sort_values([other, "seed"])
        has_minimum = record["x_opt"] is not None
        slices.append(
            {
                "label": human_count(record["at"]),
                "status": record["status"],
                "runs": runs[[other, "loss", "seed"]].to_numpy(dtype=float).tolist(),
                "minimum": [record["x_opt"], record["loss_opt"]] if has_minimum else None,
                "interval": record.get("ci95"),
            }
        )
    return {
        "name": NAMES[axis],
        "symbol": SYMBOLS[axis],
        "x_label": LABELS[other],
        "x_name": NAMES[other],
        "ticks": [[float(x), human_count(x)] for x in sorted(results[other].unique())],
        "slices": slices,
    }
