"""The whole grid at once: mean loss with the ridges of both axes, and the loss of each type of cell."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from relscale.analysis.figures import LABELS, ORANGE, STYLE, WIDTH, Drawing, new_figure
from relscale.analysis.slice_figures import LEVELS
from relscale.analysis.verdict import NAMES
from relscale.platform.progress import human_count

GAMMA = 0.4  # losses crowd just above their minimum: half of the colours go to the lowest sixth
RIDGES = {
    "n_databases": ("black", "best S for each N", "tokens_of_n"),
    "tokens": (ORANGE, "best N for each S", "n_of_tokens"),
}


def loss_heatmap(results: pd.DataFrame, fit: Mapping[str, Any]) -> Drawing:
    """Mean loss over log2 N and log2 S, both ridges, and the lowest value of each row and column.

    Parameters
    ----------
    results : used rows (n_databases, tokens, seed, loss).
    fit : content of fit.json; a ridge goes through interior minima, with the fitted slope if there is one.
    """
    grid = _pivot(results, "loss")
    values = grid.to_numpy()
    figure = new_figure(WIDTH, 2.0 + 0.52 * values.shape[0])
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        axes = figure.subplots()
        image = _draw_cells(axes, grid, PowerNorm(GAMMA, np.nanmin(values), np.nanmax(values)))
        _write_cells(axes, grid, image)
        _mark_minima(axes, grid)
        for axis in NAMES:
            _draw_ridge(axes, fit, axis)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2, fontsize=9.5, handletextpad=0.6)
        best = np.unravel_index(np.nanargmin(values), values.shape)
        where = (
            f"{human_count(grid.index[best[0]])} databases and {human_count(grid.columns[best[1]])} tokens"
        )
        axes.set_title(f"Lowest mean loss {values[best]:.4f}, at {where}", pad=30)
        figure.colorbar(image, ax=axes, label="mean held-out loss", shrink=0.9, pad=0.015)
    caption = (
        "Mean held-out loss of every grid point; yellow is low. Black: the best number of tokens for each "
        "number of databases; orange: the best number of databases for each number of tokens. A frame is "
        "the lowest cell, a dot the interpolated minimum with its 95 % interval, a line the power law "
        "through the dots. Ridges that climb from corner to corner say that both must grow together."
    )
    runs = results.groupby(["n_databases", "tokens"])["loss"]
    return Drawing(figure=figure, caption=caption, data=runs.agg(["mean", "std", "count"]).reset_index())


def type_names(results: pd.DataFrame) -> list[str]:
    """The columns loss_TYPE of a results table."""
    found = [name for name in results if name.startswith("loss_") and not name.startswith(tuple(LEVELS))]
    return [name for name in found if results[name].notna().any()]


def loss_by_type(results: pd.DataFrame) -> Drawing | None:
    """The loss of each type of cell over the grid, each panel on its own scale; None without such columns."""
    names = type_names(results)
    if not names:
        return None
    columns = min(3, len(names))
    n_rows = -(-len(names) // columns)
    figure = new_figure(WIDTH, 0.4 + 3.0 * n_rows)
    with matplotlib.rc_context({**STYLE, "axes.grid": False, "font.size": 9.5}):
        panels = figure.subplots(n_rows, columns, squeeze=False)
        for axes in panels.flat[len(names) :]:
            axes.set_visible(False)
        for place, (axes, name) in enumerate(zip(panels.flat, names, strict=False)):
            _draw_type(axes, _pivot(results, name), name.removeprefix("loss_"))
            _note_levels(axes, results, name)
            if place % columns:
                axes.set_ylabel("")
    caption = (
        "The loss of one type of cell a panel, each on its own colours; yellow is low. Dots: the best number "
        "of tokens for each number of databases; ring: the lowest of all. Panels whose dots differ in slope "
        "say that one schedule does not suit every type."
    )
    return Drawing(
        figure=figure, caption=caption,
        data=results.groupby(["n_databases", "tokens"])[names].mean().reset_index(),
    )  # fmt: skip


def _pivot(results: pd.DataFrame, name: str) -> pd.DataFrame:
    return results.pivot_table(
        index="n_databases", columns="tokens", values=name, aggfunc="mean", dropna=False
    )


def _borders(values: np.ndarray) -> np.ndarray:
    """Borders of cells around log2 values, halfway between neighbours: shape (n + 1,)."""
    x = np.log2(np.asarray(values, dtype=np.float64))
    if len(x) == 1:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    middle = (x[1:] + x[:-1]) / 2
    return np.array([2 * x[0] - middle[0], *middle, 2 * x[-1] - middle[-1]])


def _draw_cells(axes: Axes, grid: pd.DataFrame, norm: Any) -> Any:
    x, y = _borders(grid.columns.to_numpy()), _borders(grid.index.to_numpy())
    image = axes.pcolormesh(
        x, y, grid.to_numpy(), norm=norm, cmap="cividis_r", edgecolor="white", linewidth=0.6
    )
    for axis, values, place in (
        (axes.xaxis, grid.columns, "tokens"),
        (axes.yaxis, grid.index, "n_databases"),
    ):
        shown = values[:: -(-len(values) // 10)]
        axis.set_ticks(np.log2(shown.to_numpy(dtype=np.float64)), [human_count(value) for value in shown])
        axis.set_label_text(LABELS[place])
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def _write_cells(axes: Axes, grid: pd.DataFrame, image: Any) -> None:
    """The mean at the foot of every cell, above the ridges, with a halo of the cell's colour."""
    heights, x = _borders(grid.index.to_numpy()), np.log2(grid.columns.to_numpy(dtype=np.float64))
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "zorder": 6}
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        y = heights[row] + 0.31 * (heights[row + 1] - heights[row])
        if np.isfinite(value):
            red, green, blue, _ = colour = image.cmap(image.norm(value))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            halo = [withStroke(linewidth=2.5, foreground=colour)]
            shade = "white" if dark else "black"
            axes.text(x[column], y, f"{value:.4f}", color=shade, path_effects=halo, **style)
        else:
            axes.text(x[column], y, "no run", color="#6B6B6B", **style)


