"""The laws along the axes: the fit with its band, and what small studies predict of large ones."""

import re
import textwrap
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
    label_ends,
    log_loss_axis,
    new_figure,
)
from relscale.analysis.frontier import UNIT
from relscale.analysis.verdict import NAMES, law_text, reason

BAND: dict[str, Any] = {"color": BLUE, "alpha": 0.17, "linewidth": 0}


def axis_law(fit: Mapping[str, Any], axis: str) -> Drawing:
    """The law along one axis: loss, and excess loss on logarithmic axes; or the reason why there is none.

    Parameters
    ----------
    fit : content of fit.json.
    axis : "n_databases" or "tokens".
    """
    entry = fit["axes"][axis]
    figure = new_figure(WIDTH, 4.3)
    with matplotlib.rc_context(STYLE):
        left, right = figure.subplots(1, 2)
        if entry["status"] == "failed":
            _draw_failed(left, right, entry, axis)
            caption = "The lowest loss of every slice, and why these make no law."
        else:
            _draw_loss(left, entry, axis)
            _draw_excess(right, entry, axis)
            caption = _law_caption(entry, axis)
    return Drawing(figure=figure, caption=caption, data=_law_rows(entry, axis))


def extrapolation(fit: Mapping[str, Any]) -> Drawing | None:
    """What the smaller part of each frontier predicts of the larger; None if no axis could be tested."""
    tested = {axis: found for axis in NAMES if (found := _tested(fit, axis))}
    if not tested:
        return None
    rolling = any(found.get("rolling") for found in tested.values())
    figure = new_figure(WIDTH, 5.8 if rolling else 4.1)
    with matplotlib.rc_context(STYLE):
        panels = figure.subplots(1 + rolling, len(tested), squeeze=False,
                                 height_ratios=[3, 1.1] if rolling else None)  # fmt: skip
        for column, (axis, found) in enumerate(tested.items()):
            _draw_extrapolation(panels[0, column], fit["axes"][axis], found, axis)
            if rolling:
                _draw_rolling(panels[1, column], found.get("rolling") or [])
        panels[0, 0].set_ylabel("held-out loss L")
    caption = (
        "A law fitted to the shaded range alone (its runs alone, too), and what the runs beyond it gave: a "
        "ring inside the band was foreseen. A law is worth its name where it beats the dotted line, which "
        "bets that nothing changes any more: skill is 1 for a perfect forecast and 0 for that bet."
    )
    if rolling:
        caption += " Below: the error of the forecast as more of the frontier is known."
    rows = [
        {"axis": axis, "cut": found["cut"], **point}
        for axis, found in tested.items()
        for point in found["points"]
    ]
    return Drawing(figure=figure, caption=caption, data=pd.DataFrame(rows))


def _tested(fit: Mapping[str, Any], axis: str) -> Mapping[str, Any] | None:
    found = fit["axes"][axis].get("extrapolation")
    return found if found and found["status"] == "ok" else None


def _curve(entry: Mapping[str, Any], axis: str, x: np.ndarray) -> np.ndarray:
    """Excess loss of the fitted law at x."""
    return entry["A"] * (x / UNIT[axis]) ** -entry["alpha"]


def _points(entry: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.array([point[name] for point in entry["points"]]) for name in ("x", "loss"))  # type: ignore[return-value]


def _draw_loss(axes: Axes, entry: Mapping[str, Any], axis: str) -> None:
    """The loss itself, the law through it, and the offset with its interval."""
    x, loss = _points(entry)
    curve = np.geomspace(x.min(), x.max(), 200)
    axes.plot(curve, entry["E"] + _curve(entry, axis, curve), color=BLUE, linewidth=1.8)
    if entry["band"]:
        axes.fill_between(entry["band"]["x"], entry["band"]["low"], entry["band"]["high"], **BAND)
    # Points of a boundary law are no minima, so the minima's intervals are not theirs.
    minima = entry["slices"] if entry["status"] == "ok" else []
    intervals = {record["at"]: record.get("ci95") for record in minima}
    for place in x:
        if interval := (intervals.get(place) or {}).get("loss_opt"):
            axes.plot([place, place], interval, color=ORANGE, linewidth=1.3)
    axes.plot(x, loss, "o", color=ORANGE, markersize=6)
    # The band of a law that is hardly known must not flatten the points.
    reach = max(float(np.ptp(loss)), loss.max() - entry["E"])
    axes.set_ylim(loss.min() - reach, loss.max() + reach)
    axes.axhline(entry["E"], color=GREY, linewidth=1, linestyle="--")
    offset = f"offset E = {entry['E']:.4g}"
    if entry["ci95"]:
        low, high = entry["ci95"]["E"]
        axes.axhspan(low, high, color=GREY, alpha=0.13, linewidth=0)
        offset += f" ({low:.4g} to {high:.4g})"
    style: dict[str, Any] = {"color": GREY, "fontsize": 9, "transform": axes.get_yaxis_transform()}
    axes.text(0.02, entry["E"], offset, va="bottom", **style)
    count_axis(axes, x, LABELS[axis])
    floor = max(axes.get_ylim()[0], entry["E"] - 0.6 * (loss.max() - entry["E"]))
    axes.set(ylabel="held-out loss L", title=_as_formula(law_text(entry, axis)), ylim=(floor, None))


