"""How figures look: colours, type, axes and labels; and how a figure becomes files."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from relscale.platform.progress import human_count

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6B6B6B"  # Okabe-Ito, readable in grey
WIDTH = 10.0  # inches; a report is printed at 0.7 of it
LABELS = {"n_databases": "databases N", "tokens": "training tokens S"}
SYMBOLS = {"n_databases": "N", "tokens": "S"}
OTHER = {"n_databases": "tokens", "tokens": "n_databases"}
_CHARACTERS = 5
"""Room of a tick, for its label and a gap."""
STYLE: Any = {
    "font.size": 10.5,
    "text.color": "#1C1C1C",
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#8A8A8A",
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": "#8A8A8A",
    "xtick.labelcolor": "#333333",
    "ytick.color": "#8A8A8A",
    "ytick.labelcolor": "#333333",
    "legend.frameon": False,
    "svg.hashsalt": "relscale",  # equal tables give equal files
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure of a report."""

    figure: Figure
    caption: str
    """What to see in it, in a sentence or three."""
    data: pd.DataFrame
    """The numbers that are drawn."""


def new_figure(
    width: float, height: float, *, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """An empty figure of so many inches, laid out by matplotlib unless `layout` is None."""
    figure = Figure(figsize=(width, height))
    if layout:
        figure.set_layout_engine(layout, h_pad=0.08)
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure) -> tuple[bytes, bytes]:
    """The figure as (PNG, SVG) bytes; equal figures give equal bytes."""
    png, svg = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
        figure.set_layout_engine("none")  # laid out by the first, which costs a third of the time
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return png.getvalue(), svg.getvalue()


def stamp(figure: Figure, note: str) -> None:
    """A warning at the top right that stays with the picture wherever it goes."""
    style: dict[str, Any] = {"fontsize": 9.5, "fontweight": "bold", "color": ORANGE}
    figure.suptitle(note, x=0.995, ha="right", **style)


def shades(values: Sequence[float]) -> dict[float, Any]:
    """Viridis without its palest end, evenly along the sorted values."""
    places = np.linspace(0.0, 0.86, len(values)) if len(values) > 1 else [0.4]
    return dict(zip(values, matplotlib.colormaps["viridis"](places), strict=True))


def count_axis(axes: Axes, values: np.ndarray, label: str, *, n_ticks: int = 8) -> None:
    """A logarithmic x axis whose ticks are human numbers at the values themselves, or at powers of ten."""
    values = np.unique(values[values > 0])
    axes.set_xscale("log")
    axes.set_xlabel(label)
    if len(values) <= 16:
        step = next(s for s in range(1, 17) if _width(values[::s]) <= _CHARACTERS * n_ticks)
        axes.xaxis.set_major_locator(FixedLocator(list(values[::step])))
    else:
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: human_count(value)))


def _width(values: np.ndarray) -> int:
    """Characters that the labels of these values take side by side."""
    return sum(len(human_count(float(value))) + 2 for value in values)


def log_loss_axis(axes: Axes) -> None:
    """A logarithmic y axis with plain numbers at 1, 2 and 5."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def cross(axes: Axes, x: float, y: float, ci95: Mapping[str, Any] | None, *, colour: Any) -> None:
    """The interval of a slice's minimum in both directions: fields x_opt and loss_opt, each (low, high)."""
    style: dict[str, Any] = {"color": colour, "linewidth": 1.2, "solid_capstyle": "butt", "zorder": 3.5}
    if ci95 and ci95.get("x_opt"):
        axes.plot(ci95["x_opt"], [y, y], **style)
    if ci95 and ci95.get("loss_opt"):
        axes.plot([x, x], ci95["loss_opt"], **style)


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, Any]], *, size: float = 9.0) -> None:
    """Write (x, y, text, colour) right of the axes at the height of y, pushed apart where they would overlap.

    The limits of the axes must be final.
    """
    ends = sorted(ends, key=lambda end: end[1])
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = [float(np.clip(to_axes.transform((x, y))[1], 0, 1)) for x, y, *_ in ends]
    box = axes.get_window_extent()
    gap = 1.2 * size / 72 * axes.figure.dpi / box.height
    for (x, y, text, colour), height in zip(ends, spread(wanted, gap), strict=True):
        axes.annotate(
            text,
            (x, y),
            (1.03, height),
            textcoords="axes fraction",
            color=colour,
            fontsize=size,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "lw": 0.6,
                "alpha": 0.6,
                "shrinkA": 1,
                "shrinkB": 3,
            },
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Ascending heights at least `gap` apart, each near the wanted one: crowded labels are centred."""
    pools: list[tuple[float, int]] = []  # centre, size
    for height in wanted:
        pools.append((height, 1))
        while len(pools) > 1 and pools[-1][0] - pools[-2][0] < gap * (pools[-1][1] + pools[-2][1]) / 2:
            (above, n_above), (below, n_below) = pools.pop(), pools.pop()
            total = n_above + n_below
            pools.append(((above * n_above + below * n_below) / total, total))
    return [centre + gap * (place - (n - 1) / 2) for centre, n in pools for place in range(n)]