def _mark_minima(axes: Axes, grid: pd.DataFrame) -> None:
    """A frame in the lowest cell of each row and, inside of it, in that of each column."""
    values = grid.to_numpy()
    for row in map(int, np.flatnonzero(np.isfinite(values).any(1))):
        _frame_cell(axes, grid, row, int(np.nanargmin(values[row])), "n_databases", inset=0.035)
    for column in map(int, np.flatnonzero(np.isfinite(values).any(0))):
        _frame_cell(axes, grid, int(np.nanargmin(values[:, column])), column, "tokens", inset=0.085)


def _frame_cell(axes: Axes, grid: pd.DataFrame, row: int, column: int, axis: str, *, inset: float) -> None:
    x, y = _borders(grid.columns.to_numpy()), _borders(grid.index.to_numpy())
    width, height = x[column + 1] - x[column], y[row + 1] - y[row]
    corner = x[column] + inset * width, y[row] + 1.6 * inset * height
    style: dict[str, Any] = {"edgecolor": RIDGES[axis][0], "linewidth": 1.8, "zorder": 3, "gid": axis}
    axes.add_patch(
        Rectangle(corner, (1 - 2 * inset) * width, (1 - 3.2 * inset) * height, facecolor="none", **style)
    )


def _draw_ridge(axes: Axes, fit: Mapping[str, Any], axis: str) -> None:
    """Interior minima of the slices of `axis`, with their intervals; a line of the ridge's exponent."""
    colour, label, name = RIDGES[axis]
    found = [record for record in fit["axes"][axis]["slices"] if record["status"] == "interior"]
    halo = [withStroke(linewidth=3.6, foreground="white")]

    def draw(along: Any, across: Any, **style: Any) -> None:
        pair = (across, along) if axis == "n_databases" else (along, across)
        axes.plot(*pair, color=colour, zorder=5, **style)

    at, best = (np.log2([record[key] for record in found]) for key in ("at", "x_opt"))
    for record in found:
        if interval := (record.get("ci95") or {}).get("x_opt"):
            draw(np.log2([record["at"]] * 2), np.log2(interval), linewidth=1.6, path_effects=halo)
    exponent = fit["ridge"][name]["exponent"]
    if found and exponent is not None:
        ends = np.array([at.min() - 0.4, at.max() + 0.4])
        draw(ends, best.mean() + exponent * (ends - at.mean()), linewidth=1.6, path_effects=halo)
        label += f": exponent {exponent:.2f}"
    draw(at, best, linestyle="none", marker="o", markersize=7, markeredgecolor="white", label=label)


def _draw_type(axes: Axes, grid: pd.DataFrame, name: str) -> None:
    values = grid.to_numpy()
    low, high = np.nanmin(values), np.nanmax(values)
    _draw_cells(axes, grid, PowerNorm(GAMMA, low, high))
    x, y = (np.log2(axis.to_numpy(dtype=np.float64)) for axis in (grid.columns, grid.index))
    rows = np.flatnonzero(np.isfinite(values).any(1))
    best = np.nanargmin(values[rows], 1)
    axes.plot(x[best], y[rows], "o", color="black", markersize=4)
    row, column = np.unravel_index(np.nanargmin(values), values.shape)
    axes.plot(x[column], y[row], "o", markersize=11, markerfacecolor="none", markeredgecolor="black")
    axes.set_title(f"{name}: {low:.4g} to {high:.4g}")
    axes.tick_params(axis="x", labelsize=8.5)
    for label in axes.get_xticklabels()[1::2]:
        label.set_visible(len(grid.columns) <= 4)


def _note_levels(axes: Axes, results: pd.DataFrame, name: str) -> None:
    """What predictors without a network reach on this type, where the table knows it."""
    kind = name.removeprefix("loss_")
    known = {label: f"{level}_{kind}" for level, label in LEVELS.items() if f"{level}_{kind}" in results}
    words = [f"{label} {results[column].mean():.4g}" for label, column in known.items()]
    if words:
        axes.set_title("\n".join([axes.get_title(loc="left"), *words]), fontsize=10)
