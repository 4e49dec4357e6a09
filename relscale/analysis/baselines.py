"""Simple predictors that see exactly the labels a zero-shot model may see."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from relscale.platform.errors import DataError

Visibility = Literal["temporal", "strict", "train-only"]
"""Whose labels a row may see, always of strictly earlier rows only.

temporal : every split, the scored one included; what the context of a relational transformer holds.
strict : the splits before the scored one (train for val; train and val for test), as RelBench states it.
train-only : the train split alone.
"""

HALF_LIFE = 5
"""Labels after which the weight of a label in the exponential mean is halved."""
_SPLITS = ("train", "val", "test")
_RECENT = 5


def visible_splits(split: str, visibility: Visibility) -> tuple[str, ...]:
    """Names of the splits whose labels rows of `split` may see if they are earlier."""
    last = 1 if visibility == "train-only" else _SPLITS.index(split) + (visibility == "temporal")
    return _SPLITS[:last]


def known_labels(splits: Mapping[str, pd.DataFrame], split: str, visibility: Visibility) -> pd.DataFrame:
    """The labels that rows of a split may see if they are earlier; null ones do not count.

    Parameters
    ----------
    splits : tables with the columns time, entity and label by split name, at least those that count.
    split : the split to score.
    """
    known = pd.concat([splits[name] for name in visible_splits(split, visibility)], ignore_index=True)
    return known[known["label"].notna()]


def baseline_predictions(
    splits: Mapping[str, pd.DataFrame], *, split: str = "test", visibility: Visibility = "temporal"
) -> dict[str, np.ndarray]:
    """Predict every row of a split by means of the labels before it.

    Parameters
    ----------
    splits : label tables with the columns time, entity and label by split name, at least `split` and those
        that it sees; labels are numbers or booleans.
    split : the split to score, "val" or "test".
    visibility : which labels count as known.

    Returns
    -------
    float64 arrays in the row order of `splits[split]`, in the units of the label: "global_mean", the mean of
    all visible labels; and of the same entity's visible labels "entity_mean", "last_label",
    "mean_of_last_5" and "exponential_mean" (HALF_LIFE), with the global mean where it has none.

    Raises
    ------
    DataError : a row has no visible label at all.
    """
    history = label_history(known_labels(splits, split, visibility), splits[split])
    blind = int(history["global_mean"].isna().sum())
    if blind:
        raise DataError(
            f"{blind} of {len(history)} rows of split '{split}' have no earlier label; check the splits' "
            f"times."
        )
    names = ("global_mean", "entity_mean", "last_label", "mean_of_last_5", "exponential_mean")
    return {name: history[name].fillna(history["global_mean"]).to_numpy() for name in names}


def label_history(known: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """What the labels strictly before each row say, in the order of the rows.

    Parameters
    ----------
    known : columns time, entity and label. rows : columns time and entity.

    Returns
    -------
    float64 columns global_mean, entity_mean, last_label, mean_of_last_5, exponential_mean (NaN where there
    is no such label), n_labels and days_since_last (of the entity).

    Cost: O(n log n) in the number of label rows.
    """
    times, row_times = _ranks(known["time"], rows["time"])
    entities, row_entities = _ranks(known["entity"], rows["entity"])
    labels = known["label"].to_numpy(np.float64)
    nobody, no_row = np.zeros_like(entities), np.zeros_like(row_entities)
    order, first, end = _past(nobody, times, no_row, row_times)
    history = {"global_mean": _mean(labels[order], nobody, first, end)}

    order, first, end = _past(entities, times, row_entities, row_times)
    labels, groups = labels[order], entities[order]
    exponential = pd.Series(labels).groupby(groups).ewm(halflife=HALF_LIFE).mean().to_numpy()
    recent = [_at(labels, end - 1 - k, first) for k in range(_RECENT)]
    last_time = np.append(known["time"].to_numpy()[order], rows["time"].to_numpy()[:1])[end - 1]
    since = pd.Series(rows["time"].to_numpy() - last_time) / pd.Timedelta(days=1)
    history |= {
        "entity_mean": _mean(labels, groups, first, end),
        "last_label": recent[0],
        "mean_of_last_5": pd.DataFrame(recent).mean().to_numpy(),
        "exponential_mean": _at(exponential, end - 1, first),
        "n_labels": (end - first).astype(np.float64),
        "days_since_last": since.where(end > first).to_numpy(np.float64),
    }
    return pd.DataFrame(history)


def _ranks(known: pd.Series, rows: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of both columns' values among all of them, int64."""
    values = np.concatenate([known.to_numpy(), rows.to_numpy()])
    ranks = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return ranks[: len(known)], ranks[len(known) :]


def _past(
    groups: np.ndarray, times: np.ndarray, row_groups: np.ndarray, row_times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order of the labels by group and time, and in it the range of each row's strict past."""
    # One ordered key for (group, time): a group's past is then one run of the sorted labels.
    n_times = int(max(times.max(initial=0), row_times.max(initial=0))) + 1
    order = np.lexsort((times, groups))
    keys = groups[order] * n_times + times[order]
    first = np.searchsorted(keys, row_groups * n_times, side="left")
    return order, first, np.searchsorted(keys, row_groups * n_times + row_times, side="left")


def _mean(labels: np.ndarray, groups: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Mean of each range; NaN for an empty one."""
    # The running sum starts anew in every group, so that a row's sum holds no trace of other labels.
    running = pd.Series(labels).groupby(groups).cumsum().to_numpy()
    return _at(running, end - 1, first) / np.maximum(end - first, 1)


def _at(values: np.ndarray, place: np.ndarray, first: np.ndarray) -> np.ndarray:
    """float64 [n]: the values at places that are not before `first`; NaN at the others."""
    return np.where(place >= first, np.append(values, np.nan)[np.maximum(place, 0)], np.nan)
