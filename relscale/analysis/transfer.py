"""A transfer study's table: arms beside one another on each held-out task, with paired differences.

An arm's value on a task is the mean over its training seeds. Intervals come from a bootstrap that draws
entities, the same ones for every arm, and, for an arm with several, its seeds; they hold both sources of
chance. The few seeds that such studies have make the second part too small rather than too large, so a
difference of arms with several seeds each has a second interval, by Welch's degrees of freedom.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from relscale.analysis.resampling import interval, score_draws, welch_interval
from relscale.platform.seeds import Purpose, stream

METRICS = {"binary_classification": "roc_auc", "regression": "r2", "multiclass_classification": "accuracy"}
"""As PluRel's table has them (arXiv:2602.04029); RelBench 3 scores regressions by NMAE."""
MEAN = "mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One network's scores on one held-out dataset.

    scores       entries of scores.json
    predictions  task -> columns entity, target and prediction, in one order for all networks
    """

    dataset: str
    arm: str
    seed: int
    scores: Sequence[Mapping[str, Any]]
    predictions: Mapping[str, pd.DataFrame]


def transfer_table(evaluations: Sequence[Evaluation], *, n_boot: int) -> dict[str, list[dict[str, Any]]]:
    """Values and differences of all arms, per task, per held-out dataset and over all.

    Parameters
    ----------
    evaluations : of the same tasks for every arm of a dataset.

    Returns
    -------
    "values": dataset, task (or "mean"), metric, arm, value, low, high, seeds, seed_low, seed_high (the
    lowest and highest seed's value), baseline (the best one's value on the task), baseline_name.
    "differences": dataset, task, metric, first, second (arms), difference (second minus first), low, high,
    welch_low, welch_high (None where an arm has one seed).
    Means are over tasks of one metric; dataset "all" is over those of every dataset, where there are several.
    """
    tasks = list(_tasks(evaluations))
    draws = {key: _task_draws(key, evaluations, n_boot) for key in tasks}
    groups = [([key], key[0], key[1]) for key in tasks]
    datasets = list(dict.fromkeys(key[0] for key in tasks))
    for name in [*datasets, *(["all"] if len(datasets) > 1 else [])]:
        for metric in dict.fromkeys(key[2] for key in tasks):
            members = [key for key in tasks if key[2] == metric and name in (key[0], "all")]
            if len(members) > 1:
                groups.append((members, name, MEAN))
    values, differences = [], []
    for members, dataset, task in groups:
        about = {"dataset": dataset, "task": task, "metric": members[0][2]}
        arms = _mean_over_tasks([draws[key] for key in members])
        baseline = _baseline(members, evaluations)
        values += [{**about, "arm": arm, **_value(found), **baseline} for arm, found in arms.items()]
        for first, second in combinations(arms, 2):
            differences.append(
                {**about, "first": first, "second": second, **_difference(arms[first], arms[second])}
            )
    return {"values": values, "differences": differences}


_Key = tuple[str, str, str]


class _Arm(NamedTuple):
    """An arm on a task.

    values    float64 [S]  by seed
    draws     float64 [B]  bootstrap draws of their mean, over entities and seeds
    entities  float64 [B]  the same over entities alone
    """

    values: np.ndarray
    draws: np.ndarray
    entities: np.ndarray


def _tasks(evaluations: Sequence[Evaluation]) -> dict[_Key, None]:
    return dict.fromkeys(
        (one.dataset, entry["task"], METRICS[entry["task_type"]])
        for one in evaluations
        for entry in one.scores
    )


def _task_draws(key: _Key, evaluations: Sequence[Evaluation], n_boot: int) -> dict[str, _Arm]:
    """Per arm the values of its seeds and the draws of their mean, entities drawn alike for all arms."""
    dataset, task, metric = key
    found = [one for one in evaluations if one.dataset == dataset and task in one.predictions]
    first = found[0].predictions[task]
    predictions = {str(i): one.predictions[task]["prediction"].to_numpy(float) for i, one in enumerate(found)}
    for one in found:
        assert one.predictions[task]["entity"].equals(first["entity"]), "rows in another order"
    target = first["target"].to_numpy(np.float64)
    drawn = score_draws(metric, target, predictions, first["entity"].to_numpy(), n_boot=n_boot)
    arms: dict[str, _Arm] = {}
    for number, arm in enumerate(dict.fromkeys(one.arm for one in found)):
        members = [i for i, one in enumerate(found) if one.arm == arm]
        values = np.array([_official(found[i], task, metric) for i in members])
        by_seed = np.stack([drawn[str(i)] for i in members])
        # The same seeds for all tasks of an arm: a lucky run is lucky on all of them.
        rng = stream(0, Purpose.BOOTSTRAP, 2, number)
        chosen = rng.integers(0, len(members), (len(members), n_boot))
        drawn_seeds = np.take_along_axis(by_seed, chosen, axis=0)
        arms[arm] = _Arm(values, drawn_seeds.mean(axis=0), by_seed.mean(axis=0))
    return arms


def _official(evaluation: Evaluation, task: str, metric: str) -> float:
    entry = next(entry for entry in evaluation.scores if entry["task"] == task)
    return float(entry["r2"] if metric == "r2" else entry["value"])


def _mean_over_tasks(tasks: Sequence[Mapping[str, _Arm]]) -> dict[str, _Arm]:
    """Arms that all tasks have; seeds are averaged place by place."""
    shared = [arm for arm in tasks[0] if all(arm in task for task in tasks)]
    return {
        arm: _Arm(*(np.mean(parts, axis=0) for parts in zip(*(task[arm] for task in tasks), strict=True)))
        for arm in shared
    }


def _value(arm: _Arm) -> dict[str, Any]:
    values = arm.values
    low, high = interval(arm.draws) or (None, None)
    ends = {"seed_low": float(values.min()), "seed_high": float(values.max())}
    return {"value": float(values.mean()), "low": low, "high": high, "seeds": len(values), **ends}


def _difference(first: _Arm, second: _Arm) -> dict[str, Any]:
    low, high = interval(second.draws - first.draws) or (None, None)
    difference = float(second.values.mean() - first.values.mean())
    parts = [(float(np.nanvar(second.entities - first.entities)), np.inf)]
    welch: list[float] | None = None
    if min(len(first.values), len(second.values)) > 1:
        for values in (first.values, second.values):
            parts.append((float(values.var(ddof=1)) / len(values), len(values) - 1))
        welch = welch_interval(difference, parts)
    welch_low, welch_high = welch or (None, None)
    ends = {"low": low, "high": high, "welch_low": welch_low, "welch_high": welch_high}
    return {"difference": difference, **ends}


def _baseline(members: Sequence[_Key], evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The best baseline of a task; of several tasks the mean of each one's best."""
    best = []
    for dataset, task, metric in members:
        entry = next(
            e for one in evaluations if one.dataset == dataset for e in one.scores if e["task"] == task
        )
        best.append(entry["r2_best_baseline" if metric == "r2" else "best_baseline"])
    name = best[0]["name"] if len(best) == 1 else "best of each"
    return {"baseline": float(np.mean([one["value"] for one in best])), "baseline_name": name}


