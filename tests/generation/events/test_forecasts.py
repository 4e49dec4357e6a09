"""Forecast tasks: labels equal those that RelBench itself computes by the task's SQL."""

import numpy as np
import pytest

from relscale.generation.admission import admit
from relscale.generation.events.config import EVENTS_PRESETS, WHOLE, ForecastPrior
from relscale.generation.events.database import generate_events
from relscale.generation.events.forecasts import told_by_past
from relscale.generation.labels import label_tables, relbench_task

MANY = WHOLE.replace(
    forecasts=ForecastPrior(num_tasks=(6, 6)), rows_activity=(300, 1500), rows_entity=(50, 200)
)


@pytest.mark.parametrize("seed", range(10))
def test_relbench_regenerates_the_labels(seed):
    database = generate_events(seed, MANY)
    for task in database.tasks:
        task.manifest.validate()
        expected = label_tables(relbench_task(database, task.manifest))
        for split, labels in task.splits.items():
            ours, theirs = labels.to_pandas(), expected[split].to_pandas()[labels.column_names]
            keys = labels.column_names[:2]
            ours, theirs = (frame.sort_values(keys, ignore_index=True) for frame in (ours, theirs))
            assert ours[keys].astype("int64").equals(theirs[keys].astype("int64")), task.manifest.sql
            np.testing.assert_allclose(ours.iloc[:, 2], theirs.iloc[:, 2].astype(float), rtol=1e-9, atol=1e-9)


def test_all_kinds_of_questions_come_up_and_are_fair():
    kinds, shares = set(), []
    for seed in range(40):
        database = generate_events(seed, MANY)
        assert admit(database) is None
        assert len({task.manifest.name for task in database.tasks}) == len(database.tasks)
        for task in database.tasks:
            kinds.add(task.manifest.target_col.split("_")[0])
            if task.manifest.task_type == "binary_classification":
                shares += [task.splits[split].column(2).to_numpy().mean() for split in ("train", "val")]
    assert kinds == {"has", "number", "sum", "mean", "highest", "next", "no"}
    assert len(shares) > 20 and min(shares) >= 0.03 and max(shares) <= 0.97


@pytest.mark.parametrize(("share", "kept"), [(0.0, (0, 0.1)), (0.8, (0.9, 1))])
def test_a_task_of_noise_is_refused(share, kept, rng):
    """Labels of 30 entities in 10 windows, of which a share is the entity's own."""
    fair = 0
    for _ in range(100):
        own = np.tile(rng.standard_normal(30), 11)
        labels = np.sqrt(share) * own + np.sqrt(1 - share) * rng.standard_normal(330)
        moments, entities = np.repeat(np.arange(11), 30), np.tile(np.arange(30), 11)
        val = moments == 10
        train, later = ((moments[w], entities[w], labels[w]) for w in (~val, val))
        fair += told_by_past(train, later)
    assert kept[0] <= fair / 100 <= kept[1]


@pytest.mark.parametrize("preset", ["events-2", "events-1"])
def test_databases_of_many_entities_have_tasks_too(preset):
    many = EVENTS_PRESETS[preset].replace(num_tables=(3, 5), rows_entity=(700, 1000))
    counts = [len(generate_events(seed, many).tasks) for seed in range(15)]
    assert np.mean(counts) > 1


def test_no_question_is_asked_that_is_not_allowed():
    means = ForecastPrior(num_tasks=(4, 4), aggregates=("mean",))
    config = MANY.replace(num_columns=(1, 2), forecasts=means)
    asked = {
        t.manifest.target_col.split("_")[0] for seed in range(6) for t in generate_events(seed, config).tasks
    }
    assert asked == {"mean"}


def test_none_where_they_are_switched_off():
    off = MANY.replace(forecasts=MANY.forecasts.replace(enabled=False))
    assert generate_events(0, off).tasks == ()
