"""Slices of the grid: loss along one axis with a line for each value of the other."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from relscale.analysis.figures import (
    GREY,
    LABELS,
    OTHER,
    STYLE,
    SYMBOLS,
    WIDTH,
    Drawing,
    count_axis,
    cross,
    label_ends,
    new_figure,
    shades,
)
from relscale.analysis.verdict import NAMES
from relscale.platform.progress import human_count

LEVELS = {"loss_mean_predictor": "column means alone", "loss_entity_mean": "entity means alone"}
"""Columns of a results table that hold what a predictor without a network reaches on the same cells."""
HEADROOM = 3.0
"""The frame holds this many times the spread of the slices' minima: one bad corner would flatten the rest."""


def loss_curves(results: pd.DataFrame, fit: Mapping[str, Any]) -> Drawing:
    """Loss against tokens with a line for each N, and against databases with a line for each S.

    Parameters
    ----------
    results : used rows (n_databases, tokens, seed, loss); dots are runs, lines their means. The columns of
        `LEVELS`, where there are any, are dashed lines.
    fit : content of fit.json; interior minima are filled diamonds, those at an edge hollow.
    """
    figure = new_figure(WIDTH, 4.9)
    top, known = _top(results, fit), levels(results)
    with matplotlib.rc_context(STYLE):
        both = figure.subplots(1, 2, sharey=True)
        both[0].set_ylim(*frame(results, fit))
        for axes, line_axis in zip(both, NAMES, strict=True):
            _draw_slices(axes, results, fit["axes"][line_axis]["slices"], line_axis, top)
            for level in known.values():
                if level <= top:
                    axes.axhline(level, color=GREY, linewidth=1.2, linestyle="--")
        both[0].set_ylabel("held-out loss L")
    return Drawing(figure=figure, caption=_caption(results, fit, known, top), data=slice_rows(results, fit))


def levels(results: pd.DataFrame) -> dict[str, float]:
    """{name: loss} of the predictors without a network that the table knows, by their mean over the runs."""
    return {label: float(results[name].mean()) for name, label in LEVELS.items() if name in results}


def frame(results: pd.DataFrame, fit: Mapping[str, Any]) -> tuple[float, float]:
    """Limits of the loss that show every minimum well; what lies above is left out."""
    top = _top(results, fit)
    low = min([float(results["loss"].min()), *(level for level in levels(results).values() if level <= top)])
    margin = 0.05 * (top - low) or 0.01
    return low - margin, top + margin


def slice_rows(results: pd.DataFrame, fit: Mapping[str, Any]) -> pd.DataFrame:
    """Runs and minima in one table: kind "run" or "minimum", and for a minimum its slice and interval."""
    runs = results[["n_databases", "tokens", "seed", "loss"]].assign(kind="run")
    rows = []
    for axis in NAMES:
        for record in fit["axes"][axis]["slices"]:
            interval = record.get("ci95") or {}
            x_low, x_high = interval.get("x_opt") or (None, None)
            low, high = interval.get("loss_opt") or (None, None)
            row = {
                "kind": "minimum",
                "slice_of": axis,
                "status": record["status"],
                "loss": record["loss_opt"],
            }
            row |= {axis: record["at"], OTHER[axis]: record["x_opt"]}
            rows.append(row | {"x_low": x_low, "x_high": x_high, "loss_low": low, "loss_high": high})
    first = ["kind", "slice_of", "n_databases", "tokens", "seed", "loss", "status"]
    table = pd.DataFrame([*runs.to_dict("records"), *rows])
    return table[[*first, *table.columns.difference(first, sort=False)]]


def _top(results: pd.DataFrame, fit: Mapping[str, Any]) -> float:
    """The highest loss that is shown."""
    minima = [record["loss_opt"] for axis in NAMES for record in fit["axes"][axis]["slices"]]
    lowest, highest = min(minima), float(results["loss"].max())
    top = lowest + HEADROOM * (max(minima) - lowest)
    return top if lowest < top < highest else highest


def _draw_slices(
    axes: Axes, results: pd.DataFrame, slices: Sequence[Mapping[str, Any]], line_axis: str, top: float
) -> None:
    """One line for each value of `line_axis` along the other axis."""
    x_axis = OTHER[line_axis]
    colours = shades([record["at"] for record in slices])
    ends = []
    for record in slices:
        runs, colour = results[results[line_axis] == record["at"]], colours[record["at"]]
        means = runs.groupby(x_axis)["loss"].mean()
        axes.plot(means.index, means, color=colour, linewidth=1.5)
        axes.plot(runs[x_axis], runs["loss"], ".", color=colour, markersize=4, alpha=0.5)
        if record["x_opt"] is not None:
            face = colour if record["status"] == "interior" else "white"
            place = record["x_opt"], record["loss_opt"]
            cross(axes, *place, record.get("ci95"), colour=colour)
            axes.plot(*place, "D", color=colour, markerfacecolor=face, markersize=6.5, zorder=4)
        ends.append((*_last_seen(means, top), human_count(record["at"]), colour))
    count_axis(axes, results[x_axis].to_numpy(), LABELS[x_axis])
    last_x = float(results[x_axis].max())
    known = [(last_x, level, label.replace(" alone", ""), GREY) for label, level in levels(results).items()]
    _name_lines(axes, [*ends, *(end for end in known if end[1] <= top)], SYMBOLS[line_axis], last_x)
    n_interior = sum(record["status"] == "interior" for record in slices)
    axes.set_title(f"Over {NAMES[x_axis]}: {n_interior} of {len(slices)} minima lie inside the grid", pad=20)


def _last_seen(means: pd.Series, top: float) -> tuple[float, float]:
    """Where a line ends, or where it leaves the frame through its top."""
    x, y = means.index.to_numpy(dtype=np.float64), means.to_numpy()
    if y[-1] <= top or not (y <= top).any():
        return float(x[-1]), float(min(y[-1], top))
    last = int(np.flatnonzero(y <= top)[-1])
    share = (top - y[last]) / (y[last + 1] - y[last])
    return float(x[last] * (x[last + 1] / x[last]) ** share), top


def _name_lines(
    axes: Axes, ends: Sequence[tuple[float, float, str, Any]], symbol: str, last_x: float
) -> None:
    """Names at the right ends, or above the frame for a line that leaves through its top."""
    label_ends(axes, [end for end in ends if end[0] >= last_x])
    for x, _, text, colour in ends:
        if x < last_x:
            place: Any = axes.get_xaxis_transform()
            axes.annotate(text, (x, 1), (0, 3), xycoords=place, textcoords="offset points", color=colour,
                          fontsize=9, ha="center")  # fmt: skip
    axes.text(1.03, 1.02, f"{symbol} =", transform=axes.transAxes, fontsize=9, color=GREY, va="bottom")


def _caption(results: pd.DataFrame, fit: Mapping[str, Any], known: Mapping[str, float], top: float) -> str:
    words = (
        "A dot is a run, a line the mean over seeds, a diamond the lowest point of a line: filled where it "
        "lies inside the grid, hollow where it is the last value tried. A line that turns up again shows "
        "harm by too much of one thing for the other."
    )
    if any(record.get("ci95") for axis in NAMES for record in fit["axes"][axis]["slices"]):
        words += " Bars: 95 % intervals of the place and the loss of a minimum."
    if above := int((results["loss"] > top * 1.0001).sum()):
        words += f" {above} of {len(results)} runs lie above the frame; the heat map has them."
    for label, level in known.items():
        words += (
            f" {label[0].upper()}{label[1:]} reach {level:.4g}{', above the frame' if level > top else ''}."
        )
    return words