def _draw_excess(axes: Axes, entry: Mapping[str, Any], axis: str) -> None:
    """Loss above the fitted offset; a bar says where its point would lie with another offset."""
    x, loss = _points(entry)
    curve = np.geomspace(x.min(), x.max(), 200)
    excess = _curve(entry, axis, curve)
    floor = excess.min() / 3
    axes.plot(curve, excess, color=BLUE, linewidth=1.8)
    if entry["band"]:
        low, high = (np.maximum(np.array(entry["band"][end]) - entry["E"], floor) for end in ("low", "high"))
        axes.fill_between(entry["band"]["x"], low, high, **BAND)
    if entry["ci95"]:
        ends = np.maximum(loss[:, None] - np.array(entry["ci95"]["E"])[::-1], floor)
        for place, interval in zip(x, ends, strict=True):
            axes.plot([place, place], interval, color=GREY, linewidth=0.9, alpha=0.7)
    above = loss > entry["E"]
    found = entry.get("extrapolation")
    held_out = above & (x > found["cut"]) if found and found["status"] == "ok" else np.zeros(len(x), bool)
    style: dict[str, Any] = {"linestyle": "none", "color": ORANGE, "markersize": 6.5, "zorder": 4}
    axes.plot(x[above & ~held_out], (loss - entry["E"])[above & ~held_out], marker="o", **style)
    if held_out.any():
        axes.plot(x[held_out], (loss - entry["E"])[held_out], marker="o", markerfacecolor="white",
                  label="held out of the forecast", **style)  # fmt: skip
        points = found["points"] if found else []
        forecast = np.array([(point["x"], point["predicted"] - entry["E"]) for point in points])
        forecast = forecast[forecast[:, 1] > floor]
        axes.plot(*forecast.T, "x", color="black", markersize=6, zorder=5, label="forecast from the rest")
        axes.legend(fontsize=9, loc="lower left")
    log_loss_axis(axes)
    count_axis(axes, x, LABELS[axis])
    kind = "Frontier law" if entry["status"] == "ok" else "Boundary law"
    interval = "95 %: {:.2f} to {:.2f}".format(*entry["ci95"]["alpha"]) if entry["ci95"] else "no interval"
    axes.set(
        ylabel="excess loss L - E",
        title=f"{kind}: exponent {entry['alpha']:.2f} ({interval})",
        ylim=(floor, None),
    )


def _as_formula(text: str) -> str:
    """The exponents of a plain formula as superscripts."""
    return re.sub(r"\^(-?[0-9.]+)", r"$^{\1}$", text)


def _draw_failed(left: Axes, right: Axes, entry: Mapping[str, Any], axis: str) -> None:
    for record in entry["slices"]:
        face = ORANGE if record["status"] == "interior" else "white"
        left.plot(record["at"], record["loss_opt"], "D", color=ORANGE, markerfacecolor=face, markersize=7)
    count_axis(left, np.array([record["at"] for record in entry["slices"]]), LABELS[axis])
    left.set(ylabel="lowest loss of the slice", title=f"No law is claimed along {NAMES[axis]}")
    right.set_axis_off()
    legend = "filled: minimum inside the grid\nhollow: minimum at an edge, or none"
    text = f"{textwrap.fill(reason(entry), 48)}\n\n{legend}"
    right.text(0, 0.95, text, va="top", fontsize=11, linespacing=1.5, transform=right.transAxes)


