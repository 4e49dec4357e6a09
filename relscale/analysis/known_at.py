"""A RelBench 3 folder as it was known at a moment, and the rows of a task that are asked about then.

Rows later than the moment are gone, and with them whatever statistic they would enter. A label is known once
its window is over: one of the day before that looks 30 days ahead tells of days after the moment.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relscale.platform.errors import DataError

if TYPE_CHECKING:
    from relscale.model.source import SourceDatabase, SourceTable
    from relscale.model.tasks import TaskSpec


def write_known_at(
    folder: Path,
    source: "SourceDatabase",
    task: "TaskSpec",
    moment: pd.Timestamp,
    entities: np.ndarray,
    out: Path,
) -> None:
    """Write the database of a moment with one task, whose split "test" holds the rows that are asked about.

    Parameters
    ----------
    folder, source : a RelBench 3 folder, and what was read of it.
    entities : int64 [n], row numbers of the task's entity table in `folder`.
    out : folder to write, empty.

    Raises
    ------
    DataError : an entity came to be after the moment; no label was known then.
    """
    from relbench.manifest import DatasetManifest, TaskManifest

    manifest = DatasetManifest.load(folder / "manifest.yaml")
    about = TaskManifest.load(folder / "tasks" / task.name / "manifest.yaml")
    places = {table.name: _places(table, moment) for table in source.tables if not table.is_task}
    rows = places[task.entity_table][entities]
    if (rows < 0).any():
        late = entities[np.argmax(rows < 0)]
        raise DataError(
            f"row {late} of table '{task.entity_table}' came to be after {moment}, so that nothing was known "
            "of it then; ask about a later moment."
        )
    (out / "db").mkdir()
    for table in source.tables:
        if not table.is_task:
            spec = manifest.tables[table.name]
            pq.write_table(_cut(table, spec.pkey, places), out / "db" / f"{table.name}.parquet")
    labels = next(table for table in source.tables if table.is_task and table.name == task.name)
    window = pd.Timedelta(about.timedelta or 0)
    _write_labels(labels, task, moment, window, places[task.entity_table], rows, out / "tasks" / task.name)
    about.save(out / "tasks" / task.name / "manifest.yaml")
    # relbench takes no window longer than the validation period; statistics are of the rows before it.
    val = min(pd.Timestamp(str(manifest.val_timestamp)).tz_localize(None), moment - window)
    replace(manifest, val_timestamp=val.isoformat(), test_timestamp=moment.isoformat()).save(
        out / "manifest.yaml"
    )


def _places(table: "SourceTable", moment: pd.Timestamp) -> np.ndarray:
    """int64 [n]: the new row number of every row; -1 for those after the moment."""
    known = table.time <= micros(moment)  # a row without a time was always there: it counts as the first
    return np.where(known, np.cumsum(known) - 1, -1)


def _cut(table: "SourceTable", pkey: str | None, places: dict[str, np.ndarray]) -> pa.Table:
    kept = np.flatnonzero(places[table.name] >= 0)
    columns: dict[str, Any] = {pkey: np.arange(len(kept))} if pkey else {}
    for column, (parent, rows) in table.fkeys.items():
        new = np.where(rows >= 0, places[parent][rows], -1)[kept] if len(places[parent]) else rows[kept]
        columns[column] = pa.array(new, mask=new < 0)
    data = table.data.take(pa.array(kept))
    return pa.table({**columns, **{name: data[name] for name in data.column_names}})


def _write_labels(
    labels: "SourceTable",
    task: "TaskSpec",
    moment: pd.Timestamp,
    window: pd.Timedelta,
    places: np.ndarray,
    asked: np.ndarray,
    out: Path,
) -> None:
    assert task.entity_col is not None and task.time_col is not None
    ((_, entities),) = labels.fkeys.values()
    entity = places[entities]
    known = (labels.time + micros(window) <= micros(moment)) & (labels.time < micros(moment)) & (entity >= 0)
    split = np.repeat(np.arange(3), labels.split_rows)
    if not known[split == 0].any():
        first = pd.Timestamp(int(labels.time[split == 0].min()), unit="us") + window
        raise DataError(
            f"no label of task '{task.name}' was known at {moment}, the first was at {first}; ask about a "
            "later moment."
        )
    value = labels.data[task.target_col]
    out.mkdir(parents=True)
    for number, name in enumerate(("train", "val")):
        here = np.flatnonzero(known & (split == number))
        part = [labels.time[here], entity[here], value.take(pa.array(here))]
        pq.write_table(_label_table(task, *part), out / f"{name}.parquet")
    stand_in = value.take(pa.array([_stand_in(value, np.flatnonzero(known))] * len(asked), pa.int64()))
    times = np.full(len(asked), micros(moment))
    pq.write_table(_label_table(task, times, asked, stand_in), out / "test.parquet")


def _label_table(task: "TaskSpec", time: np.ndarray, entity: np.ndarray, value: pa.ChunkedArray) -> pa.Table:
    times = pa.array(time.astype("datetime64[us]"))
    return pa.table({str(task.time_col): times, str(task.entity_col): entity, task.target_col: value})


def _stand_in(value: pa.ChunkedArray, known: np.ndarray) -> int:
    """A row whose known label stands where the asked ones are hidden: the network reads none of them.

    Of numbers the largest, which a z-score in float32 gives back to a small share of itself.
    """
    if pa.types.is_integer(value.type) or pa.types.is_floating(value.type):
        numbers = pc.cast(value, pa.float64()).to_numpy()[known]
        return int(known[np.nanargmax(np.abs(numbers))])
    return int(known[0])


def micros(time: pd.Timestamp | pd.Timedelta) -> int:
    """Microseconds since 1970, or of a length of time."""
    return int(time.asm8.astype(f"{time.asm8.dtype.kind}8[us]").astype(np.int64))
