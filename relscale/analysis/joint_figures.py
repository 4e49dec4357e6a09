"""The picture of a law of two variables: predicted against observed loss, and what is left over."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relscale.analysis.figures import BLUE, GREY, ORANGE, STYLE, new_figure


def predicted_loss(joint: Mapping[str, Any], runs: pd.DataFrame) -> np.ndarray:
    """The law at every run, (n,); `joint` as in fit.json, its columns in `runs`."""
    x, y = (runs[joint["columns"][name]].to_numpy(dtype=np.float64) for name in ("x", "y"))
    return joint["E"] + joint["A"] * x ** -joint["alpha"] + joint["B"] * y ** -joint["beta"]


def joint_law(joint: Mapping[str, Any], runs: pd.DataFrame) -> Figure:
    """Predicted against observed loss; and the residual in per cent of the loss, against x and against y.

    Parameters
    ----------
    joint : "joint" of fit.json.
    runs : the used rows (see `joint_runs`).
    """
    law, loss = predicted_loss(joint, runs), runs[joint["columns"]["loss"]].to_numpy()
    residual = 100 * (loss / law - 1)
    figure = new_figure(11.5, 4.2)
    with matplotlib.rc_context(STYLE):
        first, *others = figure.subplots(1, 3)
        _draw_agreement(first, law, loss)
        for axes, name in zip(others, ("x", "y"), strict=True):
            axes.axhline(0, color=GREY, linewidth=1)
            axes.plot(runs[joint["columns"][name]], residual, "o", color=BLUE, markersize=4, alpha=0.6)
            axes.set(xscale="log", xlabel=joint["columns"][name], ylabel="observed above the law, %")
        others[0].set_title(f"Residuals: {np.sqrt(np.mean(residual**2)):.2g} % (root mean square)")
    return figure


def _draw_agreement(axes: Axes, law: np.ndarray, loss: np.ndarray) -> None:
    ends = [min(law.min(), loss.min()), max(law.max(), loss.max())]
    axes.plot(ends, ends, color=ORANGE, linewidth=1.4)
    axes.plot(law, loss, "o", color=BLUE, markersize=4, alpha=0.6)
    axes.set(xlabel="loss of the law", ylabel="observed loss", title=f"{len(loss)} runs against the law")
