"""Whole databases: functions of seed and configuration, admitted, no key to a row that came later."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from relscale.generation.admission import admit
from relscale.generation.events.config import EVENTS_PRESETS
from relscale.generation.events.database import generate_events, hidden_and_shown

SMALL = {"num_tables": (3, 6), "rows_entity": (40, 90), "rows_activity": (300, 500), "num_columns": (2, 6)}


def content(database):
    tables = {name: table.data for name, table in database.tables.items()}
    return tables, [(task.manifest, task.splits) for task in database.tasks]


def test_a_database_depends_on_its_seed_and_config_alone():
    config = EVENTS_PRESETS["events-1"].replace(**SMALL)
    first = generate_events(7, config)
    assert content(generate_events(8, config)) != content(first)
    assert content(generate_events(7, config)) == content(first)


@pytest.mark.parametrize("preset", EVENTS_PRESETS)
def test_every_preset_makes_usable_databases(preset):
    for seed in range(3):
        rows, database = hidden_and_shown(seed, EVENTS_PRESETS[preset].replace(**SMALL))
        assert admit(database) is None
        for name, table in database.tables.items():
            for of, parent in zip(rows[name].keys, table.fkeys.values(), strict=True):
                there = of >= 0
                if table.time_col is None and database.tables[parent].time_col is not None:
                    first = rows[parent].born.min()
                    assert (rows[parent].born[of[there]] == first).all(), "they are there from the start"
                assert (rows[parent].born[of[there]] <= rows[name].born[there]).all()
        if preset == "events-1-no-forecasts":
            assert not database.tasks


def shape_digest(database):
    """SHA-256 over names, types, keys and row counts of tables and tasks: what no rounding touches."""
    total = hashlib.sha256()
    for table in database.tables.values():
        types = [[field.name, str(field.type)] for field in table.data.schema]
        total.update(json.dumps([table.name, table.fkeys, table.data.num_rows, types]).encode())
    for task in database.tasks:
        sizes = {name: split.num_rows for name, split in task.splits.items()}
        total.update(json.dumps([task.manifest.name, task.manifest.task_type, sizes]).encode())
    return total.hexdigest()


def sketch(database):
    """A number that every column of every table moves, keys and times too."""
    total = 0.0
    for table in database.tables.values():
        for column in table.data.columns:
            if pa.types.is_timestamp(column.type):
                times = column.drop_null().cast("int64").to_numpy().astype(float)
                values = (times - times.min()) / max(np.ptp(times), 1)
            elif pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
                values = pc.fill_null(pc.utf8_length(column.cast("string")), 0).to_numpy()
            else:
                values = pc.fill_null(column.cast("float64"), 0).to_numpy()
            total += float(np.abs(np.arctan(values)).mean())
    return total


@pytest.mark.parametrize(
    ("preset", "shape", "values"),
    [
        ("events-2", "ccaae1f26e55360a", 19.4857),
        ("events-1", "bc23cbc716f01f21", 30.0498),
        ("events-1-no-traits", "8ee6d280e56f2bb1", 29.6723),
        ("events-1-no-time", "bbc69144f7dfb08e", 27.2845),
        ("events-1-no-forecasts", "eaa093c05803ae5a", 30.0498),
        ("events-1-no-keys", "f789d464528ed3a0", 24.6702),
        ("events-1-no-columns", "3d94076c603992f2", 24.1945),
        ("events-1-no-meaning", "30c9bf6a5a97e46b", 29.1740),
        ("events-1-no-style", "c9b16f0d87fd2dc2", 26.8349),
    ],
)
def test_presets_are_pinned(preset, shape, values):
    """Pinned with numpy 2.4.6 and networkx 3.6.1; values to 1e-3, since rounding depends on the CPU."""
    database = generate_events(3, EVENTS_PRESETS[preset].replace(**SMALL))
    assert shape_digest(database)[:16] == shape
    assert sketch(database) == pytest.approx(values, rel=1e-3)


def test_every_preset_is_pinned():
    (pinned,) = [mark for mark in test_presets_are_pinned.pytestmark if mark.name == "parametrize"]
    assert [name for name, *_ in pinned.args[1]] == list(EVENTS_PRESETS)
