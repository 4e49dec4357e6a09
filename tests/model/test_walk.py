"""The compiled sampler equals a plain loop over lists that draws the same random numbers."""

from pathlib import Path

import numpy as np
import pytest
from sampler_oracle import Oracle, Splitmix

from relscale.model.config import SamplerConfig
from relscale.model.items import Items, task_items, training_items
from relscale.model.sampler import sample_contexts
from relscale.model.store import TokenStore
from relscale.platform.seeds import Purpose, integer

OPTIONS = {
    "default": {},
    "latest": {"prefer_latest": True},
    "own-first": {"own_rows_first": True},
    "train-only": {"visibility": "train-only"},
    "strict": {"visibility": "strict"},
    "strict-further": {"visibility": "strict", "own_rows_first": True, "n_walks": 15, "walk_length": 5},
    "further": {"n_walks": 20, "walk_length": 6, "local_context_length": 12},
    "further-latest": {"n_walks": 7, "prefer_latest": True},
    "masked": {"mask_prob": 0.7},
    "all": {
        "prefer_latest": True,
        "own_rows_first": True,
        "visibility": "train-only",
        "n_walks": 15,
        "walk_length": 5,
        "mask_prob": 0.4,
    },
    "all-but-latest": {"own_rows_first": True, "visibility": "train-only", "n_walks": 15, "walk_length": 5},
}


def assert_equal(store: TokenStore, name: str, items: Items, config: SamplerConfig) -> None:
    """Same rows, columns, masks, in the same order."""
    database, seed, first_index = store.database(name), 5, 77
    oracle = Oracle(database)
    batch = sample_contexts(store, [name], items, config, seed=seed, first_index=first_index)
    key = integer(seed, Purpose.CONTEXT)
    column_of = {column.text_row: i for i, column in enumerate(database.columns)}
    for i in range(len(items)):
        rng = Splitmix(Splitmix(key).next() ^ (first_index + i))
        expected = oracle.context(int(items.node[i]), int(items.column[i]), config, rng)
        n = int((batch.node[i] >= 0).sum())
        columns = [column_of[row] for row in batch.column[i, :n].tolist()]
        found = zip(batch.node[i, :n].tolist(), columns, batch.masked[i, :n].tolist(), strict=True)
        assert list(found) == expected


def all_items(store: TokenStore, name: str, n_task: int, n_training: int) -> Items:
    """Items of every split of every task, and training items."""
    database = store.database(name)
    parts = [
        task_items(database, task.name, split).slice(0, n_task)
        for task in database.tasks
        for split in ("train", "val", "test")
    ]
    parts.append(training_items(store, [name], seed=0).locate(0, n_training))
    return Items(**{f: np.concatenate([getattr(p, f) for p in parts]) for f in Items.__slots__})


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("length", [12, 20, 40, 128])
@pytest.mark.parametrize("width", [1, 2, 50])
def test_equal_on_every_cell_of_the_hand_made_database(
    handmade_store: TokenStore, length: int, width: int, options: str
):
    items = all_items(handmade_store, "shop", 50, 60)
    config = SamplerConfig(context_length=length, bfs_width=width, **OPTIONS[options])
    assert_equal(handmade_store, "shop", items, config)


@pytest.mark.parametrize("length", [2, 3, 5, 9])
def test_equal_where_a_row_is_wider_than_the_context(handmade_store: TokenStore, length: int):
    config = SamplerConfig(context_length=length, n_walks=3)
    assert_equal(handmade_store, "shop", all_items(handmade_store, "shop", 50, 60), config)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("length", "width"), [(256, 128), (1024, 4)])
def test_equal_on_the_real_database(rel_f1_store: TokenStore, length: int, width: int, options: str):
    items = all_items(rel_f1_store, "rel-f1", 5, 25)
    config = SamplerConfig(context_length=length, bfs_width=width, **OPTIONS[options])
    assert_equal(rel_f1_store, "rel-f1", items, config)


@pytest.fixture(scope="module")
def generated_store(tokenize_fake, tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """Two generated databases with their tasks."""
    from relscale.generation import generate_database
    from relscale.generation.autocomplete import autocomplete_tasks
    from relscale.generation.config import GeneratorConfig
    from relscale.generation.database import TaskTables
    from relscale.generation.writer import write_database
    from relscale.platform.dataflow import map_keys_here

    base = tmp_path_factory.mktemp("generated")
    config = GeneratorConfig(
        num_tables=(4, 4), rows_entity=(30, 60), rows_activity=(80, 150), num_columns=(3, 5)
    )
    folders = []
    for seed in range(2):
        folder: Path = base / f"plurel-{seed}"
        database = generate_database(seed, config)
        tasks = [TaskTables(manifest, {}) for manifest in autocomplete_tasks(database)]
        write_database(database, folder, tasks[:3])
        folders.append(folder)
    return tokenize_fake(folders, base / "store", run=map_keys_here)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("length", "width"), [(40, 3), (256, 16)])
def test_equal_on_generated_databases(generated_store: TokenStore, length: int, width: int, options: str):
    for name in generated_store.names:
        config = SamplerConfig(context_length=length, bfs_width=width, **OPTIONS[options])
        assert_equal(generated_store, name, all_items(generated_store, name, 6, 30), config)
