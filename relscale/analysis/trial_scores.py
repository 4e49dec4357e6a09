"""Zero-shot scores of many networks as one table, and what it says: does a lower loss mean a better score?

The table has a row for each network, task and metric: `COLUMNS`, then a column `baseline_<name>` for each
baseline, whose values are the same for every network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from relscale.analysis.resampling import interval
from relscale.analysis.results import KEY
from relscale.platform.seeds import Purpose, stream

TASK = ["dataset", "task", "split", "metric", "visibility"]
COLUMNS = ["key", *KEY, "loss", *TASK, "value", "low", "high", "verdict"]
BASELINE = "baseline_"
MIN_TRIALS = 3
"""Fewer networks than this show no relation between score and loss."""
_LOWER_IS_BETTER = ("mae", "rmse", "mse", "loss", "error")


def score_table(entries: Mapping[str, Sequence[Mapping[str, Any]]], results: pd.DataFrame) -> pd.DataFrame:
    """The table of {key of a trial: its entries}, by task and then as the results.

    Parameters
    ----------
    entries : each with the fields of TASK and of `task_scores`; a mapping "r2" becomes a row of its own.
    results : key, n_databases, tokens, seed and loss of the trials; "low" and "high" are over entities of
        the test rows where there are enough of these, else over rows.
    """
    rows = []
    for trial in results[results["key"].isin(list(entries))].to_dict("records"):
        for entry in entries[trial["key"]]:
            rows += [_row(trial, entry, part) for part in _parts(entry)]
    table = pd.DataFrame(rows, columns=None if rows else COLUMNS)
    return table.sort_values([*TASK, *KEY], ignore_index=True)


def lower_is_better(metric: str) -> bool:
    """Whether a metric is an error."""
    return any(part in metric.lower() for part in _LOWER_IS_BETTER)


def tasks_of(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each task and metric that enough networks have answered."""
    return [part for _, part in table.groupby(TASK, sort=False) if len(part) >= MIN_TRIALS]


def best_other(part: pd.DataFrame, axis: str, other: str) -> pd.DataFrame:
    """At every value of `axis` the rows with the `other` of lowest mean loss: chosen without the scores."""
    means = part.groupby([axis, other])["loss"].mean().reset_index()
    return part.merge(means.loc[means.groupby(axis)["loss"].idxmin(), [axis, other]], on=[axis, other])


def agreement(part: pd.DataFrame, *, n_boot: int) -> tuple[float | None, list[float] | None]:
    """Rank correlation of a low loss with a good score, and its 95 % interval.

    Spearman's, with the sign turned so that +1 is "the lower the loss, the better the score" for every
    metric. Points (N, S) are drawn with all their seeds, since runs of one point resemble each other. None
    where all losses or all scores are equal. The test rows are the same for all networks: that another
    test set would rank them otherwise is not in the interval.
    """
    score = part["value"].to_numpy(np.float64)
    score = -score if lower_is_better(str(part["metric"].iloc[0])) else score
    pairs = np.column_stack([-part["loss"].to_numpy(np.float64), score])
    _, point = np.unique(part[["n_databases", "tokens"]], axis=0, return_inverse=True)
    members = [np.flatnonzero(point.ravel() == place) for place in range(point.max() + 1)]
    rng = stream(0, Purpose.BOOTSTRAP, 2)
    draws = [
        _spearman(pairs[np.concatenate([members[place] for place in drawn])])
        for drawn in rng.integers(0, len(members), (n_boot, len(members)))
    ]
    whole = _spearman(pairs)
    return (None, None) if np.isnan(whole) else (whole, interval(np.array(draws)))


def agreement_sentence(part: pd.DataFrame, *, n_boot: int) -> str:
    """What `agreement` says of a task, in words."""
    first = part.iloc[0]
    where = f"{first['dataset']} / {first['task']}, {first['metric']}"
    value, ends = agreement(part, n_boot=n_boot)
    if value is None or ends is None:
        return f"{where}: all {len(part)} networks are alike."
    if ends[0] > 0:
        word = "a lower held-out loss goes with a better score"
    elif ends[1] < 0:
        word = "a lower held-out loss goes with a worse score"
    else:
        word = "held-out loss and score are not related beyond chance"
    return (
        f"{where}: {word} (rank correlation {value:.2f}, 95 % {ends[0]:.2f} to {ends[1]:.2f}, "
        f"{len(part)} networks)."
    )


def _parts(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry, *([{**entry["r2"], "metric": "r2"}] if isinstance(entry.get("r2"), Mapping) else [])]


def _row(trial: Mapping[str, Any], entry: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    low, high = part["ci95_entities"] or part["ci95"]
    return {
        **{name: trial[name] for name in ("key", *KEY, "loss")},
        **{name: {**entry, **part}[name] for name in TASK},
        "value": part["value"],
        "low": low,
        "high": high,
        "verdict": part["difference"]["verdict"],
        **{f"{BASELINE}{name}": value for name, value in part["baselines"].items()},
    }


def _spearman(pairs: np.ndarray) -> float:
    """float64 [n, 2] to the correlation of ranks; NaN where a column is constant."""
    ranks = pd.DataFrame(pairs).rank().to_numpy()
    centred = ranks - ranks.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    return float(centred[:, 0] @ centred[:, 1] / norm.prod()) if (norm > 0).all() else float("nan")
