"""Pictures of what databases hold: keys, columns, time, dependence; and its spread over a corpus."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, PowerNorm
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from relscale.analysis import statistics
from relscale.analysis.database import Column, Database, Link, Table
from relscale.analysis.figures import BLUE, GREEN, GREY, ORANGE, STYLE, new_figure
from relscale.analysis.statistics import Dependence
from relscale.analysis.summaries import Difference
from relscale.platform.progress import human_count

WIDTH = 11.5  # inches, the page's text width
KINDS = {
    "number": BLUE, "boolean": ORANGE, "category": GREEN, "text": "#CC79A7", "time": "#E6B800", "other": GREY,
}  # fmt: skip
SMALL: Any = {**STYLE, "font.size": 8, "axes.titlesize": 8.5}
MAX_DOTS = 6000


def fan_out(links: Sequence[Link]) -> Figure:
    """Share of parents with at least k children against k, beside a Poisson law of the same mean."""
    figure, panels = panel_grid(len(links), columns=4, height=2.0, ruled=True)
    with matplotlib.rc_context(SMALL):
        for axes, link in zip(panels, links, strict=True):
            counts = statistics.fan_out(link)
            values, shares = statistics.ccdf(counts)
            if not len(values):
                axes.text(0.5, 0.5, "no row has a parent", ha="center", transform=axes.transAxes, color=GREY)
                continue
            floor = 0.5 / len(counts)
            poisson = statistics.poisson_ccdf(float(counts.mean()), int(values[-1]))
            shown = poisson > floor
            axes.plot(
                np.arange(1, len(poisson) + 1)[shown],
                poisson[shown],
                color=GREY,
                linestyle="--",
                linewidth=1.1,
            )
            axes.plot(values, shares, color=BLUE, linewidth=1.4, marker=".", markersize=4)
            axes.set(xscale="log", yscale="log", ylim=(floor, 1.6), xlim=(0.9, max(2.0, values[-1] * 1.4)))
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if values[-1] < 60 else (1,)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: human_count(value)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.set_title(short(link.label, 42))
            note = f"mean {counts.mean():.3g}, largest {human_count(counts.max())}"
            note += f"\nno child {_percent((counts == 0).mean())}"
            axes.text(0.04, 0.06, note, transform=axes.transAxes, fontsize=7.5, color="#333333")
        _outer(panels, 4, "children k", "parents with ≥ k")
    return figure


def locality(links: Sequence[Link]) -> Figure:
    """A dot for each child row at its number and its parent's number: blocks and drifts show."""
    figure, panels = panel_grid(len(links), columns=4, height=2.5)
    with matplotlib.rc_context(SMALL):
        for axes, link in zip(panels, links, strict=True):
            rows = np.flatnonzero(link.parents >= 0)
            rows = rows[statistics.evenly(len(rows), MAX_DOTS)]
            size = 1.4 if len(rows) > 2000 else 2.4
            axes.plot(
                rows,
                link.parents[rows],
                "o",
                markersize=size,
                markeredgewidth=0,
                color=BLUE,
                alpha=0.45,
                rasterized=True,
            )
            axes.set(xlim=(0, len(link.parents)), ylim=(0, link.n_parents))
            axes.set_title(short(link.label, 42))
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(4, integer=True))
                axis.set_major_formatter(FuncFormatter(lambda value, _: human_count(value)))
        _outer(panels, 4, "child row", "parent row")
    return figure


