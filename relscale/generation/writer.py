"""A database as a RelBench 3 folder: manifest.yaml, db/<table>.parquet, tasks/<task>/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from relscale.generation.database import Database

if TYPE_CHECKING:
    from relbench.manifest import TaskManifest


@dataclass(frozen=True, slots=True)
class TaskTables:
    """A task and its label tables by split ("train", "val", "test")."""

    manifest: TaskManifest
    splits: dict[str, pa.Table]


def write_database(database: Database, folder: Path, tasks: Sequence[TaskTables] = ()) -> None:
    """Write a database, and tasks over it, into an existing empty folder.

    Equal databases give equal bytes with one version of pyarrow. The folder opens with
    `relbench.load_dataset(folder)` (RelBench 3.0). Raises ValueError for a task that RelBench would refuse.
    """
    for table in database.tables.values():
        _write_table(table.data, folder / "db" / f"{table.name}.parquet")
    for task in tasks:
        task.manifest.validate()
        for split, labels in task.splits.items():
            _write_table(labels, folder / "tasks" / task.manifest.name / f"{split}.parquet")
        task.manifest.save(folder / "tasks" / task.manifest.name / "manifest.yaml")
    _write_manifest(database, folder / "manifest.yaml")


def _write_manifest(database: Database, path: Path) -> None:
    from relbench.manifest import DatasetManifest, TableSpec

    tables = {
        table.name: TableSpec(pkey=table.pkey, time_col=table.time_col, fkeys=dict(table.fkeys))
        for table in database.tables.values()
    }
    DatasetManifest(
        name=database.name,
        val_timestamp=database.val_timestamp.isoformat(),
        test_timestamp=database.test_timestamp.isoformat(),
        description=database.description,
        tables=tables,
    ).save(path)


def _write_table(data: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(data, path, compression="zstd")
