"""How far a fit can be trusted: its residuals, its profiles, and its cloud of resampled estimates."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from relscale.analysis.figures import (
    BLUE,
    GREY,
    LABELS,
    ORANGE,
    STYLE,
    WIDTH,
    Drawing,
    count_axis,
    new_figure,
)
from relscale.analysis.verdict import NAMES

COLOURS = {"n_databases": BLUE, "tokens": ORANGE}
NAMES_OF = {"alpha": "Exponent", "E": "Offset E"}
PROFILE_TOP = 3.0  # times the height of the cut-off line above the minimum


def residuals(results: pd.DataFrame, predicted: np.ndarray, *, model: str, noise_sd: float | None) -> Drawing:
    """Loss minus a surface's prediction against the prediction, N, S and, where known, the order of the runs.

    Parameters
    ----------
    results : used rows (n_databases, tokens, seed, loss); `finished` (any sortable time) gives the order.
    predicted : (rows,) loss of the surface at each row.
    noise_sd : SD between seeds, drawn as a band of two SDs; None if it is not known.
    """
    table = results[["n_databases", "tokens", "seed", "loss"]].assign(fitted=predicted)
    table["residual"] = table["loss"] - table["fitted"]
    if "finished" in results:
        table["order"] = results["finished"].rank(method="first")
    shown = {"fitted": "fitted loss", **LABELS, "order": "order of finishing"}
    shown = {name: label for name, label in shown.items() if name in table}
    figure = new_figure(WIDTH, 3.3)
    with matplotlib.rc_context(STYLE):
        for axes, (name, label) in zip(
            figure.subplots(1, len(shown), sharey=True), shown.items(), strict=True
        ):
            _draw_residuals(axes, table, name, label, noise_sd)
        figure.axes[0].set_ylabel("residual")
        rms = float(np.sqrt(np.mean(table["residual"] ** 2)))
        beside = f"noise between seeds {noise_sd:.2g}" if noise_sd is not None else "noise unknown"
        figure.axes[0].set_title(f"Surface '{model}' misses the runs by {rms:.2g}\n{beside}")
    caption = (
        f"Loss of every run minus the surface '{model}'. The orange line is the mean along the axis: where "
        "it leaves the grey band (two standard deviations between seeds) the surface misses a shape."
    )
    if "order" in table:
        caption += " A drift along the last panel would mean that time, not the grid, made a difference."
    return Drawing(figure=figure, caption=caption, data=table)


def profiles(fit: Mapping[str, Any]) -> Drawing | None:
    """The best objective with the exponent, or the offset, held at a value; None without profiles."""
    known = {axis: found for axis in NAMES if (found := fit["axes"][axis].get("profile"))}
    if not known:
        return None
    figure = new_figure(WIDTH, 0.4 + 2.8 * len(known))
    with matplotlib.rc_context(STYLE):
        panels = figure.subplots(len(known), 2, squeeze=False)
        for row, (axis, found) in zip(panels, known.items(), strict=True):
            for axes, name in zip(row, NAMES_OF, strict=True):
                _draw_profile(axes, found[name], found["cut"], fit["axes"][axis][name])
                axes.set_xlabel(f"{NAMES_OF[name][0].lower()}{NAMES_OF[name][1:]}, law along {NAMES[axis]}")
                axes.set_title(_profile_title(found[name], name))
            row[0].set_ylabel("worse than the best fit")
    caption = (
        "How much worse the best fit becomes when the exponent (left) or the offset (right) is held at a "
        "value, 1 being the cut-off: values below the dashed line are compatible with the data at 95 %. A "
        "narrow valley is a number that the data know; one that stays under the line to an end is a bound on "
        "one side only."
    )
    rows = [
        pd.DataFrame({"axis": axis, "parameter": name, "value": found[name]["value"],
                      "objective": found[name]["objective"], "cut": found["cut"]})
        for axis, found in known.items()
        for name in NAMES_OF
    ]  # fmt: skip
    return Drawing(figure=figure, caption=caption, data=pd.concat(rows, ignore_index=True))


def clouds(draws: Mapping[str, pd.DataFrame], fit: Mapping[str, Any]) -> Drawing | None:
    """Exponent against offset of every bootstrap draw, both axes in one picture; None without a draw.

    Parameters
    ----------
    draws : {axis: columns E, A, alpha, one row a draw}; a draw without a fit is NaN.
    """
    known = {axis: table.dropna() for axis, table in draws.items() if len(table.dropna())}
    if not known:
        return None
    figure = new_figure(WIDTH * 0.75, 4.8)
    with matplotlib.rc_context(STYLE):
        axes = figure.subplots()
        for axis, table in known.items():
            _draw_cloud(axes, table, fit["axes"][axis], axis)
        axes.set(xlabel="exponent", ylabel="offset E", **_cloud_limits(pd.concat(known.values())))
        axes.set_title(_cloud_title(known))
        axes.legend(fontsize=9.5, markerscale=1.2)
    caption = (
        "A dot is the law of one table with resampled seeds; large marks are the fits of the study, their "
        "bars the 95 % intervals. A long slanted cloud says that the data know a combination of exponent and "
        "offset better than either. Clouds at one height agree on what is left at infinite scale."
    )
    table = pd.concat(known, names=["axis", "draw"]).reset_index()
    return Drawing(figure=figure, caption=caption, data=table)


def _draw_residuals(axes: Axes, table: pd.DataFrame, name: str, label: str, noise_sd: float | None) -> None:
    if noise_sd is not None:
        axes.axhspan(-2 * noise_sd, 2 * noise_sd, color=GREY, alpha=0.13, linewidth=0)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.plot(table[name], table["residual"], ".", color=BLUE, markersize=4.5, alpha=0.5)
    if name in LABELS:
        means = table.groupby(name)["residual"].mean()
        count_axis(axes, table[name].to_numpy(), label, n_ticks=4)
        axes.tick_params(axis="x", labelsize=9)
    else:
        parts = pd.qcut(table[name].rank(method="first"), min(10, len(table)), labels=False)
        means = table.groupby(parts)["residual"].mean().set_axis(table.groupby(parts)[name].mean())
        axes.set_xlabel(label)
    axes.plot(means.index, means, color=ORANGE, linewidth=1.8)


def _draw_profile(axes: Axes, profile: Mapping[str, Any], cut: float, estimate: float | None) -> None:
    value, objective = np.array(profile["value"]), np.array(profile["objective"])
    distance = (objective - objective.min()) / ((cut - objective.min()) or 1.0)
    shown = np.flatnonzero(distance <= PROFILE_TOP)
    window = slice(max(shown[0] - 1, 0), shown[-1] + 2)
    axes.axhline(1, color=GREY, linewidth=1.1, linestyle="--")
    axes.axvspan(
        value[0] if profile["low"] is None else profile["low"],
        value[-1] if profile["high"] is None else profile["high"],
        color=BLUE, alpha=0.12, linewidth=0,
    )  # fmt: skip
    axes.plot(value, distance, color=BLUE, linewidth=1.8)
    if estimate is not None:
        axes.axvline(estimate, color=ORANGE, linewidth=1.3)
    style: dict[str, Any] = {"color": GREY, "fontsize": 9, "va": "center"}
    axes.text(1.01, 1, "95 %", transform=axes.get_yaxis_transform(), **style)
    axes.set(ylim=(-0.15, PROFILE_TOP), xlim=(value[window][0], value[window][-1]))


def _profile_title(profile: Mapping[str, Any], name: str) -> str:
    digits = ".2f" if name == "alpha" else ".4f"
    low, high = profile["low"], profile["high"]
    if low is None and high is None:
        return f"{NAMES_OF[name]} not bounded by the data"
    if low is None or high is None:
        side, value = ("at most", high) if low is None else ("at least", low)
        return f"{NAMES_OF[name]} {side} {value:{digits}}: bounded on one side only"
    return f"{NAMES_OF[name]} {low:{digits}} to {high:{digits}}"


def _draw_cloud(axes: Axes, table: pd.DataFrame, entry: Mapping[str, Any], axis: str) -> None:
    colour = COLOURS[axis]
    axes.plot(table["alpha"], table["E"], ".", color=colour, markersize=4, alpha=0.3,
              markeredgewidth=0, rasterized=True)  # fmt: skip
    if entry["alpha"] is None:
        return
    if entry["ci95"]:
        style: dict[str, Any] = {"color": "black", "linewidth": 1.4, "zorder": 4}
        axes.plot(entry["ci95"]["alpha"], [entry["E"]] * 2, **style)
        axes.plot([entry["alpha"]] * 2, entry["ci95"]["E"], **style)
    axes.plot(entry["alpha"], entry["E"], "o" if axis == "tokens" else "D", color=colour, markersize=9,
              markeredgecolor="black", linestyle="none", zorder=5, label=f"along {NAMES[axis]}")  # fmt: skip


def _cloud_limits(table: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Limits that hold 98 % of the draws, so that a few wild ones do not shrink the rest."""
    limits = {}
    for side, name in (("xlim", "alpha"), ("ylim", "E")):
        low, high = np.percentile(table[name], [1, 99])
        margin = 0.08 * (high - low) or 0.01
        limits[side] = (float(low - margin), float(high + margin))
    return limits


def _cloud_title(known: Mapping[str, pd.DataFrame]) -> str:
    parts = [f"{table['alpha'].corr(table['E']):.2f} ({NAMES[axis]})" for axis, table in known.items()]
    return f"Correlation of exponent and offset: {', '.join(parts)}"
