"""Forecasts: what a checkpoint expects of entities from a moment on, whose labels nobody knows."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from relscale.analysis.known_at import micros, write_known_at
from relscale.analysis.label_tables import MAX_CLASSES, label_tables
from relscale.analysis.task_predictions import load_predictor, predict_rows
from relscale.platform.errors import DataError

if TYPE_CHECKING:
    from relscale.model.source import SourceDatabase
    from relscale.model.tasks import TaskSpec


def forecast(
    checkpoint: Path,
    folder: Path,
    task: str,
    *,
    rows: Path | None = None,
    at: str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Predict a task for entities at moments of one's choice, from what was known then and nothing later.

    The database is cut at each moment: rows later than it, and labels whose window ends later, are gone
    before the network or any statistic sees them.

    Parameters
    ----------
    folder : RelBench 3 folder; with keys/<table>.parquet, as `relscale import` writes it, entities may go by
        the keys of the source.
    rows : CSV or Parquet file of entities, and of moments unless `at` gives one for all; None: all that
        have come to be at `at`.
    at : a moment; None without `rows`: that of the latest row of the database.
    options : those of `load_predictor`.

    Returns
    -------
    A row per entity and moment, in the order asked: time, entity, the source's key if there is one, and
    prediction: the probability of "true", the number in the units of the label, or the class.

    Raises
    ------
    DataError : an unknown task, one that completes a column or has more than MAX_CLASSES classes; a moment
        or entity that is none; see also `write_known_at`.
    """
    from relscale.model.source import read_database

    source = read_database(folder)
    spec = _task(source, task)
    keys = _source_keys(folder, spec.entity_table)
    asked = _asked_file(rows, at, source, spec, keys) if rows else _everybody(at, source, spec)
    prediction = np.empty(len(asked), dtype=object)
    for moment, places in asked.groupby("time").indices.items():
        with tempfile.TemporaryDirectory(prefix="relscale-forecast-") as made:
            known = Path(made) / "database"
            known.mkdir()
            entities = asked["entity"].to_numpy(np.int64)[places]
            write_known_at(folder, source, spec, moment, entities, known)
            prediction[places] = _predict(checkpoint, known, task, options)
    answered = asked if keys is None else asked.merge(keys, on="entity", how="left")
    return answered.assign(prediction=pd.Series(prediction).infer_objects())


def _predict(checkpoint: Path, known: Path, task: str, options: dict[str, Any]) -> np.ndarray:
    import relbench

    labels = label_tables(relbench.load_dataset(known), task)
    if labels.classes is not None and len(labels.classes) > MAX_CLASSES:
        raise DataError(
            f"task '{task}' has {len(labels.classes)} classes, at most {MAX_CLASSES} can be asked for."
        )
    predictor = load_predictor(checkpoint, known, known.parent / "tokens", **options)
    found, _ = predict_rows(predictor, labels, "test")
    return found if labels.classes is None else labels.classes[found.astype(np.int64)]


def _task(source: "SourceDatabase", name: str) -> "TaskSpec":
    forecasts = {task.name: task for task in source.tasks if task.time_col is not None}
    if name in forecasts:
        return forecasts[name]
    if any(task.name == name for task in source.tasks):
        raise DataError(
            f"task '{name}' completes a column, or its labels have no time; a moment can only be asked about "
            f"for: {', '.join(forecasts) or 'none'}."
        )
    raise DataError(f"'{source.name}' has no task '{name}'; its forecasts: {', '.join(forecasts) or 'none'}.")


def _source_keys(folder: Path, table: str) -> pd.DataFrame | None:
    path = folder / "keys" / f"{table}.parquet"
    return pd.read_parquet(path) if path.is_file() else None


def _everybody(at: str | None, source: "SourceDatabase", task: "TaskSpec") -> pd.DataFrame:
    """All entities that have come to be at the moment, in the order of their table."""
    tables = {table.name: table for table in source.tables if not table.is_task}
    if at is None:
        latest = max(int(table.time.max()) for table in tables.values() if table.time_col and table.n_rows)
        moment = pd.Timestamp(latest, unit="us")
    else:
        moment = _moments(pd.Series([at]), "--at")[0]
    there = np.flatnonzero(tables[task.entity_table].time <= micros(moment))
    return pd.DataFrame({"time": moment, "entity": there})


def _asked_file(
    path: Path, at: str | None, source: "SourceDatabase", task: "TaskSpec", keys: pd.DataFrame | None
) -> pd.DataFrame:
    """Columns time and entity of a file's rows; a row that names no moment or no entity is an error."""
    frame = _read(path)
    n_entities = next(table.n_rows for table in source.tables if table.name == task.entity_table)
    names = list(keys.columns.drop("entity")) if keys is not None else []
    entity = next(
        (name for name in ("entity", str(task.entity_col)) if name in frame and name not in names), ""
    )
    if names and not entity and set(names) <= set(frame):
        entities = _by_key(frame[names], keys)
        shown = frame[names].astype(str).agg(", ".join, axis=1)
    elif entity:
        numbers = pd.to_numeric(frame[entity], errors="coerce")
        entities = numbers.where((numbers >= 0) & (numbers < n_entities) & (numbers % 1 == 0))
        shown = frame[entity].astype(str)
    else:
        raise DataError(
            f"'{path}' has no column {' and '.join(map(repr, names)) or repr(task.entity_col)} that names "
            f"rows of '{task.entity_table}'; it has: {', '.join(frame)}."
        )
    if entities.isna().any():
        row = int(entities.isna().to_numpy().argmax())
        raise DataError(
            f"'{path}', row {row + 1}: table '{task.entity_table}' has no row "
            f"{', '.join(names) if not entity else 'number'} '{shown[row]}'; mend that."
        )
    time = next((name for name in ("time", "timestamp", str(task.time_col)) if name in frame), "")
    if at is None and not time:
        raise DataError(
            f"'{path}' has no column 'timestamp' of moments; add it, or give one for all as --at."
        )
    moments = _moments(pd.Series([at] * len(frame)) if at else frame[time], "--at" if at else f"'{path}'")
    return pd.DataFrame({"time": moments, "entity": entities.astype(np.int64)})


def _by_key(asked: pd.DataFrame, keys: pd.DataFrame) -> pd.Series:
    """The row number of each key, missing where there is none; 7 and "7" are the same."""
    named = keys.astype(dict.fromkeys(asked.columns, str))
    return asked.astype(str).merge(named, on=list(asked.columns), how="left")["entity"]


def _read(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DataError(f"'{path}' is no readable CSV or Parquet file ({reason}); mend it.") from error
    if frame.empty:
        raise DataError(f"'{path}' has no rows; name at least one to predict.")
    return frame


def _moments(texts: Sequence[Any], where: str) -> pd.Series:
    moments = pd.to_datetime(pd.Series(texts), format="ISO8601", errors="coerce", utc=True).dt.tz_localize(
        None
    )
    if moments.isna().any():
        row = int(moments.isna().to_numpy().argmax())
        place = where if where == "--at" else f"{where}, row {row + 1}"
        raise DataError(f"{place}: '{texts[row]}' is no moment; write it as 2024-01-31 or 2024-01-31 12:00.")
    return moments.astype("datetime64[us]")
