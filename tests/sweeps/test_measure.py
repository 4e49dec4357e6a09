from dataclasses import replace

import pytest

from relscale.platform.dataflow import map_keys_here
from relscale.platform.errors import ConfigError
from relscale.sweeps.databases import make_databases
from relscale.sweeps.measure import measure_pace, measure_parts, sample_databases, with_store


def test_the_first_databases_are_the_corpus_and_are_counted_as_the_store_counts(tiny, tmp_path):
    from relscale.model.items import training_items
    from relscale.model.store import TokenStore

    config = tiny(grid={"n_databases": [1, 2], "tokens": [256]})
    sample, folders = sample_databases(config, tmp_path / "sample", seconds=0)
    corpus = make_databases(config, tmp_path / "study", map_keys_here, held_out=False)
    assert tuple(folder.name for folder in folders) == corpus.names
    store = TokenStore.open(corpus.path)
    assert sample.cells == tuple(store.database(name).n_cells for name in corpus.names)
    assert sum(sample.items) == training_items(store, corpus.names, 0).n_cells
    assert sample.row_width == store.trainable["row_width"].max()
    assert 0 < sample.generate_seconds < 5

    other = replace(sample, cells=(1,), items=(1,))
    assert with_store(other, corpus.path) == sample


def test_the_pace_is_that_of_the_study_s_own_model(tiny, tmp_path):
    config = tiny()
    _, folders = sample_databases(config, tmp_path, seconds=0)
    pace = measure_pace(config, folders, tmp_path, seconds=0.3)
    assert pace.training > 100
    assert pace.scoring > 100
    assert pace.source == "measured on this machine's CPU"


def test_variants_with_one_corpus_make_it_once(tiny, tmp_path):
    config = tiny(grid={"n_databases": [1], "tokens": [256], "axes": {"model.n_blocks": [1, 2]}})
    shallow, deep = measure_parts(config, tmp_path, seconds=0, tokens_per_second=1000)
    assert shallow.sample is deep.sample
    assert (shallow.name, deep.name) == ("n_blocks=1", "n_blocks=2")
    assert deep.config.model.n_blocks == 2
    assert (deep.pace.training, deep.pace.scoring) == (1000, 3000)


def test_settings_that_give_no_database_are_named(tiny, tmp_path, monkeypatch):
    from relscale.generation import making

    monkeypatch.setattr(making, "admit", lambda database: "a table is empty")
    with pytest.raises(ConfigError, match=r"none of the first 40 seeds .* 'a table is empty'"):
        sample_databases(tiny(), tmp_path, seconds=0)
