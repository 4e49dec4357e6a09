"""Forecast tasks: labels equal those that RelBench itself computes by the task's SQL."""

import numpy as np
import pytest

from relscale.generation.admission import admit
from relscale.generation.events.config import EventsConfig, ForecastPrior
from relscale.generation.events.database import generate_events
from relscale.generation.labels import label_tables, relbench_task

MANY = EventsConfig(
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


def test_none_where_they_are_switched_off():
    off = MANY.replace(forecasts=MANY.forecasts.replace(enabled=False))
    assert generate_events(0, off).tasks == ()
