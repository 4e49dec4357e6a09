"""The pictures of docs/prior.md: one for each mechanism of the prior relational-events."""

from pathlib import Path
from typing import get_args

import matplotlib
import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from relscale.analysis.figures import BLUE, GREEN, GREY, ORANGE, STYLE, WIDTH, new_figure, render
from relscale.generation.events.config import (
    WHOLE,
    ColumnPrior,
    KeyPrior,
    MeaningPrior,
    Mechanism,
    StylePrior,
    TimePrior,
    TraitPrior,
)
from relscale.generation.events.database import generate_events, hidden_and_shown
from relscale.generation.events.laws import DAY
from relscale.generation.events.mechanisms import apply

HEIGHT = 2.6


def draw_all(folder: Path) -> None:
    """Write prior-<mechanism>.svg for each of them."""
    for draw in (traits, time, tasks, keys, columns, meaning, style):
        with matplotlib.rc_context(STYLE):
            _, svg = render(draw())
        (folder / f"prior-{draw.__name__}.svg").write_bytes(svg)


def traits() -> Figure:
    """How well the mean of an entity's last k values tells its next one, where traits stay and where they
    drift."""
    from prior import PLAIN_COLUMNS, with_parts
    from prior_measures import explained_by_last

    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    spans = (1, 2, 3, 5, 10, 20)
    for drift, colour in ((0.0, BLUE), (0.5, GREEN), (0.95, ORANGE)):
        config = with_parts(
            traits=TraitPrior(event_share=(0.9, 0.9), drift_share=(drift, drift), persistence=(0.8, 0.8)),
            columns=PLAIN_COLUMNS.replace(signal_share=(0.8, 0.8), parent_share=(0, 0)),
        )
        databases = [hidden_and_shown(seed, config) for seed in range(20)]
        means = [np.mean([v for pair in databases for v in explained_by_last(k)(*pair)]) for k in spans]
        axes.plot(spans, means, "o-", color=colour, label=f"drift_share {drift:g}")
    axes.set(xscale="log", xlabel="past rows of the entity that are averaged", ylabel="R2 with its next row")
    axes.set_xticks(spans, map(str, spans))
    axes.minorticks_off()
    axes.legend(frameon=False)
    return figure


