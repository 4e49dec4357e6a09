"""Autocomplete tasks: which columns qualify, RelBench derives their labels, our own training ignores them."""

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import relbench

from relscale.generation.autocomplete import autocomplete_tasks
from relscale.generation.config import GeneratorConfig
from relscale.generation.database import Database, Table, TaskTables, generate_database
from relscale.generation.writer import write_database
from relscale.model.config import SamplerConfig, TextConfig
from relscale.model.items import training_items
from relscale.model.sampler import sample_contexts
from relscale.model.tokenize import tokenize_folders
from relscale.platform.dataflow import map_keys_here

VAL, TEST = datetime(2020, 1, 1), datetime(2021, 1, 1)
TIMES = [datetime(2019, 1, 1), VAL, datetime(2020, 6, 1), TEST, datetime(2021, 1, 2), datetime(2021, 1, 3)]
"""Two rows of train, two of validation, two of test: a row at a splitting time belongs to the earlier."""
SMALL = GeneratorConfig(num_tables=(4, 4), rows_entity=(40, 50), rows_activity=(150, 200), num_columns=(4, 6))


def database(columns: dict[str, pa.Array], name: str = "visits", *, timed: bool = True) -> Database:
    data = {"id": pa.array(range(6)), "at": pa.array(TIMES), **columns}
    table = Table(name=name, data=pa.table(data), pkey="id", fkeys={}, time_col="at" if timed else None)
    return Database(name="d", tables={name: table}, val_timestamp=VAL, test_timestamp=TEST, description="")


def offered(columns: dict[str, list], **options) -> dict[str, str]:
    arrays = {name: pa.array(values) for name, values in columns.items()}
    return {task.target_col: task.task_type for task in autocomplete_tasks(database(arrays, **options))}


def test_booleans_need_both_classes_in_each_window() -> None:
    assert offered(
        {
            "good": [True, False] * 3,
            "train": [True, True, True, False, True, False],
            "val": [True, False, True, True, True, False],
            "test": [True, False, True, False, False, False],
            "empty": [True, False, True, False, None, None],
        }
    ) == {"good": "binary_classification"}


def test_numbers_must_vary_before_the_validation_time_and_be_there_later() -> None:
    assert offered(
        {
            "float": [1.0, 2.0, 1.0, 1.0, 1.0, None],
            "integer": [1, 2, 3, 4, 5, 6],
            "constant": [1.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            "one": [1.0, None, 2.0, 3.0, 4.0, 5.0],
            "no_test": [1.0, 2.0, 3.0, 4.0, None, None],
            "text": list("abcdef"),
            "moment": TIMES,
        }
    ) == {"float": "regression", "integer": "regression"}


def test_tables_without_time_and_names_that_need_quotes_are_passed_over() -> None:
    good = {"x": [True, False] * 3}
    assert offered(good)
    assert not offered(good, timed=False)
    assert not offered(good, name="my visits")
    assert not offered({"x-y": [True, False] * 3, "0": [1, 2, 3, 4, 5, 6]})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Database, Path, Path]:
    """A generated database, with its tasks and without."""
    base, original = tmp_path_factory.mktemp("databases"), generate_database(1, SMALL)
    tasks = [TaskTables(manifest, {}) for manifest in autocomplete_tasks(original)]
    for name, part in (("with", tasks), ("without", [])):
        (base / name).mkdir()
        write_database(original, base / name, part)
    return original, base / "with", base / "without"


def test_relbench_opens_every_task_and_derives_its_labels(folders) -> None:
    original, folder, _ = folders
    dataset = relbench.load_dataset(folder)
    names = dataset.get_task_names()
    expected = autocomplete_tasks(original)
    assert names == sorted(task.name for task in expected)
    assert {task.task_type for task in expected} == {"regression", "binary_classification"}
    times = {name: t.data[t.time_col].to_numpy() for name, t in original.tables.items() if t.time_col}
    for name in names:
        task = dataset.load_task(name)
        time, column = times[task.entity_table], original.tables[task.entity_table].data[task.target_col]
        splits = np.array([original.val_timestamp, original.test_timestamp], "datetime64[us]")
        window = np.searchsorted(splits, time, side="left")
        for number, split in enumerate(("train", "val", "test")):
            labels = task.get_table(split, mask_input_cols=False).df
            rows = np.flatnonzero((window == number) & column.is_valid().to_numpy())
            assert labels[task.entity_col].tolist() == rows.tolist()
            assert labels[task.target_col].tolist() == column.take(pa.array(rows)).to_pylist()
            if task.task_type == relbench.base.TaskType.BINARY_CLASSIFICATION:
                assert set(labels[task.target_col]) == {True, False}
        visible = task.get_db().table_dict[task.entity_table].df
        assert task.target_col not in visible.columns
        if task.task_type == relbench.base.TaskType.REGRESSION:
            assert task.nmae_std > 0


class _NoText:
    """A text encoder whose vectors are all the same."""

    name, fingerprint = "none", "0"

    def __init__(self, config: TextConfig) -> None: ...

    def encode(self, strings: list[str], *, on_batch: Callable[[int], None]) -> np.ndarray:
        return np.zeros((len(strings), 4), np.float16)


def test_they_change_nothing_that_is_trained_on(folders, tmp_path: Path, monkeypatch) -> None:
    """Tokens and contexts are the same with the tasks and without; none has label rows of its own."""
    monkeypatch.setattr("relscale.model.tokenize.TextEncoder", _NoText)
    _, with_tasks, without = folders
    seen = []
    for folder in (with_tasks, without):
        store = tokenize_folders([folder], tmp_path / folder.name, TextConfig(), run=map_keys_here)
        items = training_items(store, store.names, 0)
        batch = sample_contexts(
            store, store.names, items.locate(0, 64), SamplerConfig(context_length=64, mask_prob=0.2), seed=0
        )
        seen.append((store.database("plurel-1"), items, batch))
    (tasked, items, batch), (plain, other_items, other_batch) = seen
    for one, other in ((tasked.arrays, plain.arrays), (batch, other_batch)):
        for field in fields(one):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name
    assert tasked.columns == plain.columns
    assert np.array_equal(items.column, other_items.column) and np.array_equal(items.ends, other_items.ends)
    assert len(tasked.tasks) > len(plain.tasks) == 0
    assert all(task.is_autocomplete for task in tasked.tasks)
