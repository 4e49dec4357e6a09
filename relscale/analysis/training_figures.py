"""Training curves of all trials of a study."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from relscale.analysis.figures import STYLE, WIDTH, Drawing, count_axis, new_figure, shades
from relscale.platform.progress import human_count


def learning_curves(history: pd.DataFrame) -> Drawing:
    """Training loss against tokens of every trial, one panel for each N, one colour for each S.

    Parameters
    ----------
    history : columns trial, n_databases, tokens_total, seed, tokens, loss; one row a logged step.
    """
    sizes = sorted(history["n_databases"].unique())
    columns = min(4, len(sizes))
    rows = -(-len(sizes) // columns)
    figure = new_figure(min(WIDTH, 3.0 * columns + 1.8), 2.3 * rows + 0.9)
    budgets = sorted(history["tokens_total"].unique())
    colours = shades(budgets)
    with matplotlib.rc_context(STYLE):
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        _share_axes(grid, len(sizes))
        for axes, size in zip(grid.flat, sizes, strict=False):
            here = history[history["n_databases"] == size]
            for (_, budget), trial in here.groupby(["trial", "tokens_total"]):
                trial = trial.sort_values("tokens")
                axes.plot(trial["tokens"], trial["loss"], color=colours[budget], linewidth=1.0, alpha=0.85)
            axes.set_title(f"{human_count(size)} databases")
            count_axis(axes, np.array(budgets), "", n_ticks=3)
        handles = [Line2D([], [], color=colours[value]) for value in budgets]
        labels = [human_count(value) for value in budgets]
        figure.supxlabel("training tokens", fontsize=10.5)
        figure.legend(handles, labels, title="tokens\nof the run", loc="outside right center", fontsize=9)
    caption = (
        "Training loss of every run. Where it keeps falling on few databases while the held-out loss rises, "
        "the network learns these databases by heart."
    )
    return Drawing(figure=figure, caption=caption, data=history)


def _share_axes(grid: Any, n_panels: int) -> None:
    """Hide what is left over; loss is logarithmic, so that one wild step does not flatten all."""
    columns = grid.shape[1]
    for axes in grid.flat[n_panels:]:
        axes.set_visible(False)
    for axes in grid.flat[max(0, n_panels - columns) : n_panels]:
        axes.tick_params(labelbottom=True)
    grid.flat[0].set_yscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:.3g}")
    grid.flat[0].yaxis.set_major_formatter(plain)
    grid.flat[0].yaxis.set_minor_formatter(plain)
    for axes in grid[:, 0]:
        axes.set_ylabel("training loss")
