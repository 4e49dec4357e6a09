"""RelBench folders: equal bytes, and RelBench reads back what was generated."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import relbench
from relbench.manifest import DatasetManifest, TaskManifest, validate_dataset_manifest

from relscale.generation.config import GeneratorConfig
from relscale.generation.database import TaskTables, generate_database
from relscale.generation.writer import write_database
from relscale.platform.storage import digest_files

SMALL = GeneratorConfig(num_tables=(3, 4), rows_entity=(30, 40), rows_activity=(60, 90), num_columns=(3, 6))


def write(folder: Path, seed: int = 2, tasks=()) -> Path:
    folder.mkdir()
    write_database(generate_database(seed, SMALL), folder, tasks)
    return folder


def test_the_same_database_gives_the_same_bytes(tmp_path: Path) -> None:
    assert digest_files(write(tmp_path / "a")) == digest_files(write(tmp_path / "b"))
    assert digest_files(write(tmp_path / "c", seed=3)) != digest_files(tmp_path / "a")


def test_relbench_reads_back_every_cell(tmp_path: Path) -> None:
    folder, original = write(tmp_path / "a"), generate_database(2, SMALL)
    validate_dataset_manifest(DatasetManifest.load(folder / "manifest.yaml"), folder / "db")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = relbench.load_dataset(folder)
        database = dataset.get_db(upto_test_timestamp=False)
        cut = dataset.get_db()
    assert dataset.manifest.name == "plurel-2"
    assert dataset.val_timestamp == original.val_timestamp
    assert dataset.test_timestamp == original.test_timestamp
    assert set(database.table_dict) == set(original.tables)
    for name, table in original.tables.items():
        read = database.table_dict[name]
        assert (read.pkey_col, read.time_col) == (table.pkey, table.time_col)
        assert read.fkey_col_to_pkey_table == table.fkeys
        pd.testing.assert_frame_equal(read.df, table.data.to_pandas())
        for column in table.features():
            assert read.df[column].dtype in (np.dtype(bool), np.dtype("float64"))
        if table.time_col:
            assert cut.table_dict[name].df[table.time_col].max() <= original.test_timestamp
            assert 0 < len(cut.table_dict[name].df) < len(read.df)


def test_tasks_stand_beside_the_tables(tmp_path: Path) -> None:
    manifest = TaskManifest(
        name="t",
        kind="autocomplete",
        task_type="regression",
        description='none of "this": ü\n# \U0001f600',
        entity_table="table_0",
        target_col="feature_0",
        remove_columns=[["null", "a: b"]],
    )
    labels = pa.table({"row_idx": [0, 1], "feature_0": [0.5, 1.5]})
    folder = write(tmp_path / "a", tasks=[TaskTables(manifest, {"train": labels, "val": labels})])
    assert sorted(path.name for path in (folder / "tasks" / "t").iterdir()) == [
        "manifest.yaml",
        "train.parquet",
        "val.parquet",
    ]
    assert relbench.load_dataset(folder).get_task_names() == ["t"]
    assert TaskManifest.load(folder / "tasks" / "t" / "manifest.yaml") == manifest
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "tasks" / "t" / "val.parquet"), labels.to_pandas())


def test_a_task_that_relbench_would_refuse_is_not_written(tmp_path: Path) -> None:
    manifest = TaskManifest(name="t", kind="autocomplete", task_type="regression")
    with pytest.raises(ValueError, match="missing"):
        write(tmp_path / "a", tasks=[TaskTables(manifest, {})])