def kinds_and_missing(database: Database) -> Figure:
    """Left the kind of every column of every table, right the share of its values that is missing."""
    tables = [table for table in database.tables.values() if table.columns]
    widest = max((len(table.columns) for table in tables), default=1)
    kinds, missing = (np.full((len(tables), widest), np.nan) for _ in range(2))
    for row, table in enumerate(tables):
        ordered = sorted(table.columns, key=lambda column: list(KINDS).index(column.kind))
        kinds[row, : len(ordered)] = [list(KINDS).index(column.kind) for column in ordered]
        missing[row, : len(ordered)] = [column.missing_share for column in ordered]
    figure = new_figure(WIDTH, 0.2 * max(4, len(tables)) + 1.0)
    with matplotlib.rc_context({**SMALL, "axes.grid": False}):
        left, right = figure.subplots(1, 2, sharey=True)
        colours = ListedColormap([*KINDS.values()])
        left.pcolormesh(
            kinds,
            cmap=colours,
            vmin=-0.5,
            vmax=len(KINDS) - 0.5,
            edgecolor="white",
            linewidth=0.8,
            alpha=0.85,
        )
        heat = right.pcolormesh(
            missing, cmap="magma_r", norm=PowerNorm(0.5, 0, 1), edgecolor="white", linewidth=0.8
        )
        left.set_yticks(np.arange(len(tables)) + 0.5, [short(table.name, 26) for table in tables])
        left.set_ylim(len(tables), 0)
        present = [kind for place, kind in enumerate(KINDS) if (kinds == place).any()]
        handles = [matplotlib.patches.Patch(color=KINDS[kind], label=kind, alpha=0.85) for kind in present]
        left.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=6, borderaxespad=0.3)
        bar = figure.colorbar(heat, ax=right, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1], fraction=0.04)
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _percent(value)))
        right.set_title("share missing")
        for axes in (left, right):
            axes.set_xlabel("columns of the table")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.tick_params(left=False)
            for spine in axes.spines.values():
                spine.set_visible(False)
    return figure


def columns(table: Table, shown: Sequence[Column]) -> Figure:
    """A small histogram (numbers, times) or bars (booleans, categories, texts) for each column shown."""
    figure, panels = panel_grid(len(shown), columns=6, height=1.35, head=0.3, foot=0.3)
    part = (
        f"{len(shown)} of {len(table.columns)} columns" if len(shown) < len(table.columns) else "all columns"
    )
    title = f"{table.name}: {table.n_rows:,} rows, {part}"
    figure.text(0.012, 0.995, title, va="top", fontsize=10.5, weight="bold")
    with matplotlib.rc_context(SMALL):
        for axes, column in zip(panels, shown, strict=True):
            values = column.values[np.isfinite(column.values)]
            gap = f"  ({_percent(column.missing_share)} missing)" if column.missing_share > 0 else ""
            axes.set_title(short(column.name, 24 - len(gap) // 2) + gap, fontsize=8)
            axes.tick_params(labelsize=7)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            constant = column.kind == "number" and len(values) > 1 and values.min() == values.max()
            if not len(values) or column.kind == "other" or constant:
                word = "all missing" if not len(values) else "not drawn"
                word = f"always {_tick(values[0])}" if constant else word
                axes.text(0.5, 0.5, word, ha="center", color=GREY, transform=axes.transAxes)
                axes.set_xticks([])
            elif column.kind in ("number", "time"):
                _draw_histogram(axes, column, values)
            else:
                _draw_shares(axes, column, values)
    return figure


def _draw_histogram(axes: Axes, column: Column, values: np.ndarray) -> None:
    low, high = np.quantile(values, [0.005, 0.995])
    whole = values.max() - values.min()
    if not 0 < high - low < whole / 3:  # only a tail that would flatten the rest is cut
        low, high = values.min(), values.max()
    else:
        axes.text(0.98, 0.9, "1 % cut", ha="right", fontsize=6.5, color=GREY, transform=axes.transAxes)
    edges = _edges(values[(values >= low) & (values <= high)], n_bins=30)
    axes.stairs(np.histogram(values, edges)[0], edges, fill=True, color=KINDS[column.kind])
    axes.set_ylim(0, None)
    if column.kind == "time":
        axes.set_xticks([low, high], [date(low)[:7], date(high)[:7]])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))


def _draw_shares(axes: Axes, column: Column, values: np.ndarray) -> None:
    codes, counts = np.unique(values, return_counts=True)
    names = ["False", "True"] if column.kind == "boolean" else column.labels
    top = min(5, len(codes))
    labels = [short(names[int(code)], 14) for code in codes[:top]]
    shares = counts[:top] / counts.sum()
    if len(codes) > top:
        labels.append(f"{human_count(len(codes) - top)} others")
        shares = np.append(shares, counts[top:].sum() / counts.sum())
    axes.barh(range(len(labels)), shares, color=KINDS[column.kind], height=0.75, alpha=0.45)
    for place, (label, share) in enumerate(zip(labels, shares, strict=True)):
        axes.text(0.01, place, f"{label}  {_percent(share)}", va="center", fontsize=7)
    axes.set(xlim=(0, 1), ylim=(max(2.4, len(labels) - 0.4), -0.6), xticks=[])
    axes.spines["bottom"].set_visible(False)


