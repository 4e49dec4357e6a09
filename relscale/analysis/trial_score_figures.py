"""Zero-shot scores of a study's networks against their held-out loss, N and S."""

import matplotlib
import pandas as pd
from matplotlib.axes import Axes

from relscale.analysis.figures import (
    BLUE,
    GREY,
    LABELS,
    ORANGE,
    OTHER,
    STYLE,
    SYMBOLS,
    WIDTH,
    Drawing,
    count_axis,
    label_ends,
    new_figure,
)
from relscale.analysis.trial_scores import (
    BASELINE,
    agreement_sentence,
    best_other,
    lower_is_better,
    tasks_of,
)


def trial_score_figure(table: pd.DataFrame, *, n_boot: int) -> Drawing | None:
    """A row of panels for each task and metric; None unless some task has scores of `MIN_TRIALS` networks.

    Parameters
    ----------
    table : as `score_table` makes it. n_boot : draws behind the interval of each rank correlation.
    """
    panels = tasks_of(table)
    if not panels:
        return None
    figure = new_figure(WIDTH, 0.4 + 2.7 * len(panels))
    with matplotlib.rc_context(STYLE):
        for row, part in zip(
            figure.subplots(len(panels), 3, squeeze=False, sharey="row"), panels, strict=True
        ):
            _draw_loss(row[0], part)
            for axes, axis in zip(row[1:], LABELS, strict=True):
                _draw_axis(axes, part, axis)
            _draw_baselines(row, part)
    sentences = [agreement_sentence(part, n_boot=n_boot) for part in panels]
    seen = ", ".join(sorted(set(table["visibility"])))
    caption = (
        f"Each dot is a network of the study on one real task, labels seen: {seen}. Along N and S only the "
        "networks at the other axis' value of lowest mean loss; orange: their mean over seeds, with the mean "
        "of their 95 % intervals over the test rows' entities. These rows are the same for all networks, so "
        "neighbouring points err together. Dashed: best baseline, dotted: global mean. " + " ".join(sentences)
    )
    return Drawing(figure=figure, caption=caption, data=pd.concat(panels, ignore_index=True))


def _draw_loss(axes: Axes, part: pd.DataFrame) -> None:
    first = part.iloc[0]
    better = "lower is better" if lower_is_better(first["metric"]) else "higher is better"
    _dots(axes, part, "loss")
    axes.set_xlabel("held-out loss")
    axes.set_ylabel(f"{first['metric']} ({better})")
    axes.set_title(f"{first['dataset']} / {first['task']}")


def _draw_axis(axes: Axes, part: pd.DataFrame, axis: str) -> None:
    shown = best_other(part, axis, OTHER[axis])
    _dots(axes, shown, axis)
    means = shown.groupby(axis)[["value", "low", "high"]].mean()
    axes.vlines(means.index, means["low"], means["high"], color=ORANGE, linewidth=1.2)
    axes.plot(means.index, means["value"], color=ORANGE, linewidth=1.6, marker="o", markersize=4)
    count_axis(axes, part[axis].to_numpy(), LABELS[axis], n_ticks=4)
    axes.set_title(f"at each {SYMBOLS[axis]} the best {SYMBOLS[OTHER[axis]]}")


def _dots(axes: Axes, part: pd.DataFrame, name: str) -> None:
    axes.plot(part[name], part["value"], "o", color=BLUE, markersize=4, alpha=0.5, markeredgewidth=0)


def _draw_baselines(row: list[Axes], part: pd.DataFrame) -> None:
    """The best baseline and the global mean, in every panel of a row, named at the right."""
    known = part.iloc[0].filter(like=BASELINE).dropna().astype(float)
    if known.empty:
        return
    best = known.idxmin() if lower_is_better(part["metric"].iloc[0]) else known.idxmax()
    lines = {best: "--", f"{BASELINE}global_mean": ":"}
    for axes in row:
        for name, style in lines.items():
            if name in known:
                axes.axhline(known[name], color=GREY, linewidth=1.2, linestyle=style)
    ends = [
        (float(part["tokens"].max()), known[name], name.removeprefix(BASELINE).replace("_", " "), GREY)
        for name in lines
        if name in known
    ]
    label_ends(row[-1], ends)