def markdown(table: Mapping[str, Sequence[Mapping[str, Any]]], title: str, note: str) -> str:
    """The table as a page: values first, then differences; R2 and AUROC times 100, as PluRel prints them."""
    frame = pd.DataFrame(table["values"])
    arms = list(dict.fromkeys(frame["arm"]))
    lines = [f"# {title}", "", note, "", f"| database | task | metric | {' | '.join(arms)} | best baseline |"]
    lines.append("|" + "---|" * (len(arms) + 4))
    for (dataset, task, metric), rows in frame.groupby(["dataset", "task", "metric"], sort=False):
        by_arm = {row["arm"]: row for row in rows.to_dict("records")}
        cells = [_cell(by_arm[arm], "value") if arm in by_arm else "" for arm in arms]
        first = next(iter(by_arm.values()))
        baseline = f"{100 * first['baseline']:.1f} ({first['baseline_name'].replace('_', ' ')})"
        lines.append(f"| {dataset} | {task} | {metric} x100 | {' | '.join(cells)} | {baseline} |")
    lines += ["", "| database | task | metric | difference | x100 | excludes 0 | Welch |", "|" + "---|" * 7]
    for row in table["differences"]:
        apart = "" if row["low"] is None or row["low"] <= 0 <= row["high"] else "yes"
        lines.append(
            f"| {row['dataset']} | {row['task']} | {row['metric']} | {row['second']} - {row['first']} | "
            f"{_cell(row, 'difference')} | {apart} | {_ends(row['welch_low'], row['welch_high'], '+')} |"
        )
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[str, Any], name: str) -> str:
    sign = "+" if name == "difference" else ""
    return f"{100 * row[name]:{sign}.1f} {_ends(row['low'], row['high'], sign)}".rstrip()


def _ends(low: float | None, high: float | None, sign: str) -> str:
    return "" if low is None or high is None else f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"
