"""Training on real databases: nothing later than the val timestamp, mixed as stated."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from relscale.model.checkpoint import load_model
from relscale.model.config import ModelConfig, SamplerConfig, TargetsConfig, TrainingConfig
from relscale.model.job import PretrainJob
from relscale.model.known_items import known_items, task_training_items
from relscale.model.pretrain import pretrain
from relscale.model.sampler import sample_contexts
from relscale.model.store import NO_TIME, TokenStore
from relscale.model.tokenize import tokenize_folders
from relscale.platform.dataflow import map_keys_here
from relscale.platform.errors import ConfigError, DataError

SHARES = TargetsConfig(forecast=0.5, autocomplete=0.3, columns=0.2)
SAMPLER = SamplerConfig(context_length=48, bfs_width=8, mask_prob=0.4)
N_DRAWN = 2000


def _kinds(store: TokenStore, name: str, columns: np.ndarray) -> np.ndarray:
    database = store.database(name)
    return np.array(
        [
            "forecast"
            if (about := database.columns[column]).is_task
            else "autocomplete"
            if (about.table, about.name) == ("orders", "status")
            else "columns"
            for column in columns
        ]
    )


def test_kinds_are_drawn_by_their_shares(handmade_store: TokenStore):
    items = known_items(handmade_store, ["shop"], SHARES, seed=1).locate(0, N_DRAWN)
    kinds = _kinds(handmade_store, "shop", items.column)
    for kind in ("forecast", "autocomplete", "columns"):
        wanted = getattr(SHARES, kind)
        assert np.mean(kinds == kind) == pytest.approx(wanted, abs=4 * (wanted / N_DRAWN) ** 0.5)


def test_a_range_is_the_same_in_any_pieces(handmade_store: TokenStore):
    items = known_items(handmade_store, ["shop"], SHARES, seed=1)
    whole, late = items.locate(0, 50), items.locate(30, 20)
    assert np.array_equal(whole.node[30:], late.node) and np.array_equal(whole.column[30:], late.column)


def test_labels_are_those_of_the_train_splits(handmade_store: TokenStore):
    shares = TargetsConfig(forecast=1, autocomplete=0, columns=0)
    items = known_items(handmade_store, ["shop"], shares, seed=0)
    database = handmade_store.database("shop")
    drawn = set(items.locate(0, N_DRAWN).node.tolist())
    train = [database.table(task, "train") for task in ("churn", "spend")]
    assert drawn == {row for table in train for row in range(table.offset, table.offset + table.n_rows)}
    assert items.cells_per_database().tolist() == [7]


def test_no_target_and_no_cell_of_a_context_is_later_than_the_val_timestamp(handmade_store: TokenStore):
    database = handmade_store.database("shop")
    items = known_items(handmade_store, ["shop"], SHARES, seed=0).locate(0, N_DRAWN)
    batch = sample_contexts(handmade_store, ["shop"], items, SAMPLER, seed=0)
    shown = batch.node[batch.node >= 0]
    assert (database.arrays.node_time[shown] <= database.val_timestamp).all()  # NO_TIME is before all
    for task in ("churn", "spend"):
        for split in ("val", "test"):
            table = database.table(task, split)
            assert not ((shown >= table.offset) & (shown < table.offset + table.n_rows)).any()
    # The database does hold later rows, so that the test above can fail.
    assert (database.arrays.node_time > database.val_timestamp).any()


def test_columns_that_give_a_target_away_are_hidden(handmade_store: TokenStore):
    database = handmade_store.database("shop")
    shares = TargetsConfig(forecast=0, autocomplete=1, columns=0)
    items = known_items(handmade_store, ["shop"], shares, seed=0).locate(0, 100)
    batch = sample_contexts(handmade_store, ["shop"], items, SAMPLER, seed=0)
    amount = database.columns[database.column_index("orders", "amount")].text_row
    assert not ((batch.column == amount) & (batch.node == items.node[:, None])).any()
    assert ((batch.column == amount) & (batch.node >= 0)).any()  # of other rows it is shown


def test_rows_without_time_are_left_out_where_they_lead_to_later_rows(
    make_shop, tokenize_fake, tmp_path: Path
):
    folder = make_shop(tmp_path / "shop")
    products = pq.read_table(folder / "db" / "products.parquet")
    late = pa.array([datetime(2020, 1, 17), None, datetime(2020, 1, 9)], pa.timestamp("us"))
    pq.write_table(products.set_column(1, "added", late), folder / "db" / "products.parquet")
    store = tokenize_fake([folder], tmp_path / "store", run=map_keys_here)
    database = store.database("shop")
    items = known_items(store, ["shop"], SHARES, seed=0).locate(0, N_DRAWN)
    times = database.arrays.node_time[items.node]
    assert (times != NO_TIME).all()
    batch = sample_contexts(store, ["shop"], items, SAMPLER, seed=0)
    assert (database.arrays.node_time[batch.node[batch.node >= 0]] <= database.val_timestamp).all()


def test_one_task_gives_its_train_rows(handmade_store: TokenStore):
    items = task_training_items(handmade_store, "shop", "spend", seed=0).locate(0, 100)
    table = handmade_store.database("shop").table("spend", "train")
    assert set(items.node.tolist()) == set(range(table.offset, table.offset + table.n_rows))


def test_shares_must_find_cells(handmade_store: TokenStore):
    with pytest.raises(ValueError, match="all shares are 0"):
        TargetsConfig(forecast=0, autocomplete=0, columns=0)
    with pytest.raises(DataError, match="no cell to train on"):
        known_items(handmade_store, [], SHARES, seed=0)


@pytest.fixture
def job(handmade_store: TokenStore, tmp_path: Path) -> PretrainJob:
    return PretrainJob(
        store=handmade_store.path,
        out=tmp_path / "run",
        model=ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=32),
        sampler=SAMPLER,
        training=TrainingConfig(batch_size=4, checkpoint_every_steps=3),
        tokens=6 * 4 * 48,
        targets=SHARES,
    )


def test_continued_pretraining_starts_from_the_checkpoint(job: PretrainJob, tmp_path: Path):
    first = pretrain(job, report=lambda line: None)
    on = job.replace(out=tmp_path / "on", init=first, seed=1)
    second = pretrain(on, report=lambda line: None)
    about = load_model(second)[1]
    assert about["init"] == str(first) and about["targets"] == SHARES.model_dump()
    # One step at next to no rate leaves the weights where the checkpoint had them.
    still = on.replace(
        out=tmp_path / "still",
        tokens=4 * 48,
        training=job.training.replace(learning_rate=1e-12, weight_decay=0.0),
    )
    before = load_model(first)[0].state_dict()
    after = load_model(pretrain(still, report=lambda line: None))[0].state_dict()
    assert all(torch.allclose(before[name], after[name], atol=1e-8) for name in before)


def test_a_checkpoint_of_another_text_encoder_is_refused(
    job: PretrainJob, fake_encoder, handmade: Path, tmp_path: Path, monkeypatch
):
    first = pretrain(job, report=lambda line: None)

    class Other(fake_encoder):
        def __init__(self, config) -> None:
            self.name, self.fingerprint = "other", "another"

    monkeypatch.setattr("relscale.model.tokenize.TextEncoder", Other)
    from relscale.model.config import TextConfig

    store = tokenize_folders([handmade], tmp_path / "other", TextConfig(), run=map_keys_here)
    with pytest.raises(DataError, match="text encoder 'other'"):
        pretrain(job.replace(store=store.path, out=tmp_path / "on", init=first), report=lambda line: None)


def test_a_row_that_fits_no_context_is_refused(job: PretrainJob):
    with pytest.raises(ConfigError, match="must fit"):
        pretrain(job.replace(sampler=SamplerConfig(context_length=2), tokens=8), report=lambda line: None)


def test_the_real_database_is_trained_on_up_to_its_val_timestamp_alone(rel_f1_store: TokenStore):
    database = rel_f1_store.database("rel-f1")
    items = known_items(rel_f1_store, ["rel-f1"], TargetsConfig(), seed=0)
    labels = {
        database.columns[pool.column].table: len(pool.nodes)
        for pool in items.pools
        if pool.kind == "forecast"
    }
    assert labels == {"driver-dnf": 11_411, "driver-position": 7_453, "driver-top3": 1_353}
    drawn = items.locate(0, 3000)
    batch = sample_contexts(rel_f1_store, ["rel-f1"], drawn, SamplerConfig(context_length=256), seed=0)
    shown = batch.node[batch.node >= 0]
    assert (database.arrays.node_time[drawn.node] <= database.val_timestamp).all()
    assert (database.arrays.node_time[shown] <= database.val_timestamp).all()
    assert (database.arrays.node_time[shown] == NO_TIME).any()  # drivers and circuits stay visible
