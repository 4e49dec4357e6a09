"""Predictions per item and the held-out loss."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from relscale.model.checkpoint import save_model
from relscale.model.config import ModelConfig, SamplerConfig
from relscale.model.context import SemType
from relscale.model.items import evaluation_items, task_items
from relscale.model.network import RelationalTransformer
from relscale.model.objective import cell_losses
from relscale.model.predict import at_each_length, predict_items, predict_task
from relscale.model.sampler import sample_contexts
from relscale.platform.errors import ConfigError, DataError, ResourceError

ONE = SamplerConfig(context_length=48, bfs_width=8)
MANY = ONE.replace(mask_prob=0.5)


@pytest.fixture(scope="module")
def network() -> RelationalTransformer:
    return RelationalTransformer(ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=32))


@pytest.fixture(scope="module")
def items(toy_store):
    return evaluation_items(toy_store, toy_store.names, columns_per_type=2, rows_per_column=7, seed=0)


def test_one_prediction_per_item_in_their_order(network, toy_store, items):
    cells = predict_items(network, toy_store, toy_store.names, items, ONE, seed=0, batch_size=5)
    assert cells.item.tolist() == list(range(len(items)))
    assert cells.is_target.all()
    for i in (0, 17, len(items) - 1):
        contexts = sample_contexts(
            toy_store, toy_store.names, items.slice(i, i + 1), ONE, seed=0, first_index=i
        )
        batch = network.tensors(contexts, toy_store.embeddings)
        with torch.inference_mode():
            prediction = network(batch)
        loss = cell_losses(prediction, batch.label, batch.label_type)
        assert cells.prediction[i] == pytest.approx(prediction.item(), abs=1e-5)
        assert cells.loss[i] == pytest.approx(loss.item(), abs=1e-5)
        assert cells.label[i] == batch.label.item()
        database = toy_store.database(toy_store.names[items.database[i]])
        assert cells.column[i] == database.columns[items.column[i]].text_row
        assert cells.sem_type[i] == database.columns[items.column[i]].sem_type


def test_batch_size_and_repetition_change_nothing(network, toy_store, items):
    runs = [
        predict_items(network, toy_store, toy_store.names, items, MANY, seed=0, batch_size=n)
        for n in (4, 32, 32)
    ]
    for field in dataclasses.fields(runs[0]):
        small, large, again = (getattr(run, field.name) for run in runs)
        np.testing.assert_array_equal(large, again)
        np.testing.assert_allclose(small, large, rtol=0, atol=1e-5)


def test_extra_hidden_cells_come_beside_the_targets(network, toy_store, items):
    cells = predict_items(network, toy_store, toy_store.names, items, MANY, seed=0)
    assert len(cells.loss) > 2 * len(items)
    targets = cells.targets()
    assert targets.item.tolist() == list(range(len(items)))
    assert len(targets.loss) == len(targets.column) == len(items)


@pytest.mark.parametrize(("task", "split"), [("churn", "train"), ("spend", "test"), ("status", "train")])
def test_a_task_gets_one_prediction_per_row_of_its_file(network, handmade, handmade_store, task, split):
    seeds = (3, 5)
    found = predict_task(network, handmade_store, task, split=split, sampler=MANY, context_seeds=seeds)
    shop = handmade_store.database("shop")
    items = task_items(shop, task, split)
    column = shop.columns[items.column[0]]
    np.testing.assert_array_equal(found.node, items.node)
    for place, seed in enumerate(seeds):
        cells = predict_items(network, handmade_store, ["shop"], items, ONE, seed=seed)
        np.testing.assert_allclose(found.score[:, place], cells.prediction, atol=1e-6)
    mean = found.score.mean(axis=1)
    if column.sem_type == SemType.BOOLEAN:
        np.testing.assert_allclose(found.prediction, 1 / (1 + np.exp(-mean)))
    else:
        np.testing.assert_allclose(found.prediction, mean * column.std + column.mean)
    if task == "status":
        orders = pq.read_table(handmade / "db" / "orders.parquet")["status"].to_numpy()
        labels = (orders == 7)[found.node - shop.table("orders").offset]
    else:
        labels = pq.read_table(handmade / "tasks" / task / f"{split}.parquet").columns[-1].to_numpy()
    np.testing.assert_allclose(found.label, labels, atol=1e-5)


def test_predictions_are_averaged_over_the_lengths_of_contexts(network, handmade_store):
    lengths = (4, 8, 16)
    both = ONE.replace(context_length=16, context_lengths=lengths)
    found = predict_task(network, handmade_store, "churn", sampler=both, context_seeds=(0, 1))
    each = [
        predict_task(
            network, handmade_store, "churn", sampler=ONE.replace(context_length=length), context_seeds=(0, 1)
        )
        for length in lengths
    ]
    np.testing.assert_allclose(found.score, np.mean([one.score for one in each], axis=0), atol=1e-6)
    assert np.ptp([one.score for one in each], axis=0).max() > 1e-3, "the lengths differ"
    walking = both.replace(n_walks=4, local_context_length=12)
    assert [one.local_context_length for one in at_each_length(walking)] == [4, 8, 12]


def test_a_checkpoint_brings_its_sampler_and_its_encoder(network, handmade_store, tmp_path):
    about = {
        "model": network.config.model_dump(),
        "sampler": MANY.model_dump(),
        "text_encoder": handmade_store.text_encoder,
    }
    save_model(tmp_path / "c", network, about)
    expected = predict_task(network, handmade_store, "churn", sampler=ONE)
    for device in (None, "cpu"):
        found = predict_task(tmp_path / "c", handmade_store, "churn", device=device, batch_size=2)
        np.testing.assert_allclose(found.prediction, expected.prediction, atol=1e-5)
    other = {"name": "other", "fingerprint": "f"}
    save_model(tmp_path / "d", network, {**about, "text_encoder": other})
    with pytest.raises(DataError, match=r"but checkpoint .*/d' has 'other'"):
        predict_task(tmp_path / "d", handmade_store, "churn")
    with pytest.raises(ResourceError, match="device 'abacus' cannot be used"):
        predict_task(network, handmade_store, "churn", device="abacus")


def test_tasks_that_cannot_be_predicted_are_refused(
    network, handmade_store, make_shop, tokenize_fake, tmp_path
):
    with pytest.raises(ConfigError, match="context_length is 2, but a row of table 'orders'"):
        predict_task(network, handmade_store, "status", sampler=ONE.replace(context_length=2))
    folder = make_shop(tmp_path / "shop")
    for split in ("val", "test"):
        path = folder / "tasks" / "spend" / f"{split}.parquet"
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    store = tokenize_fake([folder], tmp_path / "s")
    with pytest.raises(DataError, match="split 'test' of task 'spend' of database 'shop' has no rows"):
        predict_task(network, store, "spend")
