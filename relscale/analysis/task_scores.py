"""The score of one predictor on one task: its intervals, the baselines, and whether it beats the best.

The difference to the best baseline is drawn over entities with both on the same draws. "better" and "worse"
stand only where its interval excludes zero. The best baseline is chosen on the scored rows themselves, which
favours the baselines.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from relscale.analysis.resampling import MIN_ENTITIES, interval, score_draws

LOWER_IS_BETTER = ("nmae",)
Metric = Callable[[np.ndarray, np.ndarray], float]


def task_scores(
    name: str, metric: Metric, rows: pd.DataFrame, baselines: list[str], *, n_boot: int, scale: float = 1.0
) -> dict[str, Any]:
    """Score the column "prediction" of a task's rows, and its baselines.

    Parameters
    ----------
    name : of the metric, a key of `resampling.METRICS`. metric : the official function of that name.
    rows : columns entity, target, prediction and those of the baselines.
    scale : what the "nmae" divides by.

    Returns
    -------
    value; ci95, over rows; ci95_entities, None for fewer than MIN_ENTITIES; baselines (name: value);
    best_baseline (name, value); difference: value minus the best baseline's, its ci95 over entities, and
    the verdict "better", "worse" or "level".
    """
    target = rows["target"].to_numpy(np.float64)
    predictions = {key: rows[key].to_numpy(np.float64) for key in ("prediction", *baselines)}
    values = {key: float(metric(target, prediction)) for key, prediction in predictions.items()}
    over_rows = score_draws(
        name, target, {"prediction": predictions["prediction"]}, None, n_boot=n_boot, scale=scale
    )
    sign = -1 if name in LOWER_IS_BETTER else 1
    best = max(baselines, key=lambda key: sign * values[key])
    over_entities, ends = None, None
    if rows["entity"].nunique() >= MIN_ENTITIES:
        compared = {key: predictions[key] for key in ("prediction", best)}
        draws = score_draws(name, target, compared, rows["entity"].to_numpy(), n_boot=n_boot, scale=scale)
        over_entities = interval(draws["prediction"])
        ends = interval(draws["prediction"] - draws[best])
    return {
        "value": values["prediction"],
        "ci95": interval(over_rows["prediction"]),
        "ci95_entities": over_entities,
        "baselines": {key: values[key] for key in baselines},
        "best_baseline": {"name": best, "value": values[best]},
        "difference": {
            "value": values["prediction"] - values[best],
            "ci95": ends,
            "verdict": verdict(ends, sign),
        },
    }


def verdict(ends: list[float] | None, sign: int) -> str:
    """ "better" or "worse" where the interval of a difference excludes zero, else "level"."""
    if ends is None or ends[0] <= 0 <= ends[1]:
        return "level"
    return "better" if sign * ends[0] > 0 else "worse"


def difference_sentence(entry: Mapping[str, Any]) -> str:
    """The comparison of an entry of scores.json with its best baseline, in words."""
    best, difference = entry["best_baseline"], entry["difference"]
    where = {"better": "better than", "worse": "worse than", "level": "level with"}[difference["verdict"]]
    name = best["name"].replace("_", " ")
    if difference["ci95"] is None:
        return f"{where} the best baseline ({name} {best['value']:.3f}): too few entities for an interval"
    low, high = difference["ci95"]
    return (
        f"{where} the best baseline ({name} {best['value']:.3f}): difference {difference['value']:+.3f} "
        f"[{low:+.3f}, {high:+.3f}]"
    )
