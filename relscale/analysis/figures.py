"""Figures of a study: tables and fits to pictures; nothing is fitted here."""

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from relscale.analysis.verdict import NAMES, law_text, reason
from relscale.platform.progress import human_count

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6B6B6B"  # Okabe-Ito, readable in grey
_LABELS = {"n_databases": "databases N", "tokens": "training tokens S"}
STYLE: Any = {
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "relscale",  # equal tables give equal files
}
MEAN_PREDICTOR = "loss_mean_predictor"
_LOWER_IS_BETTER = ("mae", "rmse", "mse", "loss", "error")


def render(figure: Figure) -> tuple[bytes, bytes]:
    """The figure as (PNG, SVG) bytes; equal figures give equal bytes."""
    png, svg = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
        figure.set_layout_engine("none")  # laid out by the first, which costs a third of the time
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return png.getvalue(), svg.getvalue()


def loss_curves(results: pd.DataFrame, fit: Mapping[str, Any]) -> Figure:
    """Loss against tokens with a line for each N, and against databases with a line for each S.

    Parameters
    ----------
    results : used rows (n_databases, tokens, seed, loss); dots are runs, lines their means. With a column
        loss_mean_predictor, a dashed line shows what a predictor reaches that knows column means alone.
    fit : content of fit.json; interior minima are filled diamonds, those at an edge hollow.
    """
    figure = new_figure(11.5, 4.8)
    with matplotlib.rc_context(STYLE):
        for axes, line_axis in zip(figure.subplots(1, 2, sharey=True), NAMES, strict=True):
            _draw_slices(axes, results, fit["axes"][line_axis]["slices"], line_axis)
            if MEAN_PREDICTOR in results:
                axes.axhline(results[MEAN_PREDICTOR].mean(), color=GREY, linewidth=1.2, linestyle="--")
        if MEAN_PREDICTOR in results:
            note = {"color": GREY, "fontsize": 9, "va": "bottom", "transform": axes.get_yaxis_transform()}
            axes.text(0.01, results[MEAN_PREDICTOR].mean(), "column means alone", **note)
    return figure


def loss_heatmap(results: pd.DataFrame) -> Figure:
    """Mean loss over the grid; the minimum of each row and column is marked.

    Parameters
    ----------
    results : used rows (n_databases, tokens, seed, loss).
    """
    grid = results.pivot_table(index="n_databases", columns="tokens", values="loss", aggfunc="mean")
    values, sizes, budgets = grid.to_numpy(), list(map(float, grid.index)), list(map(float, grid.columns))
    figure = new_figure(2.8 + 0.95 * values.shape[1], 1.9 + 0.5 * values.shape[0])
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        axes = figure.subplots()
        # Losses crowd just above their minimum: the norm spends most of the colours there.
        norm = PowerNorm(0.6, np.nanmin(values), np.nanmax(values))
        image = axes.imshow(values, norm=norm, cmap="cividis_r", aspect="auto", origin="lower")
        _write_cells(axes, values, image.norm, image.cmap)
        _mark_minima(axes, values)
        axes.set_xticks(range(values.shape[1]), [human_count(value) for value in budgets])
        axes.set_yticks(range(values.shape[0]), [human_count(value) for value in sizes])
        axes.set(xlabel=_LABELS["tokens"], ylabel=_LABELS["n_databases"])
        axes.spines[:].set_visible(False)
        best = np.unravel_index(np.nanargmin(values), values.shape)
        where = f"{human_count(sizes[best[0]])} databases and {human_count(budgets[best[1]])} tokens"
        axes.set_title(f"Lowest mean loss {values[best]:.4g}, at {where}", pad=30)
        figure.colorbar(image, ax=axes, label="mean held-out loss", shrink=0.9)
    return figure


def axis_law(fit: Mapping[str, Any], axis: str) -> Figure:
    """The law along one axis: loss, and excess loss on logarithmic axes; or the reason why there is none.

    Parameters
    ----------
    fit : content of fit.json.
    axis : "n_databases" or "tokens".
    """
    entry = fit["axes"][axis]
    figure = new_figure(11.5, 4.4)
    with matplotlib.rc_context(STYLE):
        left, right = figure.subplots(1, 2)
        if entry["status"] == "failed":
            _draw_failed(left, right, entry, axis)
        else:
            _draw_law(left, right, entry, axis)
    return figure