def over_time(database: Database, chosen: Mapping[str, Sequence[Column]], n_bins: int = 40) -> Figure:
    """For each table the rows, then the means of some columns, in equal bins of time; the splits marked."""
    widest = 1 + max(map(len, chosen.values()))
    figure, panels = panel_grid(widest * len(chosen), columns=widest, height=1.75, ruled=True)
    with matplotlib.rc_context(SMALL):
        for row, (name, cols) in enumerate(chosen.items()):
            table = database.tables[name]
            here = panels[row * widest : (row + 1) * widest]
            assert table.times is not None
            times = table.times[np.isfinite(table.times)]
            edges = np.linspace(times.min(), times.max(), n_bins + 1)
            middle = _moments((edges[1:] + edges[:-1]) / 2)
            here[0].stairs(np.histogram(times, edges)[0], _moments(edges), fill=True, color="#BBBBBB")
            here[0].set_title(f"{short(name, 24)}: rows")
            for axes, column in zip(here[1:], cols, strict=False):
                _draw_mean(axes, middle, statistics.binned_means(column.values, table.times, edges))
                axes.set_title(f"mean of {short(column.name, 24)}")
            for axes in here[1 + len(cols) :]:
                axes.set_visible(False)
            for axes in here[: 1 + len(cols)]:
                _mark_splits(axes, database, named=axes is here[0] and row == 0)
                axes.set_xlim(*_moments(edges[[0, -1]]))
                locator = AutoDateLocator(maxticks=5)
                axes.xaxis.set_major_locator(locator)
                axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
                axes.yaxis.set_major_locator(MaxNLocator(4))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    return figure


