"""The files of an evaluation: predictions per row, for reading and for the RelBench leaderboard."""

import io
from pathlib import Path

import numpy as np
import pandas as pd

from relscale.analysis.label_tables import LabelTables
from relscale.platform import storage

ALLOWED = ("strict", "train-only")
"""Visibilities of labels that the RelBench leaderboard allows."""


def write_predictions(folder: Path, labels: LabelTables, rows: pd.DataFrame) -> None:
    """Write <task>.parquet, one row per row of the split, in its order.

    Parameters
    ----------
    rows : columns time, entity, target, prediction and those of the baselines; classes by place.
    """
    if labels.classes is not None:
        named = rows.columns.difference(["time", "entity"], sort=False)
        rows = rows.assign(**{name: labels.classes[rows[name].to_numpy(np.int64)] for name in named})
    data = io.BytesIO()
    rows.to_parquet(data, index=False)
    storage.write_bytes(folder / f"{labels.name}.parquet", data.getvalue())


def write_submission(folder: Path, dataset: str, labels: LabelTables, prediction: np.ndarray) -> None:
    """Write <dataset>__<task>.csv of test rows, as `python -m relbench.submit` reads it.

    That program takes binary classification and regression; the folder holds nothing else.
    """
    from relbench.submit import write_prediction_table

    if labels.classes is None:
        path = folder / f"{dataset}__{labels.name}.csv"
        with storage.writing(path):
            write_prediction_table(labels.task, prediction, path)