def learning_curves(history: pd.DataFrame) -> Figure:
    """Training loss against tokens of every trial, one panel for each N, one colour for each S.

    Parameters
    ----------
    history : columns trial, n_databases, tokens_total, seed, tokens, loss; one row a logged step.
    """
    sizes = sorted(history["n_databases"].unique())
    columns = min(4, len(sizes))
    rows = -(-len(sizes) // columns)
    figure = new_figure(3.0 * columns + 1.8, 2.5 * rows + 0.9)
    budgets = sorted(history["tokens_total"].unique())
    colours = _colours(budgets)
    with matplotlib.rc_context(STYLE):
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(sizes) :]:
            axes.set_visible(False)
        for axes in grid.flat[max(0, len(sizes) - columns) : len(sizes)]:
            axes.tick_params(labelbottom=True)
        # Logarithmic, so that one wild step does not flatten all others.
        grid.flat[0].set_yscale("log")
        grid.flat[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        grid.flat[0].yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        for axes, size in zip(grid.flat, sizes, strict=False):
            here = history[history["n_databases"] == size]
            for (_, budget), trial in here.groupby(["trial", "tokens_total"]):
                trial = trial.sort_values("tokens")
                axes.plot(trial["tokens"], trial["loss"], color=colours[budget], linewidth=1.1, alpha=0.85)
            axes.set_title(f"{human_count(size)} databases")
            _count_axis(axes, np.array(budgets), _LABELS["tokens"].replace(" S", ""))
        for axes in grid[:, 0]:
            axes.set_ylabel("training loss")
        handles = [Line2D([], [], color=colours[value]) for value in budgets]
        labels = [human_count(value) for value in budgets]
        figure.legend(handles, labels, title="tokens of the run", loc="outside right center")
    return figure


def zero_shot_bars(scores: Sequence[Mapping[str, Any]]) -> Figure:
    """Zero-shot scores beside their baselines, one panel for each dataset, task, split and metric.

    Parameters
    ----------
    scores : entries of scores.json; a value of None is named as missing, never drawn as zero.
    """
    panels: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for score in scores:
        key = tuple(str(score[name]) for name in ("dataset", "task", "split", "metric"))
        panels.setdefault(key, []).append(score)
    heights = [len(_bars(entries)) + 1.8 for entries in panels.values()]
    figure = new_figure(9.0, 0.36 * sum(heights) + 0.4)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for axes, (key, entries) in zip(grid[:, 0], panels.items(), strict=True):
            _draw_bars(axes, key, entries)
    return figure


def new_figure(
    width: float, height: float, *, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """An empty figure of so many inches, laid out by matplotlib unless `layout` is None."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _colours(values: Sequence[float]) -> dict[float, Any]:
    """Viridis without its palest end, evenly along the sorted values."""
    places = np.linspace(0.0, 0.88, len(values)) if len(values) > 1 else [0.4]
    return dict(zip(values, matplotlib.colormaps["viridis"](places), strict=True))


def _draw_slices(
    axes: Axes, results: pd.DataFrame, slices: Sequence[Mapping[str, Any]], line_axis: str
) -> None:
    """One line for each value of `line_axis` along the other axis."""
    x_axis = "tokens" if line_axis == "n_databases" else "n_databases"
    colours = _colours([record["at"] for record in slices])
    for record in slices:
        runs, colour = results[results[line_axis] == record["at"]], colours[record["at"]]
        means = runs.groupby(x_axis)["loss"].mean()
        axes.plot(means.index, means, color=colour, linewidth=1.6, label=human_count(record["at"]))
        axes.plot(runs[x_axis], runs["loss"], ".", color=colour, markersize=4, alpha=0.55)
        if record["x_opt"] is not None:
            face = colour if record["status"] == "interior" else "white"
            place = record["x_opt"], record["loss_opt"]
            axes.plot(*place, "D", color=colour, markerfacecolor=face, markersize=7, zorder=4)
    _count_axis(axes, results[x_axis].to_numpy(), _LABELS[x_axis])
    axes.set_ylabel("held-out loss")
    n_interior = sum(record["status"] == "interior" for record in slices)
    axes.set_title(f"Over {NAMES[x_axis]}: {n_interior} of {len(slices)} minima lie inside the grid")
    axes.legend(title=_LABELS[line_axis].split()[-2], fontsize=8.5, ncols=2 if len(slices) > 5 else 1)


def _write_cells(axes: Axes, values: np.ndarray, norm: Any, colours: Any) -> None:
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9}
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = colours(norm(value))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            axes.text(column, row, f"{value:.4f}", color="white" if dark else "black", **style)
        else:
            axes.text(column, row, "no run", color=GREY, **style)


def _mark_minima(axes: Axes, values: np.ndarray) -> None:
    rows, columns = np.arange(values.shape[0]), np.arange(values.shape[1])
    style: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "black", "markersize": 7}
    x, y = np.nanargmin(values, 1) - 0.4, np.nanargmin(values, 0) + 0.3
    axes.plot(x, rows + 0.3, marker="D", markerfacecolor=ORANGE, label="lowest in its row", **style)
    axes.plot(columns + 0.4, y, marker="^", markerfacecolor="white", label="lowest in its column", **style)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize=9, borderaxespad=0.2)


def _draw_law(left: Axes, right: Axes, entry: Mapping[str, Any], axis: str) -> None:
    x = np.array([point["x"] for point in entry["points"]])
    loss = np.array([point["loss"] for point in entry["points"]])
    unit = 1e9 if axis == "tokens" else 1.0
    curve = np.geomspace(x.min(), x.max(), 200)
    excess = entry["A"] * (curve / unit) ** -entry["alpha"]
    for axes, offset in ((left, 0.0), (right, entry["E"])):
        axes.plot(curve, excess + entry["E"] - offset, color=BLUE, linewidth=1.8, label="fitted law")
        if entry["band"]:
            low, high = (np.array(entry["band"][end]) - offset for end in ("low", "high"))
            low = np.maximum(low, excess.min() / 3) if offset else low
            style: dict[str, Any] = {"color": BLUE, "alpha": 0.18, "linewidth": 0}
            axes.fill_between(entry["band"]["x"], low, high, label="95 % band", **style)
        above = loss > offset
        axes.plot(x[above], (loss - offset)[above], "o", color=ORANGE, markersize=6, label="points")
        _count_axis(axes, x, _LABELS[axis])
    if entry["ci95"]:
        low, high = entry["ci95"]["E"]
        left.axhspan(low, high, color=GREY, alpha=0.15, linewidth=0)
    left.axhline(entry["E"], color=GREY, linewidth=1, linestyle="--", label=f"offset E = {entry['E']:.4g}")
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_minor_locator(NullLocator())
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    left.set(ylabel="held-out loss L", title=_as_formula(law_text(entry, axis)))
    kind = "Frontier law" if entry["status"] == "ok" else "Boundary law"
    interval = "95 %: {:.2f} to {:.2f}".format(*entry["ci95"]["alpha"]) if entry["ci95"] else "no interval"
    title = f"{kind}: exponent {entry['alpha']:.2f} ({interval})"
    right.set(ylabel="excess loss L - E", title=title)
    left.legend(fontsize=9)


def _as_formula(text: str) -> str:
    """The exponents of a plain formula as superscripts."""
    return re.sub(r"\^(-?[0-9.]+)", r"$^{\1}$", text)


def _draw_failed(left: Axes, right: Axes, entry: Mapping[str, Any], axis: str) -> None:
    for record in entry["slices"]:
        face = ORANGE if record["status"] == "interior" else "white"
        left.plot(record["at"], record["loss_opt"], "D", color=ORANGE, markerfacecolor=face, markersize=7)
    _count_axis(left, np.array([record["at"] for record in entry["slices"]]), _LABELS[axis])
    left.set(ylabel="lowest loss of the slice", title=f"No law is claimed along {NAMES[axis]}")
    right.set_axis_off()
    legend = "filled: minimum inside the grid\nhollow: minimum at an edge, or none"
    text = f"{textwrap.fill(reason(entry), 52)}\n\n{legend}"
    right.text(0, 0.95, text, va="top", fontsize=11.5, linespacing=1.5, transform=right.transAxes)


def _bars(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, float | None, Any, str]]:
    """(label, value, interval, colour) of a panel: its models, then the baselines they share."""
    models = [(_model_name(entry), entry["value"], entry["ci95"], BLUE) for entry in entries]
    baselines = {name: value for entry in entries for name, value in entry["baselines"].items()}
    return models + [(name, value, None, "#BBBBBB") for name, value in baselines.items()]


def _model_name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("model") or "relscale, zero-shot")


def _draw_bars(axes: Axes, key: tuple[str, ...], entries: Sequence[Mapping[str, Any]]) -> None:
    dataset, task, split, metric = key
    bars = _bars(entries)
    for place, (_, value, interval, colour) in enumerate(bars):
        if value is None:
            axes.text(0, place, " no score", va="center", color=GREY)
            continue
        axes.barh(place, value, color=colour, height=0.7)
        end = value
        if interval:
            axes.plot(interval, [place, place], color="black", linewidth=1.4, marker="|", markersize=8)
            end = max(value, interval[1])
        axes.text(end, place, f"  {value:.3f}", va="center", fontsize=9.5)
    axes.set_yticks(range(len(bars)), [label for label, *_ in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.set_xlabel(metric)
    axes.set_title(f"{dataset} / {task} ({split}): {_comparison(entries, metric)}")


def _comparison(entries: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Which is ahead, in words; intervals decide whether the difference counts."""
    lower = any(part in metric.lower() for part in _LOWER_IS_BETTER)
    pick = min if lower else max
    scored = [entry for entry in entries if entry["value"] is not None]
    baselines = [value for _, value in entries[0]["baselines"].items() if value is not None]
    if not scored or not baselines:
        return "no score" if baselines else "no baseline"
    best, bar = pick(scored, key=lambda entry: entry["value"]), pick(baselines)
    interval = best["ci95"]
    if interval and interval[0] <= bar <= interval[1]:
        return "level with the best baseline"
    ahead = best["value"] < bar if lower else best["value"] > bar
    return "better than the best baseline" if ahead else "worse than the best baseline"


def _count_axis(axes: Axes, values: np.ndarray, label: str) -> None:
    """A logarithmic x axis whose ticks are human numbers at powers of two or ten."""
    values = np.unique(values[values > 0])
    axes.set_xscale("log")
    axes.set_xlabel(label)
    if len(values) <= 16:
        axes.xaxis.set_major_locator(FixedLocator(list(values[:: -(-len(values) // 8)])))
    else:
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: human_count(value)))
