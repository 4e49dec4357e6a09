"""What the past tells: of rows by construction, and of the labels of forecast tasks."""

import numpy as np
import pytest

from relscale.analysis.database import Column, Link, Table
from relscale.analysis.inspection import inspect_database
from relscale.analysis.pasts import SPANS, explained_by_past, look_at_tasks
from relscale.generation.events.config import WHOLE, ForecastPrior
from relscale.generation.events.database import generate_events
from relscale.generation.writer import write_database
from relscale.platform.errors import DataError

N, ENTITIES = 6000, 150


def look(values: np.ndarray, entity: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
    column = Column(name="x", kind="number", values=values)
    table = Table(
        name="events", n_rows=N, n_columns=3, time_col="at", rows=np.arange(N), columns=(column,), times=times
    )
    link = Link(child="events", key="of", parent="who", parents=entity, n_parents=ENTITIES, n_broken=0)
    return explained_by_past(link, table)


def test_a_trait_needs_more_of_the_past_the_more_noise_there_is():
    rng = np.random.default_rng(0)
    entity, times = rng.integers(ENTITIES, size=N), rng.permutation(N).astype(float)
    values = rng.standard_normal(ENTITIES)[entity] + rng.standard_normal(N)
    found = look(values, entity, times)["x"]
    # Half of the variance is the entity's: the mean of k values tells 0.5 k / (k + 1) of the next one.
    expected = [0.5 * k / (k + 1) for k in SPANS]
    assert found[:4] == pytest.approx(expected[:4], abs=0.05)
    assert (np.diff(found) > -0.01).all()
    assert look(rng.standard_normal(N), entity, times)["x"].max() < 0.01


def test_what_wanders_is_told_best_by_the_last_value():
    rng = np.random.default_rng(1)
    entity = np.repeat(np.arange(ENTITIES), N // ENTITIES)
    steps = rng.standard_normal((ENTITIES, N // ENTITIES)).cumsum(axis=1)
    found = look(steps.ravel(), entity, np.tile(np.arange(N // ENTITIES), ENTITIES).astype(float))["x"]
    assert found[0] > 0.8 and (np.diff(found) < 0).all()


def test_rows_of_the_same_moment_are_no_past():
    rng = np.random.default_rng(2)
    entity = rng.integers(ENTITIES, size=N)
    assert look(rng.standard_normal(N), entity, np.zeros(N)) == {}
    day = np.arange(N) // 10 % 20
    moods = rng.standard_normal((ENTITIES, 20))[entity, day]
    assert look(moods, entity, day.astype(float))["x"].max() < 0.02, "the mood of a day is not told by itself"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = WHOLE.replace(
        forecasts=ForecastPrior(num_tasks=(6, 6)), rows_activity=(600, 1500), rows_entity=(50, 100)
    )
    path = tmp_path_factory.mktemp("events") / "database"
    database = generate_events(3, config)
    write_database(database, path, database.tasks)
    return path


def test_tasks_are_shown_with_their_labels_and_difficulty(folder, tmp_path):
    tasks = look_at_tasks(folder)
    assert tasks and all(set(task.counts) == {"train", "val", "test"} for task in tasks)
    for task in tasks:
        assert task.metric == ("AUROC" if task.task_type == "binary classification" else "R2")
        assert {"entity_mean", "last_label", "mean_of_last_5"} <= set(task.scores)
        if task.metric == "AUROC":
            assert 0 < task.mean["val"] < 1
    page = inspect_database(folder, tmp_path / "page").read_text()
    assert "<h2>Forecast tasks</h2>" in page and "<h2>What the past tells</h2>" in page
    assert all(task.name in page for task in tasks)
    assert {"pasts", "events", "tasks"} <= {path.stem for path in (tmp_path / "page" / "figures").iterdir()}


def test_a_broken_task_is_named(folder):
    broken = sorted((folder / "tasks").iterdir())[0]
    for path in broken.glob("*.yaml"):
        path.write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        look_at_tasks(folder)
