"""Zero-shot scores on real databases: beside baselines, and against the held-out loss of their networks."""

from collections.abc import Iterator, Mapping, Sequence
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
    new_figure,
)
from relscale.analysis.results import KEY

MIN_TRIALS = 3
"""Fewer networks than this show no relation between score and loss."""
_TASK = ("dataset", "task", "split", "metric")
_LOWER_IS_BETTER = ("mae", "rmse", "mse", "loss", "error")


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


def zero_shot_against_loss(scores: Sequence[Mapping[str, Any]], results: pd.DataFrame) -> Drawing | None:
    """Scores of many networks against their held-out loss, N and S, a row of panels for each task.

    Parameters
    ----------
    scores : entries of scores.json with the n_databases, tokens and seed of the network's trial; others, and
        those without a value, are left out.
    results : used rows of the study.

    Returns
    -------
    None unless some task has scores of at least `MIN_TRIALS` trials of the table.
    """
    table = trial_scores(scores, results)
    panels = [part for _, part in table.groupby(list(_TASK), sort=False) if len(part) >= MIN_TRIALS]
    if not panels:
        return None
    figure = new_figure(WIDTH, 0.4 + 2.6 * len(panels))
    shown = {"loss": "held-out loss", **LABELS}
    with matplotlib.rc_context(STYLE):
        for row, part in zip(
            figure.subplots(len(panels), 3, squeeze=False, sharey="row"), panels, strict=True
        ):
            baseline = _best_baseline(scores, part.iloc[0])
            for axes, (name, label) in zip(row, shown.items(), strict=True):
                _draw_relation(axes, part, name, label, baseline)
            row[0].set_ylabel(str(part["metric"].iloc[0]))
            row[0].set_title(_relation_title(part))
    caption = (
        "Each dot is a network of the study on one real task. If the law on synthetic databases carries "
        "over, scores get better from right to left in the first panel of a row. Dashed: the best baseline."
    )
    return Drawing(figure=figure, caption=caption, data=pd.concat(panels, ignore_index=True))


def trial_scores(scores: Sequence[Mapping[str, Any]], results: pd.DataFrame) -> pd.DataFrame:
    """Scores that name their trial, beside its held-out loss: columns of the task, KEY, value and loss."""
    columns = [*_TASK, *KEY, "value"]
    named = [
        {name: score[name] for name in columns}
        for score in scores
        if all(score.get(name) is not None for name in [*KEY, "value"])
    ]
    return pd.DataFrame(named, columns=columns).merge(results[[*KEY, "loss"]], on=KEY)


def best_trial_scores(scores: Sequence[Mapping[str, Any]], results: pd.DataFrame) -> list[Mapping[str, Any]]:
    """The entries of the network with the lowest held-out loss; all of them if they name no trials."""
    table = trial_scores(scores, results)
    if table.empty:
        return list(scores)
    best = table.loc[table["loss"].idxmin(), KEY].to_dict()
    return [score for score in scores if all(score.get(name, best[name]) == best[name] for name in KEY)]


def lower_is_better(metric: str) -> bool:
    """Whether a metric is an error."""
    return any(part in metric.lower() for part in _LOWER_IS_BETTER)


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


def _best_baseline(scores: Sequence[Mapping[str, Any]], task: Mapping[str, Any]) -> float | None:
    here = _matching(scores, task)
    values = [value for score in here for value in score["baselines"].values() if value is not None]
    pick = min if lower_is_better(task["metric"]) else max
    return pick(values) if values else None


def _matching(scores: Sequence[Mapping[str, Any]], task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (score for score in scores if all(score[name] == task[name] for name in _TASK))


def _draw_relation(axes: Axes, part: pd.DataFrame, name: str, label: str, baseline: float | None) -> None:
    axes.plot(part[name], part["value"], "o", color=BLUE, markersize=5, alpha=0.75, markeredgewidth=0)
    if name == "loss":
        axes.set_xlabel(label)
    else:
        means = part.groupby(name)["value"].mean()
        axes.plot(means.index, means, color=ORANGE, linewidth=1.6)
        count_axis(axes, part[name].to_numpy(), label, n_ticks=4)
    if baseline is not None:
        axes.axhline(baseline, color=GREY, linewidth=1.2, linestyle="--")
        if name == "tokens":
            label_ends(axes, [(float(part[name].max()), baseline, "best\nbaseline", GREY)])


def _relation_title(part: pd.DataFrame) -> str:
    """Rank correlation of score and loss in words of better and worse, whatever the metric's direction."""
    where = f"{part['dataset'].iloc[0]} / {part['task'].iloc[0]}"
    ranks = part[["value", "loss"]].rank()
    if ranks.nunique().min() < 2:
        return f"{where}: all {len(part)} alike"
    sign = 1 if lower_is_better(str(part["metric"].iloc[0])) else -1
    agreement = sign * float(np.corrcoef(ranks["value"], ranks["loss"])[0, 1])
    word = "better" if agreement > 0 else "worse"
    return f"{where}: lower loss, {word} score\n(rank correlation {abs(agreement):.2f}, {len(part)} networks)"
