"""Gradient-boosted trees on the entity's own columns and its past labels: the baseline that is fitted."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from relscale.analysis.baselines import Visibility, known_labels, label_history
from relscale.platform.seeds import Purpose, integer, stream

MAX_FIT_ROWS = 200_000
"""Of more label rows a uniform sample is fitted."""
MAX_CATEGORIES = 255
"""Columns of texts or keys with more distinct values are left out: scikit-learn's limit. So are those whose
values are mostly different: they name the entity."""
N_HISTORY = 6
"""Features from an entity's past labels."""


def tree_predictions(
    splits: Mapping[str, pd.DataFrame],
    columns: pd.DataFrame,
    *,
    task_type: str,
    split: str = "test",
    visibility: Visibility = "temporal",
) -> np.ndarray:
    """Fit the labels before a split, predict its rows.

    The fitted rows are those of all earlier splits (of train alone under "train-only"), each with the
    history that it had at its time.

    Parameters
    ----------
    splits : label tables with the columns time, entity and label.
    columns : one row per entity, as `entity_columns` chooses them; the index is the entity's number.
    task_type : of RelBench.

    Returns
    -------
    float64 [n]: the number, the probability of "true" of a binary task, or the most probable class.

    Source: HistGradientBoosting of scikit-learn with its default settings, squared error for numbers.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    fitted = known_labels(splits, split, "train-only" if visibility == "train-only" else "strict")
    if len(fitted) > MAX_FIT_ROWS:
        rng = stream(0, Purpose.EVALUATION)
        fitted = fitted.iloc[np.sort(rng.choice(len(fitted), MAX_FIT_ROWS, replace=False))]
    past = known_labels(splits, split, visibility)
    kind = HistGradientBoostingRegressor if task_type == "regression" else HistGradientBoostingClassifier
    to_fit, to_predict = (_features(rows, past, columns) for rows in (fitted, splits[split]))
    known = ~np.isnan(to_fit).all(axis=0)  # scikit-learn fails on a column without any value
    is_category = [isinstance(dtype, pd.CategoricalDtype) for dtype in columns.dtypes]
    model = kind(
        categorical_features=np.array([*is_category, *[False] * N_HISTORY])[known],
        random_state=integer(0, Purpose.EVALUATION) % 2**32,
    )
    model.fit(to_fit[:, known], fitted["label"])
    features = to_predict[:, known]
    if task_type == "binary_classification":
        return model.predict_proba(features)[:, 1]
    return model.predict(features).astype(np.float64)


def entity_columns(table: pd.DataFrame, *, keys: Collection[str], left_out: Collection[str]) -> pd.DataFrame:
    """The columns of an entity table that a tree can use: numbers, times, and texts or keys of few values.

    Parameters
    ----------
    table : one row per entity, in the order of their numbers.
    keys : foreign keys, which count as categories. left_out : primary key, label and leakage columns.
    """
    chosen = {}
    for name in table.columns.difference([*left_out], sort=False):
        column = table[name]
        is_key = name in keys
        if pd.api.types.is_datetime64_any_dtype(column) and not is_key:
            chosen[name] = column
        elif pd.api.types.is_numeric_dtype(column) and not is_key:
            chosen[name] = column.astype(np.float64)
        else:
            column = column.where(column.isna(), column.astype(str)).astype("category")
            if column.nunique() <= min(MAX_CATEGORIES, column.count() / 2):
                chosen[name] = column
    return pd.DataFrame(chosen, index=range(len(table)))


def _features(rows: pd.DataFrame, past: pd.DataFrame, columns: pd.DataFrame) -> np.ndarray:
    """float64 [n, K + N_HISTORY]: the entity's columns (times as days before the row's), then its history."""
    entity = columns.iloc[rows["entity"].to_numpy(np.int64)]
    parts = []
    for name in columns:
        values = entity[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            parts.append(values.cat.codes.where(values.cat.codes >= 0).to_numpy(np.float64))
        elif pd.api.types.is_datetime64_any_dtype(values):
            parts.append((rows["time"].to_numpy() - values.to_numpy()) / np.timedelta64(1, "D"))
        else:
            parts.append(values.to_numpy())
    # The mean of all labels would tell only the time of a row, of which trees learn nothing for later.
    history = label_history(past, rows).drop(columns="global_mean")
    return np.column_stack([*parts, history.to_numpy()])
