"""The figure of an evaluation: a panel for each task and metric, a line for each visibility."""

from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from relscale.analysis.figures import BLUE, GREEN, GREY, ORANGE, STYLE, WIDTH, Drawing, new_figure
from relscale.analysis.score_tables import baseline_names
from relscale.analysis.task_scores import LOWER_IS_BETTER

_KEY = ["dataset", "task", "split", "metric"]
_MARKS: dict[str, dict[str, Any]] = {
    "model, 95 % over entities": {"marker": "o", "color": BLUE, "linewidth": 1.8, "markersize": 8},
    "best baseline": {"marker": "|", "color": ORANGE, "linestyle": "", "markersize": 17, "mew": 3},
    "other baselines": {"marker": "|", "color": GREY, "linestyle": "", "markersize": 12},
    "published, another protocol": {
        "marker": "D", "color": GREEN, "linestyle": "", "markersize": 7, "markerfacecolor": "none",
    },
}  # fmt: skip


def score_dots(table: pd.DataFrame, published: pd.DataFrame) -> Drawing:
    """Scores with their intervals beside the baselines, and below them what others published.

    Parameters
    ----------
    table : of `score_rows`. published : of `published_rows`.
    """
    panels = [(key, part) for key, part in table.groupby(_KEY, sort=False)]
    others = [_of(published, key) for key, _ in panels]
    heights = [len(part) + len(other) + 1.9 for (_, part), other in zip(panels, others, strict=True)]
    figure = new_figure(WIDTH, 0.36 * sum(heights) + 0.7)
    with matplotlib.rc_context(STYLE):
        grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (key, part), other in zip(grid, panels, others, strict=True):
            _draw(axes, key, part, other)
        handles = [Line2D([], [], label=name, **style) for name, style in _MARKS.items()]
        figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=9.5)
    caption = (
        "The model beside baselines that see the same labels. A verdict is by the paired difference to the "
        "best baseline, not by this interval. Published figures come from other protocols: see their table."
    )
    return Drawing(figure=figure, caption=caption, data=table)


def _of(published: pd.DataFrame, key: Any) -> pd.DataFrame:
    dataset, task, split, metric = key
    same = (published["dataset"] == dataset) & (published["task"] == task) & (published["metric"] == metric)
    return published[same & (split == "test")]


def _draw(axes: Axes, key: Any, part: pd.DataFrame, other: pd.DataFrame) -> None:
    dataset, task, split, metric = key
    baselines = baseline_names(part)
    model, best, rest, elsewhere = _MARKS.values()
    labels = []
    for place, row in enumerate(part.to_dict("records")):
        axes.plot([row[name] for name in baselines], [place] * len(baselines), **rest)
        axes.plot([row[row["best_baseline"]]], [place], **best)
        axes.plot([row["low"], row["high"]], [place, place], color=BLUE, linewidth=model["linewidth"])
        axes.plot([row["value"]], [place], **model)
        labels.append(f"{row['visibility']}: {row['verdict']}")
    for place, row in enumerate(other.to_dict("records"), start=len(part)):
        axes.plot([row["value"]], [place], **elsewhere)
        labels.append(f"{row['model']} ({row['visibility']})")
    if len(other):
        axes.axhline(len(part) - 0.5, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    axes.set_title(f"{dataset} / {task} ({split}): {metric}, {better} is better")
