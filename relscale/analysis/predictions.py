"""A checkpoint's predictions of rows of RelBench 3 folders: a table of questions to a table of answers."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from relscale.analysis.baselines import Visibility
from relscale.platform.errors import DataError

if TYPE_CHECKING:
    from relscale.analysis.task_predictions import Predictor

QUESTION = ("database", "task", "split")
ANSWER = (*QUESTION, "entity", "timestamp", "prediction")


def predict_questions(
    checkpoint: Path,
    questions: pd.DataFrame,
    *,
    visibility: Visibility = "temporal",
    context_seeds: Sequence[int] = (0,),
    context_lengths: Sequence[int] = (),
    device: str = "cpu",
) -> pd.DataFrame:
    """Predict all rows of splits of tasks; a database is tokenized once, in a temporary folder.

    Parameters
    ----------
    checkpoint : folder with model.safetensors and config.json.
    questions : columns database (RelBench 3 folder or name), task, split; one row per split.
    visibility, context_seeds, device : as `evaluate_checkpoint`.
    context_lengths : cells of the contexts over which predictions are averaged, each a divisor of the
        longest; none is the length of the checkpoint's training.

    Returns
    -------
    Columns `ANSWER`, the questions one after the other, rows in the order of relbench's label tables.
    prediction is in the units of the label, the probability of "true", or the place of a class among its
    sorted classes.

    Raises
    ------
    DataError : a column of the questions is missing, there are none, no such folder, task or split.
        ConfigError, ResourceError : as `evaluate_checkpoint`.
    """
    from relscale.analysis.task_predictions import load_predictor
    from relscale.analysis.zero_shot import open_dataset

    _check(questions)
    answers: dict[int, pd.DataFrame] = {}
    places = questions.reset_index(drop=True)
    for database, asked in places.groupby("database", sort=False):
        source = open_dataset(str(database))
        with tempfile.TemporaryDirectory() as folder:
            predictor = load_predictor(
                checkpoint,
                source.dataset_dir,
                Path(folder),
                visibility=visibility,
                context_seeds=context_seeds,
                context_lengths=context_lengths,
                device=device,
            )
            for place, question in asked.iterrows():
                answer = _answer(predictor, source, question["task"], question["split"])
                answers[place] = answer.assign(**{name: question[name] for name in QUESTION})
    return pd.concat([answers[place] for place in sorted(answers)], ignore_index=True)[list(ANSWER)]


def _check(questions: pd.DataFrame) -> None:
    missing = [name for name in QUESTION if name not in questions.columns]
    if missing or questions.empty:
        found = f"columns {', '.join(map(str, questions.columns))} and {len(questions)} rows"
        raise DataError(f"the table of questions has {found}; give {', '.join(QUESTION)} in each row.")


def _answer(predictor: "Predictor", source: object, task: str, split: str) -> pd.DataFrame:
    from relscale.analysis.label_tables import SPLITS, label_tables
    from relscale.analysis.task_predictions import predict_rows

    if split not in SPLITS:
        raise DataError(f"'{split}' is no split; give one of {', '.join(SPLITS)}.")
    if task not in predictor.database.skipped_tasks:
        predictor.database.task(task)  # names the tasks that there are
    labels = label_tables(source, task)
    rows = labels.splits[split]
    return pd.DataFrame(
        {
            "entity": rows["entity"].to_numpy(np.int64),
            "timestamp": rows["time"].to_numpy("datetime64[ns]"),
            "prediction": predict_rows(predictor, labels, split)[0],
        }
    )