def time() -> Figure:
    """Events of thirty entities in a database, and how many fall on each day of the week."""
    config = WHOLE.replace(
        time=TimePrior(span_days=(400, 400), burst_share=(0.5, 0.5), cycle=(0.7, 0.7), whole_days_prob=0)
    )
    rows, database = hidden_and_shown(11, config)
    name = next(t.name for t in database.tables.values() if t.time_col and t.fkeys)
    mine = rows[name]
    figure = new_figure(WIDTH, HEIGHT)
    left, right = figure.subplots(1, 2, width_ratios=(2.2, 1))
    busiest = np.argsort(-np.bincount(mine.keys[0]))[:60:2]
    start = mine.born.min()
    for line, entity in enumerate(busiest):
        days = (mine.born[mine.keys[0] == entity] - start) / DAY
        left.plot(days, np.full(len(days), line), "|", color=BLUE, markersize=4, alpha=0.6)
    left.set(xlabel="day", ylabel="entity", yticks=[])
    right.bar(range(7), np.bincount((mine.born // DAY + 3) % 7, minlength=7), color=GREY)
    right.set(xlabel="day of the week", ylabel="events")
    return figure


def tasks() -> Figure:
    """The share of yes, or the spread of answers, of forecast tasks in train, val and test."""
    figure = new_figure(WIDTH, HEIGHT)
    left, right = figure.subplots(1, 2)
    shares, counts = [], []
    for seed in range(120):
        for task in generate_events(seed, WHOLE).tasks:
            if task.manifest.task_type == "binary_classification":
                shares.append([task.splits[s].column(2).to_numpy().mean() for s in ("train", "test")])
            counts.append(sum(len(labels) for labels in task.splits.values()))
    train, test = np.array(shares).T
    left.plot(train, test, "o", color=BLUE, alpha=0.5, markersize=3)
    left.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    left.set(xlabel="share of yes in train", ylabel="in test", xlim=(0, 1), ylim=(0, 1))
    right.hist(np.log10(counts), bins=20, color=BLUE)
    right.set(
        xlabel="labels of a task", ylabel="tasks", xticks=[2, 3, 4], xticklabels=["100", "1,000", "10,000"]
    )
    return figure


def keys() -> Figure:
    """Who links to whom: communities of both ends of a key, and the children of each parent by rank."""
    figure = new_figure(WIDTH, HEIGHT)
    left, right = figure.subplots(1, 2)
    config = WHOLE.replace(
        keys=KeyPrior(diagonal=(0.7, 0.7), levels=(2, 2), splits=(3, 3), coupling=(1, 1), popularity=(0, 0)),
        rows_activity=(5000, 5000),
    )
    rows, database = hidden_and_shown(4, config)
    table = next(t for t in database.tables.values() if t.time_col and len(t.fkeys) > 1)
    of, parent = rows[table.name].keys[1], list(table.fkeys.values())[1]
    there = of >= 0
    joint = np.histogram2d(
        rows[table.name].community[there], rows[parent].community[of[there]], bins=(range(10), range(10))
    )[0]
    left.imshow(joint / np.maximum(joint.sum(1, keepdims=True), 1), cmap="Blues", vmin=0)
    left.set(xlabel="community of the parent", ylabel="community of the row", xticks=[], yticks=[])
    for spread, colour in ((0.0, GREY), (0.8, BLUE), (1.5, ORANGE)):
        config = WHOLE.replace(
            keys=KeyPrior(popularity=(spread, spread), loyalty=(0, 0)), rows_activity=(5000, 5000)
        )
        rows, database = hidden_and_shown(4, config)
        table = next(t for t in database.tables.values() if t.time_col and len(t.fkeys) > 1)
        of, parent = rows[table.name].keys[1], list(table.fkeys.values())[1]
        counts = np.sort(np.bincount(of[of >= 0], minlength=len(rows[parent])))[::-1]
        right.plot(
            np.arange(1, len(counts) + 1),
            np.maximum(counts, 0.5),
            color=colour,
            label=f"popularity {spread:g}",
        )
    right.set(xscale="log", yscale="log", xlabel="rank of the parent row", ylabel="children")
    right.legend(frameon=False)
    return figure


def columns() -> Figure:
    """A function of each family of mechanisms, and the numbers of columns of four laws."""
    figure = new_figure(WIDTH, HEIGHT * 1.2)
    panels = figure.subplots(2, 6).ravel()
    x = np.random.default_rng(0).standard_normal((1, 1500)).astype(np.float32)
    order = np.argsort(x[0])
    for axes, kind in zip(panels, get_args(Mechanism), strict=False):
        for seed, colour in enumerate((BLUE, GREEN, ORANGE)):
            axes.plot(
                x[0][order], apply(kind, x, rng=np.random.default_rng(seed))[order], color=colour, linewidth=1
            )
        axes.set_title(kind, fontsize=8)
        axes.set(xticks=[], yticks=[])
    shown: dict[str, np.ndarray] = {}
    for law in ("normal", "lognormal", "zero_inflated", "count", "percentage", "pareto"):
        config = WHOLE.replace(
            meaning=MeaningPrior(enabled=False), columns=ColumnPrior(laws=(law,), missing_prob=0)
        )
        table = max(generate_events(1, config).tables.values(), key=lambda t: t.data.num_rows)
        name = next(c for c in table.features() if not pa.types.is_string(table.data[c].type))
        shown[law] = table.data[name].to_numpy()
    for axes, (law, values) in zip(panels[6:], shown.items(), strict=True):
        axes.hist(np.clip(values, None, np.quantile(values, 0.98)), bins=30, color=GREY)
        axes.set_title(law, fontsize=8)
        axes.set(xticks=[], yticks=[])
    return figure


def meaning() -> Figure:
    """One table as five databases would name it."""
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    axes.axis("off")
    for place, naming in enumerate(("plain", "abbreviated", "camel", "upper", "meaningless")):
        database = generate_events(5, WHOLE.replace(meaning=MeaningPrior(namings=(naming,))))
        table = next(t for t in database.tables.values() if t.time_col and t.fkeys)
        axes.text(place / 5, 1, table.name, weight="bold", va="top", fontsize=9)
        axes.text(place / 5, 0.88, "\n".join(table.data.column_names[:10]), va="top", fontsize=7.5)
    return figure


def style() -> Figure:
    """Missing shares of columns of fifteen databases, with and without a style of their own."""
    figure = new_figure(WIDTH, HEIGHT)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, enabled in zip(panels, (False, True), strict=True):
        config = WHOLE.replace(
            style=StylePrior(enabled=enabled, concentration=(12, 12)), columns=ColumnPrior(missing_prob=0.8)
        )
        for seed in range(15):
            shares = [
                t.data[c].null_count / t.data.num_rows
                for t in generate_events(seed, config).tables.values()
                for c in t.features()
                if t.data[c].null_count and t.data.num_rows > 50
            ]
            axes.plot(
                np.full(len(shares), seed),
                shares,
                "o",
                color=BLUE if enabled else GREY,
                markersize=2.5,
                alpha=0.6,
            )
        axes.set(
            xlabel="database",
            title="a style for each database" if enabled else "one range for all",
            xticks=[],
        )
    panels[0].set_ylabel("missing share of a column")
    return figure