def _law_caption(entry: Mapping[str, Any], axis: str) -> str:
    what = "the best number of" if entry["status"] == "ok" else "the largest number of"
    other = NAMES["tokens" if axis == "n_databases" else "n_databases"]
    saved = 1 - 2 ** -entry["alpha"]
    words = (
        f"Loss along {NAMES[axis]} at {what} {other}, and beside it what is left above the fitted offset: a "
        f"straight line there is a power law. Doubling the {NAMES[axis]} removes {saved:.0%} of the excess."
    ).replace("%", " %")
    if entry["band"]:
        words += (
            " Blue band: 95 % of the law over resampled seeds. The thin bars at the right say where a point "
            "would lie if the offset were at either end of its interval."
        )
    return words


def _law_rows(entry: Mapping[str, Any], axis: str) -> pd.DataFrame:
    if entry["status"] == "failed":
        columns = {"status": "kind", "at": "x", "loss_opt": "loss"}
        return pd.DataFrame(entry["slices"])[list(columns)].rename(columns=columns)
    x, loss = _points(entry)
    fitted = entry["E"] + _curve(entry, axis, x)
    points = pd.DataFrame(
        {"kind": "point", "x": x, "loss": loss, "excess": loss - entry["E"], "fitted": fitted}
    )
    if not entry["band"]:
        return points
    band = pd.DataFrame(entry["band"]).assign(kind="band")
    band["fitted"] = entry["E"] + _curve(entry, axis, band["x"].to_numpy())
    return pd.concat([points, band], ignore_index=True)


def _draw_extrapolation(axes: Axes, entry: Mapping[str, Any], found: Mapping[str, Any], axis: str) -> None:
    x, loss = _points(entry)
    known = x <= found["cut"]
    table = pd.DataFrame(found["points"])
    axes.axvspan(x.min() / 1.2, np.sqrt(found["cut"] * table["x"].min()), color=GREY, alpha=0.1, linewidth=0)
    if table["low"].notna().all():
        axes.fill_between(table["x"], table["low"], table["high"], **BAND)
        axes.vlines(table["x"], table["low"], table["high"], color=BLUE, alpha=0.5, linewidth=1)
    axes.plot(table["x"], table["predicted"], color=BLUE, linewidth=1.8, marker="_", markersize=9)
    axes.plot(x[known], loss[known], "o", color=ORANGE, markersize=6)
    axes.plot(table["x"], table["loss"], "o", color=ORANGE, markerfacecolor="white", markersize=7, zorder=4)
    count_axis(axes, np.concatenate([x, table["x"]]), LABELS[axis])
    ends = [(table["x"].iloc[-1], table["predicted"].iloc[-1], "forecast", BLUE)]
    ends.append((table["x"].iloc[-1], table["loss"].iloc[-1], "found", ORANGE))
    if known.any():
        last = loss[known][-1]
        axes.plot([x[known][-1], table["x"].iloc[-1]], [last, last], ":", color=GREY, linewidth=1.4)
        ends.append((table["x"].iloc[-1], last, "no change", GREY))
    axes.text(0.02, 0.03, "fitted", transform=axes.transAxes, color=GREY, fontsize=9)
    axes.set_title(_forecast_title(found, axis))
    axes.set_xlim(x.min() / 1.2, table["x"].max() * 1.2)
    label_ends(axes, ends)


def _forecast_title(found: Mapping[str, Any], axis: str) -> str:
    n_points, coverage, skill = len(found["points"]), found["coverage"], found["skill"]
    covered = (
        "no band" if coverage is None else f"{round(coverage * n_points)} of {n_points} inside the 95 % band"
    )
    known = "" if skill is None else f"skill {skill:.2f}, "
    return f"{NAMES[axis].capitalize()}: {covered}\n{known}error {found['rmse']:.2g} (root mean square)"


def _draw_rolling(axes: Axes, rolling: list[Mapping[str, Any]]) -> None:
    rolling = [record for record in rolling if record["rmse"] is not None]
    axes.set_visible(len(rolling) > 0)
    known, error = ([record[name] for record in rolling] for name in ("n_train", "rmse"))
    axes.plot(known, error, "o-", color=BLUE, markersize=5)
    axes.set(xlabel="frontier points known", ylabel="error", ylim=(0, 1.2 * max(error, default=1.0)))
    axes.set_xticks(known)
