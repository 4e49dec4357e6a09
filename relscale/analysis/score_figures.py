"""Zero-shot scores of a network on real databases, beside baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes

from relscale.analysis.figures import (
    BLUE,
    GREY,
    STYLE,
    WIDTH,
    Drawing,
    new_figure,
)
from relscale.analysis.trial_scores import lower_is_better

_TASK = ("dataset", "task", "split", "metric")


def zero_shot_bars(scores: Sequence[Mapping[str, Any]]) -> Drawing:
    """Zero-shot scores beside their baselines, one panel for each dataset, task, split and metric.

    Parameters
    ----------
    scores : entries of scores.json; a value of None is named as missing, never drawn as zero.
    """
    panels = _by_task(scores)
    heights = [len(_bars(entries)) + 1.8 for entries in panels.values()]
    figure = new_figure(WIDTH * 0.85, 0.36 * sum(heights) + 0.4)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for axes, (key, entries) in zip(grid[:, 0], panels.items(), strict=True):
            _draw_bars(axes, key, entries)
    caption = (
        "Scores of a network that never saw these databases, beside simple baselines that see the same "
        "labels; black: 95 % interval. Each title says whether the difference counts."
    )
    rows = [
        {**dict(zip(_TASK, key, strict=True)), "name": label, "value": value}
        for key, entries in panels.items()
        for label, value, *_ in _bars(entries)
    ]
    return Drawing(figure=figure, caption=caption, data=pd.DataFrame(rows))


def _by_task(scores: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], list[Mapping[str, Any]]]:
    panels: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for score in scores:
        panels.setdefault(tuple(str(score[name]) for name in _TASK), []).append(score)
    return panels


def _bars(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, float | None, Any, str]]:
    """(label, value, interval, colour) of a panel: its models, then the baselines they share."""
    models = [(_model_name(entry), entry["value"], entry["ci95"], BLUE) for entry in entries]
    baselines = {name: value for entry in entries for name, value in entry["baselines"].items()}
    return models + [(name, value, None, "#BBBBBB") for name, value in baselines.items()]


def _model_name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("model") or "relscale, zero-shot")


def _draw_bars(axes: Axes, key: tuple[str, ...], entries: Sequence[Mapping[str, Any]]) -> None:
    dataset, task, split, metric = key
    bars = _bars(entries)
    for place, (_, value, interval, colour) in enumerate(bars):
        if value is None:
            axes.text(0, place, " no score", va="center", color=GREY)
            continue
        axes.barh(place, value, color=colour, height=0.7)
        end = value
        if interval:
            axes.plot(interval, [place, place], color="black", linewidth=1.4, marker="|", markersize=8)
            end = max(value, interval[1])
        axes.text(end, place, f"  {value:.3f}", va="center", fontsize=9.5)
    axes.set_yticks(range(len(bars)), [label for label, *_ in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.set_xlabel(metric)
    axes.set_title(f"{dataset} / {task} ({split}): {_comparison(entries, metric)}")


def _comparison(entries: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Which is ahead, in words; intervals decide whether the difference counts."""
    lower = lower_is_better(metric)
    pick = min if lower else max
    scored = [entry for entry in entries if entry["value"] is not None]
    baselines = [value for _, value in entries[0]["baselines"].items() if value is not None]
    if not scored or not baselines:
        return "no score" if baselines else "no baseline"
    best, bar = pick(scored, key=lambda entry: entry["value"]), pick(baselines)
    if "difference" in best:  # paired over entities; older scores have only an interval of their own
        verdict = best["difference"]["verdict"]
        return f"{verdict} {'with' if verdict == 'level' else 'than'} the best baseline"
    interval = best["ci95"]
    if interval and interval[0] <= bar <= interval[1]:
        return "level with the best baseline"
    ahead = best["value"] < bar if lower else best["value"] > bar
    return "better than the best baseline" if ahead else "worse than the best baseline"
