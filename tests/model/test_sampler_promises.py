"""Random small databases and settings: nothing later than the target, nothing hidden, nothing twice."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sampler_oracle import Oracle, Splitmix

from relscale.model.config import SamplerConfig
from relscale.model.context import ContextBatch
from relscale.model.items import Items, task_items
from relscale.model.sampler import context_length_of, sample_contexts
from relscale.model.store import NO_TIME, TokenStore
from relscale.platform.dataflow import map_keys_here
from relscale.platform.errors import ConfigError
from relscale.platform.seeds import Purpose, integer

START = np.datetime64("2020-01-01", "us")
DAY = np.timedelta64(1, "D")
N_DAYS = 12


def _times(rng: np.random.Generator, n: int, share_none: float) -> pa.Array:
    days = START + rng.integers(0, N_DAYS, n) * DAY
    return pa.array(days, pa.timestamp("us"), mask=rng.random(n) < share_none)


def write_random(folder: Path, seed: int) -> Path:
    """Hubs, things of hubs and of other things, events of both; a task about things, one on events."""
    rng = np.random.default_rng(seed)
    n_hub, n_thing, n_event, n_label = (int(n) for n in rng.integers(1, [4, 8, 40, 30]))
    share_none = float(rng.choice([0.0, 0.2]))

    def key(n: int, n_parents: int) -> pa.Array:
        return pa.array(rng.integers(0, n_parents, n), pa.int64(), mask=rng.random(n) < 0.2)

    tables = {
        "hub": {"id": np.arange(n_hub), "size": rng.normal(size=n_hub)},
        "thing": {
            "id": np.arange(n_thing),
            "hub": key(n_thing, n_hub),
            "like": key(n_thing, n_thing),
            "made": _times(rng, n_thing, share_none),
            "secret": rng.normal(size=n_thing),
        },
        "event": {
            "thing": key(n_event, n_thing),
            "hub": key(n_event, n_hub),
            "at": _times(rng, n_event, share_none),
            "y": pa.array(rng.normal(size=n_event), mask=rng.random(n_event) < 0.2),
            "twin": rng.normal(size=n_event),
        },
    }
    about = {
        "hub": {"pkey": "id"},
        "thing": {"pkey": "id", "time_col": "made", "fkeys": {"hub": "hub", "like": "thing"}},
        "event": {"time_col": "at", "fkeys": {"thing": "thing", "hub": "hub"}},
    }
    (folder / "db").mkdir(parents=True)
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / "db" / f"{name}.parquet")
    manifest = {"name": "random", "val_timestamp": "2020-01-06", "test_timestamp": "2020-01-09"}
    (folder / "manifest.yaml").write_text(yaml.safe_dump({**manifest, "tables": about}))
    tasks = {
        "label": {
            "kind": "forecast",
            "entity_table": "thing",
            "entity_col": "thing",
            "target_col": "gain",
            "time_col": "day",
            "timedelta": "1 days",
            "sql": "-",
            "remove_columns": [["thing", "secret"]],
        },
        "guess": {
            "kind": "autocomplete",
            "entity_table": "event",
            "target_col": "y",
            "remove_columns": [["event", "twin"]],
        },
    }
    for name, task in tasks.items():
        place = folder / "tasks" / name
        place.mkdir(parents=True)
        whole = {"name": name, "task_type": "regression", **task}
        (place / "manifest.yaml").write_text(yaml.safe_dump(whole))
    for split in ("train", "val", "test"):  # times of the splits overlap: rules must not lean on their order
        label = {
            "day": START + rng.integers(0, N_DAYS, n_label) * DAY,
            "thing": rng.integers(0, n_thing, n_label),
            "gain": rng.normal(size=n_label),
        }
        pq.write_table(pa.table(label), folder / "tasks" / "label" / f"{split}.parquet")
    return folder


CONFIGS = st.builds(
    lambda local, **rest: SamplerConfig(
        **rest,
        local_context_length=min(local, rest["context_length"]) if local and rest["n_walks"] else None,
    ),
    local=st.sampled_from([None, 4, 12]),
    context_length=st.sampled_from([4, 9, 24, 100]),
    bfs_width=st.sampled_from([1, 3, 64]),
    prefer_latest=st.booleans(),
    own_rows_first=st.booleans(),
    visibility=st.sampled_from(["temporal", "strict", "train-only"]),
    n_walks=st.sampled_from([0, 0, 3, 25]),
    walk_length=st.sampled_from([1, 6]),
    mask_prob=st.sampled_from([0.0, 0.5]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), config=CONFIGS)
def test_promises_hold_on_random_databases(tokenize_fake, seed: int, config: SamplerConfig):
    base = Path(tempfile.mkdtemp())
    try:
        store = tokenize_fake([write_random(base / "db", seed)], base / "store", run=map_keys_here)
        _check_store(store, seed, config)
    finally:
        shutil.rmtree(base)


def _check_store(store: TokenStore, seed: int, config: SamplerConfig) -> None:
    database = store.database("random")
    parts = [task_items(database, task.name, s) for task in database.tasks for s in ("train", "val", "test")]
    items = Items(**{f: np.concatenate([getattr(p, f)[:8] for p in parts]) for f in Items.__slots__})
    batch = sample_contexts(store, ["random"], items, config, seed=seed)
    column_of = {column.text_row: column for column in database.columns}
    split_of = np.array(
        [table.kind for table in database.tables for _ in range(table.n_rows)]  # tables lie in order
    )
    oracle, key = Oracle(database), integer(seed, Purpose.CONTEXT)
    time = database.arrays.node_time
    timeless = np.flatnonzero(time == NO_TIME).tolist()
    ancestors = set().union(*(_ancestors(database.arrays.parents, row) for row in timeless))
    for i in range(len(items)):
        target_row, about = int(items.node[i]), database.columns[items.column[i]]
        limit = time[target_row]
        node = batch.node[i][batch.node[i] >= 0]
        names = [column_of[row] for row in batch.column[i, : len(node)].tolist()]
        assert len(node) <= config.context_length
        cells = [(row, c.table, c.name) for row, c in zip(node.tolist(), names, strict=True)]
        assert len(set(cells)) == len(cells)
        place = int(batch.target[i])
        assert cells[place] == (target_row, about.table, about.name)
        assert batch.masked[i, place]
        if limit == NO_TIME:  # of rows with a time only ancestors of rows without one
            assert set(node[time[node] != NO_TIME].tolist()) <= ancestors
        else:
            assert time[node].max() <= limit
        for row, table, name in cells:
            at_instant = row == target_row or time[row] == limit != NO_TIME
            if about.name == "gain":
                entity = database.arrays.parents[target_row, 0]
                assert not (name == "secret" and (row == entity or at_instant))
                if table == "label" and row != target_row:
                    assert time[row] < limit
                    of_test = split_of[target_row] == "test"
                    seen = {
                        "temporal": ("train", "val", "test"),
                        "strict": ("train", "val") if of_test else ("train",),
                        "train-only": ("train",),
                    }
                    assert split_of[row] in seen[config.visibility]
            else:
                assert table != "label"
                assert not (name == "twin" and at_instant)
                if name == "y" and config.visibility != "temporal" and row != target_row:
                    of_test = config.visibility == "strict" and limit > database.test_timestamp
                    last = database.test_timestamp if of_test else database.val_timestamp
                    assert time[row] <= last
        rng = Splitmix(Splitmix(key).next() ^ i)
        expected = oracle.context(target_row, int(items.column[i]), config, rng)
        assert [(row, database.columns[c].table, database.columns[c].name) for row, c, _ in expected] == cells
    _check_batching(store, items, config, seed, batch)


def _ancestors(parents: np.ndarray, row: int) -> set[int]:
    found, todo = {row}, [row]
    while todo:
        new = [p for p in parents[todo.pop()].tolist() if p >= 0 and p not in found]
        found |= set(new)
        todo += new
    return found


def _check_batching(
    store: TokenStore, items: Items, config: SamplerConfig, seed: int, whole: ContextBatch
) -> None:
    cut = len(items) // 3
    parts = [
        sample_contexts(store, ["random"], items.slice(a, b), config, seed=seed, first_index=a)
        for a, b in ((0, cut), (cut, len(items)))
    ]
    for name in ContextBatch.__slots__:
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(getattr(whole, name), joined)


def test_a_step_draws_its_length_from_the_seed_and_its_number():
    config = SamplerConfig(context_length=64, context_lengths=(16, 32, 64))
    lengths = [context_length_of(step, config, seed=3) for step in range(600)]
    assert lengths == [context_length_of(step, config, seed=3) for step in range(600)]
    counts = np.array([lengths.count(length) for length in (16, 32, 64)])
    assert abs(counts - 200).max() < 5 * (600 * 2 / 9) ** 0.5
    assert lengths != [context_length_of(step, config, seed=4) for step in range(600)]
    assert context_length_of(7, SamplerConfig(context_length=48), seed=0) == 48


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"context_length": 64, "context_lengths": [24]}, "context_lengths holds 24, which does not divide"),
        ({"local_context_length": 16}, "local_context_length is 16, but without further seeds"),
        ({"context_length": 8, "local_context_length": 9, "n_walks": 1}, "9 is more than context_length 8"),
        ({"visibility": "all"}, "'temporal', 'strict' or 'train-only'"),
    ],
)
def test_settings_that_contradict_are_refused(values: dict, message: str):
    from relscale.platform.config import parse_config

    with pytest.raises(ConfigError, match=message):
        parse_config(SamplerConfig, values, source="the test")
