"""Whole databases: functions of seed and configuration, admitted, no key to a row that came later."""

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
