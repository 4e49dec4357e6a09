"""Figures of a comparison: frontiers laid over one another, exponents and losses apart; nothing is fitted."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from relscale.analysis.figures import BLUE, GREEN, GREY, ORANGE, STYLE, new_figure
from relscale.analysis.frontier import UNIT
from relscale.analysis.verdict import NAMES
from relscale.platform.progress import human_count

COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#000000")  # Okabe-Ito, readable in grey
MARKERS = "osD^vX"
_LABELS = {"n_databases": "databases N", "tokens": "training tokens S"}
_KINDS = {"ok": "law", "boundary": "boundary law"}

Fits = Mapping[str, Mapping[str, Any]]
"""The content of each study's fit.json, by its name."""


def frontiers(fits: Fits, axis: str) -> Figure:
    """The points and laws of every study along one axis: the loss, and the excess over its own offset.

    A study without a law shows the lowest loss of each slice, hollow, on the left alone.
    """
    figure = new_figure(11.5, 4.6)
    with matplotlib.rc_context(STYLE):
        left, right = figure.subplots(1, 2)
        for number, (name, fit) in enumerate(fits.items()):
            style: dict[str, Any] = {"color": COLOURS[number % 6], "marker": MARKERS[number % 6]}
            law = fit["axes"][axis]
            if law["status"] == "failed":
                lowest = [(record["at"], record["loss_opt"]) for record in law["slices"]]
                label = f"{name}: no law"
                left.plot(
                    *zip(*lowest, strict=True), linestyle=":", markerfacecolor="white", label=label, **style
                )
            else:
                label = f"{name}: {_KINDS[law['status']]}, exponent {law['alpha']:.2f}"
                _draw_law(left, law, axis, 0.0, label, style)
                _draw_law(right, law, axis, law["E"], label, style)
        left.set(ylabel="held-out loss L", title=f"Lowest loss along {NAMES[axis]}")
        right.set(ylabel="excess loss L - E", title="Excess over each study's own offset E")
        _finish(left, right, fits, axis)
    return figure


def _draw_law(
    axes: Axes, law: Mapping[str, Any], axis: str, offset: float, label: str, style: dict[str, Any]
) -> None:
    x, loss = (np.array([point[name] for point in law["points"]]) for name in ("x", "loss"))
    curve = np.geomspace(x.min(), x.max(), 100)
    excess = law["A"] * (curve / UNIT[axis]) ** -law["alpha"]
    axes.plot(curve, excess + law["E"] - offset, color=style["color"], linewidth=1.7)
    if law["band"]:
        low, high = (np.array(law["band"][end]) - offset for end in ("low", "high"))
        floor = excess.min() / 3 if offset else -np.inf
        band: dict[str, Any] = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
        axes.fill_between(law["band"]["x"], np.maximum(low, floor), np.maximum(high, floor), **band)
    above = loss > offset
    axes.plot(x[above], (loss - offset)[above], linestyle="none", markersize=6, label=label, **style)


def _finish(left: Axes, right: Axes, fits: Fits, axis: str) -> None:
    values = np.unique([record["at"] for fit in fits.values() for record in fit["axes"][axis]["slices"]])
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel(_LABELS[axis])
        axes.xaxis.set_major_locator(FixedLocator(list(values[:: -(-len(values) // 8)])))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: human_count(value)))
    left.legend(fontsize=9)
    if not right.lines:
        right.set_axis_off()
        right.set_title("No study has a law along this axis")
        return
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_minor_locator(NullLocator())
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def exponents(comparison: Mapping[str, Any]) -> Figure:
    """Each study's exponents, below them the differences, with 95 % intervals; one column for each axis."""
    studies, pairs = comparison["studies"], comparison["pairs"]
    figure = new_figure(11.5, 1.6 + 0.42 * (len(studies) + len(pairs)))
    with matplotlib.rc_context(STYLE):
        grid = figure.subplots(2, 2, sharey="row", height_ratios=[len(studies) + 0.6, len(pairs) + 0.6])
        for column, axis in enumerate(NAMES):
            laws = [(study["name"], study["axes"][axis]) for study in studies]
            gaps = [(f"{pair['second']} − {pair['first']}", pair["axes"][axis]) for pair in pairs]
            alphas = [(name, law["alpha"], (law["ci95"] or {}).get("alpha")) for name, law in laws]
            apart = [(name, gap["difference"], gap["ci95"]) for name, gap in gaps]
            _draw_intervals(grid[0, column], alphas, COLOURS)
            _draw_intervals(grid[1, column], apart, (GREY,))
            grid[0, column].set_title(f"Exponent along {NAMES[axis]}")
            grid[1, column].axvline(0, color="black", linewidth=1)
            grid[1, column].set_xlabel("difference of exponents")
    return figure


def _draw_intervals(
    axes: Axes, rows: Sequence[tuple[str, float | None, Sequence[float] | None]], colours: Sequence[str]
) -> None:
    for place, (_, value, interval) in enumerate(rows):
        colour = colours[place % len(colours)]
        if value is None:
            axes.text(0.5, place, "no law", transform=axes.get_yaxis_transform(), va="center", color=GREY)
            continue
        if interval:
            axes.plot(interval, [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot(value, place, "o", color=colour, markerfacecolor=colour if interval else "white")
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.15)


def loss_difference(pair: Mapping[str, Any]) -> Figure:
    """Loss of the second study minus that of the first at each common point; bold: clear of zero."""
    at = pd.DataFrame(pair["loss"]["at"])
    grid = at.pivot(index="n_databases", columns="tokens", values="difference")
    sides = {end: at.pivot(index="n_databases", columns="tokens", values=end) for end in ("low", "high")}
    clear = ((sides["low"] > 0) | (sides["high"] < 0)).to_numpy()
    figure = new_figure(3.4 + 0.95 * grid.shape[1], 2.0 + 0.5 * grid.shape[0])
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        axes = figure.subplots()
        values = grid.to_numpy(np.float64)
        far = max(float(np.nanmax(np.abs(values))), 1e-12)
        norm = TwoSlopeNorm(0.0, -far, far)
        image = axes.imshow(values, norm=norm, cmap="PuOr", aspect="auto", origin="lower")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8.5}
                style["fontweight"] = "bold" if clear[row, column] else "normal"
                style["color"] = "white" if abs(value) > 0.7 * far else "black"
                axes.text(column, row, f"{value:+.4f}", **style)
        axes.set_xticks(range(grid.shape[1]), [human_count(value) for value in grid.columns])
        axes.set_yticks(range(grid.shape[0]), [human_count(value) for value in grid.index])
        axes.set(xlabel=_LABELS["tokens"], ylabel=_LABELS["n_databases"])
        axes.spines[:].set_visible(False)
        axes.set_title(f"Loss of {pair['second']} minus that of {pair['first']}")
        figure.colorbar(image, ax=axes, label="difference of loss", shrink=0.9)
    return figure
