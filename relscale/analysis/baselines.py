"""Simple predictors that see exactly the labels a zero-shot model may see."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from relscale.platform.errors import DataError

Visibility = Literal["temporal", "strict"]
"""Whose labels a row may see, always of strictly earlier rows only.

temporal : every split, the scored one included; what the context of a relational transformer holds.
strict : the splits before the scored one (train for val; train and val for test), as RelBench states it.
"""

_SPLITS = ("train", "val", "test")


def baseline_predictions(
    splits: Mapping[str, pd.DataFrame],
    *,
    time_col: str,
    entity_col: str,
    target_col: str,
    split: str = "test",
    visibility: Visibility = "temporal",
) -> dict[str, np.ndarray]:
    """Predict every row of a split by means of the labels before it.

    Parameters
    ----------
    splits : label tables by split name, at least `split` and those before it; labels are numbers or booleans.
    time_col, entity_col, target_col : columns of these tables.
    split : the split to score, "val" or "test".
    visibility : which labels count as known.

    Returns
    -------
    float64 arrays in the row order of `splits[split]`, in the units of the label:
    "global_mean", the mean of all visible labels; "entity_mean", the mean of the same entity's visible
    labels, and the global mean where it has none.

    Raises
    ------
    DataError : a row has no visible label at all.

    Cost: O(n log n) in the number of label rows.
    """
    last = _SPLITS.index(split) + (visibility == "temporal")
    known = pd.concat([splits[name] for name in _SPLITS[:last]], ignore_index=True)
    known = known[known[target_col].notna()]
    rows = splits[split]
    times, row_times = _ranks(known[time_col], rows[time_col])
    entities, row_entities = _ranks(known[entity_col], rows[entity_col])
    labels = known[target_col].to_numpy(np.float64)

    total, count = _before(np.zeros_like(entities), times, labels, np.zeros_like(row_entities), row_times)
    if (count == 0).any():
        raise DataError(
            f"{int((count == 0).sum())} of {len(rows)} rows of split '{split}' have no earlier label in "
            f"'{time_col}'; check the splits' times."
        )
    own_total, own_count = _before(entities, times, labels, row_entities, row_times)
    global_mean = total / count
    entity_mean = np.where(own_count > 0, own_total / np.maximum(own_count, 1), global_mean)
    return {"global_mean": global_mean, "entity_mean": entity_mean}


def _ranks(known: pd.Series, rows: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of both columns' values among all of them, int64."""
    values = np.concatenate([known.to_numpy(), rows.to_numpy()])
    ranks = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return ranks[: len(known)], ranks[len(known) :]


def _before(
    groups: np.ndarray, times: np.ndarray, labels: np.ndarray, row_groups: np.ndarray, row_times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number, for each row, of the labels of its group with a strictly smaller time."""
    # One ordered key for (group, time): a group's past is then one run of the sorted labels. The running
    # sum starts anew in every group, so that a row's sum holds no trace of other or later labels.
    n_times = int(max(times.max(initial=0), row_times.max(initial=0))) + 1
    order = np.lexsort((times, groups))
    keys = groups[order] * n_times + times[order]
    running = pd.Series(labels[order]).groupby(groups[order]).cumsum().to_numpy()
    first = np.searchsorted(keys, row_groups * n_times, side="left")
    end = np.searchsorted(keys, row_groups * n_times + row_times, side="left")
    return np.where(end > first, np.append(running, 0.0)[end - 1], 0.0), end - first
