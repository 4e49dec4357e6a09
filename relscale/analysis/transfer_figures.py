"""The figure of a transfer study: every arm on every held-out task, with its interval and its seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import pandas as pd

from relscale.analysis.figures import BLUE, GREEN, GREY, ORANGE, STYLE, WIDTH, Drawing, new_figure

_COLOURS = (BLUE, GREEN, ORANGE)
_MARKERS = "os^"


def transfer_figure(values: Sequence[Mapping[str, Any]]) -> Drawing:
    """Values of all arms; rows of `transfer.transfer_table`. A dashed line is the task's best baseline."""
    frame = pd.DataFrame(values)
    panels = list(frame.groupby(["dataset", "task", "metric"], sort=False))
    arms = list(dict.fromkeys(frame["arm"]))
    figure = new_figure(WIDTH * 0.85, 0.35 * (len(arms) + 1.6) * len(panels) + 0.4)
    with matplotlib.rc_context(STYLE):
        grid = figure.subplots(len(panels), 1, squeeze=False)
        for axes, ((dataset, task, metric), rows) in zip(grid[:, 0], panels, strict=True):
            for row in rows.to_dict("records"):
                place = arms.index(row["arm"])
                style = {"color": _COLOURS[place % 3], "marker": _MARKERS[place % 3], "markersize": 6}
                if pd.notna(row["low"]):
                    axes.plot([row["low"], row["high"]], [place, place], color=style["color"], linewidth=1.5)
                axes.plot([row["value"]], [place], **style)
                seeds = [row["seed_low"], row["seed_high"]]
                axes.plot(seeds, [place, place], linestyle="none", marker="|", color=style["color"])
            axes.axvline(rows["baseline"].iloc[0], color=GREY, linestyle="--", linewidth=1)
            axes.set(title=f"{dataset}: {task}", xlabel=metric, ylim=(len(arms) - 0.5, -0.5))
            axes.set_yticks(range(len(arms)), arms)
    caption = (
        "Zero-shot scores on databases that no network of the arm was trained on. Points: mean over training "
        "seeds; lines: 95 % interval over entities and seeds; ticks: lowest and highest seed; dashed: the "
        "best baseline that sees the same labels."
    )
    return Drawing(figure=figure, caption=caption, data=frame)
