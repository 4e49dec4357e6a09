"""Pictures of entities in time: what their past tells, when their rows come, how hard their tasks are."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from relscale.analysis.database import Link, Table
from relscale.analysis.figures import BLUE, GREEN, GREY, ORANGE, new_figure
from relscale.analysis.inspect_figures import SMALL, WIDTH, panel_grid, short
from relscale.analysis.pasts import SPANS, TaskLook
from relscale.analysis.statistics import fan_out

N_ENTITIES = 40
LINES = (BLUE, ORANGE, GREEN, "#CC79A7", "#E6B800", "#56B4E9")
MARKS = {
    "entity_mean": (GREY, "s"), "last_label": (GREEN, "^"), "mean_of_last_5": (BLUE, "o"),
    "exponential_mean": (ORANGE, "D"),
}  # fmt: skip
DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")


def pasts(found: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """A panel for each foreign key, a line for each of the six columns that the past tells most of."""
    figure, panels = panel_grid(len(found), columns=3, height=2.5, ruled=True)
    with matplotlib.rc_context(SMALL):
        for axes, (label, columns) in zip(panels, found.items(), strict=True):
            best = sorted(columns.items(), key=lambda pair: -pair[1].max())[: len(LINES)]
            for (name, values), colour in zip(best, LINES, strict=False):
                axes.plot(
                    SPANS, values, "o-", color=colour, markersize=3, linewidth=1.2, label=short(name, 20)
                )
            axes.set(xscale="log", ylim=(0, 1), title=short(label, 48))
            axes.set_xticks(SPANS, map(str, SPANS))
            axes.minorticks_off()
            axes.legend(frameon=False, fontsize=7)
        for axes in panels[-3:]:
            axes.set_xlabel("past rows that are averaged", labelpad=1)
        for axes in panels[::3]:
            axes.set_ylabel("R² with the next")
    return figure


def events(link: Link, child: Table) -> Figure:
    """Rows of the parents with most of them, against time; rows by hour of the day and day of the week."""
    assert child.times is not None
    parents = link.parents[child.rows]
    known = (parents >= 0) & np.isfinite(child.times)
    counts = fan_out(link)
    busiest = np.sort(np.argsort(-counts, kind="stable")[:N_ENTITIES])
    figure = new_figure(WIDTH, 3.2)
    with matplotlib.rc_context(SMALL):
        left, middle, right = figure.subplots(1, 3, width_ratios=(3.2, 1, 1))
        for line, parent in enumerate(busiest):
            times = child.times[known & (parents == parent)].astype("datetime64[s]")
            left.plot(times, np.full(len(times), line), "|", color=BLUE, markersize=4, alpha=0.6)
        left.set(
            yticks=[], ylabel=f"{len(busiest)} rows of {short(link.parent, 20)}", title=short(link.label, 60)
        )
        locator = AutoDateLocator(maxticks=6)
        left.xaxis.set_major_locator(locator)
        left.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
        seconds = child.times[known]
        week = np.bincount(((seconds // 86_400 + 3) % 7).astype(int), minlength=7)
        middle.bar(range(7), week / max(1, week.sum()), color="#BBBBBB")
        middle.set_xticks(range(7), DAYS)
        middle.set(title="day of the week", ylabel="share of the rows")
        hours = np.bincount((seconds % 86_400 // 3600).astype(int), minlength=24)
        right.bar(range(24), hours / max(1, hours.sum()), color="#BBBBBB")
        right.set(title="hour of the day", xticks=range(0, 24, 6))
    return figure


def difficulty(tasks: Sequence[TaskLook]) -> Figure:
    """How far simple predictors come on the val labels of each task; yes-or-no tasks left, numbers right."""
    sides = [[task for task in tasks if task.metric == metric] for metric in ("AUROC", "R2")]
    figure = new_figure(WIDTH, 0.32 * max(2, *map(len, sides)) + 1.1)
    with matplotlib.rc_context(SMALL):
        for axes, side, name, low in zip(
            figure.subplots(1, 2), sides, ("AUROC", "R²"), (0.4, -0.2), strict=True
        ):
            for place, task in enumerate(side):
                for baseline, (colour, marker) in MARKS.items():
                    value = max(low, task.scores[baseline])
                    axes.plot([value], [place], marker, color=colour, markersize=5, alpha=0.85)
            axes.set_yticks(range(len(side)), [short(task.name, 40) for task in side])
            axes.set(ylim=(len(side) - 0.4, -0.6), xlim=(low - 0.03, 1.03), xlabel=f"{name} on val")
            axes.axvline(0.5 if name == "AUROC" else 0, color=GREY, linewidth=0.8, linestyle=":")
            if not side:
                axes.text(0.5, 0.5, "no such task", ha="center", color=GREY, transform=axes.transAxes)
        handles = [
            Line2D([], [], color=colour, marker=marker, linestyle="", label=name.replace("_", " "))
            for name, (colour, marker) in MARKS.items()
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=8, frameon=False)
    return figure