def _draw_mean(axes: Axes, x: np.ndarray, means: tuple[np.ndarray, np.ndarray]) -> None:
    mean, error = means
    axes.fill_between(x, mean - 2 * error, mean + 2 * error, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(x, mean, color=BLUE, linewidth=1.2)


def _mark_splits(axes: Axes, database: Database, *, named: bool) -> None:
    splits = (
        ("val ", database.val_timestamp, "--", "right"),
        (" test", database.test_timestamp, "-", "left"),
    )
    for word, stamp, line, side in splits:
        if stamp is not None:
            place = _moments(np.array([stamp]))[0]
            axes.axvline(place, color=ORANGE, linewidth=1, linestyle=line)
            if named:
                style: Any = {"ha": side, "va": "bottom", "fontsize": 7, "color": ORANGE}
                axes.annotate(word, (place, 1), xycoords=("data", "axes fraction"), **style)


def dependence(found: Mapping[str, Sequence[Dependence]]) -> Figure:
    """A row for each foreign key: the adjusted eta squared of the child's columns, strongest first."""
    widest = max(map(len, found.values()))
    table = np.full((len(found), widest), np.nan)
    for row, results in enumerate(found.values()):
        table[row, : len(results)] = [max(0.0, result.eta_squared) for result in results]
    figure = new_figure(WIDTH, 0.2 * max(4, len(found)) + 0.9)
    with matplotlib.rc_context({**SMALL, "axes.grid": False}):
        axes = figure.subplots()
        heat = axes.pcolormesh(table, cmap="Blues", vmin=0, vmax=1, edgecolor="white", linewidth=0.8)
        for row, results in enumerate(found.values()):
            null = [place + 0.5 for place, result in enumerate(results) if not result.found]
            axes.plot(
                null, [row + 0.5] * len(null), "x", color="#AAAAAA", markersize=3.5, markeredgewidth=0.8
            )
        strongest = [
            f"{short(results[0].column, 24)} {max(0.0, results[0].eta_squared):.2f}"
            for results in found.values()
        ]
        axes.set_yticks(np.arange(len(found)) + 0.5, [short(label, 44) for label in found])
        axes.set(ylim=(len(found), 0), xlabel="columns of the child table, strongest first")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        beside = axes.secondary_yaxis("right")
        beside.set_yticks(np.arange(len(found)) + 0.5, strongest)
        beside.tick_params(right=False)
        axes.tick_params(left=False)
        for spine in (*axes.spines.values(), *beside.spines.values()):
            spine.set_visible(False)
        figure.colorbar(heat, ax=axes, label="adjusted η²", fraction=0.025, pad=0.01)
    return figure


def distributions(
    rows: pd.DataFrame,
    labels: Mapping[str, str],
    against: pd.DataFrame | None = None,
    differences: Sequence[Difference] = (),
) -> Figure:
    """A histogram over databases for each statistic; outlined over it a second corpus, with its test."""
    tested = {difference.statistic: difference for difference in differences}
    figure, panels = panel_grid(len(labels), columns=5, height=1.62)
    with matplotlib.rc_context(SMALL):
        for axes, (name, label) in zip(panels, labels.items(), strict=True):
            sides = [rows[name], *([against[name]] if against is not None and name in against else [])]
            _draw_distribution(
                axes, [side.dropna().to_numpy(float) for side in sides], room=1.4 if name in tested else 1.05
            )
            axes.set_title(short(label, 36), fontsize=8)
            if name in tested:
                p = tested[name].p_value
                style: dict[str, Any] = {"color": ORANGE, "weight": "bold"} if p < 0.01 else {"color": GREY}
                text = f"D {tested[name].distance:.2f}\np {p:.2g}"
                axes.text(
                    0.99, 0.97, text, ha="right", va="top", fontsize=7, transform=axes.transAxes, **style
                )
    return figure


def _draw_distribution(axes: Axes, sides: list[np.ndarray], *, room: float) -> None:
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    everything = np.concatenate(sides)
    if not len(everything):
        axes.text(0.5, 0.5, "nothing to measure", ha="center", color=GREY, transform=axes.transAxes)
        axes.set_xticks([])
        return
    edges = _edges(everything, n_bins=int(np.clip(2 * len(sides[0]) ** 0.5, 8, 30)))
    styles: list[dict[str, Any]] = [
        {"fill": True, "color": BLUE, "alpha": 0.55}, {"color": ORANGE, "linewidth": 1.3}
    ]  # fmt: skip
    tallest = 0.0
    for side, style in zip(sides, styles, strict=False):
        if len(side):
            shares = np.histogram(side, edges)[0] / len(side)
            axes.stairs(shares, edges, **style)
            axes.plot(np.median(side), 0, "^", color=style["color"], markersize=5, clip_on=False, zorder=4)
            tallest = max(tallest, shares.max())
    axes.set_ylim(0, room * tallest)
    axes.tick_params(labelsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=bool(np.all(everything == np.round(everything)))))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))


def _edges(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Bins over all values; for whole numbers they lie around whole numbers."""
    low, high = values.min(), values.max()
    if np.all(values == np.round(values)):
        step = np.ceil(max(1.0, high - low + 1) / n_bins)
        return np.arange(low, high + 2 * step, step) - 0.5
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, n_bins + 1)


def panel_grid(
    n: int, *, columns: int, height: float, head: float = 0.0, foot: float = 0.42, ruled: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of page width with n panels of a height in inches, row by row, with room above and below."""
    n_rows = max(1, -(-n // columns))
    total = n_rows * height + head + foot - 0.27
    figure = new_figure(WIDTH, total, layout=None)  # a layout engine takes seconds over so many panels
    place = {"left": 0.06, "right": 0.99, "top": 1 - (head + 0.28) / total, "bottom": foot / total}
    gaps = {"wspace": 0.22, "hspace": 0.55 / (height - 0.55)}  # inches over inches of a panel
    with matplotlib.rc_context({**SMALL, "axes.grid": ruled}):
        grid = figure.subplots(n_rows, columns, squeeze=False, gridspec_kw={**place, **gaps})
    for axes in list(grid.flat)[n:]:
        axes.set_visible(False)
    return figure, list(grid.flat)[:n]


def _outer(panels: Sequence[Axes], columns: int, x: str, y: str) -> None:
    for place, axes in enumerate(panels):
        if place + columns >= len(panels):
            axes.set_xlabel(x, labelpad=1)
        if place % columns == 0:
            axes.set_ylabel(y)


def _moments(seconds: np.ndarray) -> np.ndarray:
    return seconds.astype("datetime64[s]")


def date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"


def _tick(value: float) -> str:
    return human_count(value) if abs(value) >= 1e4 else f"{value:.4g}"
