"""What a run has seen: exact counts, expected numbers of different cells."""

import numpy as np
import pytest

from relscale.model.config import ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.feed import Feed
from relscale.model.items import training_items
from relscale.model.network import RelationalTransformer
from relscale.model.seen import Seen, expected_unique
from relscale.model.workers import Workers


def test_the_formula_is_the_mean_of_drawing_with_replacement():
    rng = np.random.default_rng(0)
    for n, k in ((1, 3), (5, 4), (40, 100), (1000, 500)):
        found = [len(set(rng.integers(n, size=k))) for _ in range(400)]
        expected = float(expected_unique(np.array([n]), np.array([k]))[0])
        assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / 20 + 1e-9)
    assert expected_unique(np.array([0, 10, 10**12]), np.array([0, 0, 1000])) == pytest.approx([0, 0, 1000])


def test_counts_are_those_of_the_items_and_contexts(toy_store):
    training, sampler = TrainingConfig(batch_size=6), SamplerConfig(context_length=32, bfs_width=4)
    network = RelationalTransformer(ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=32))
    items = training_items(toy_store, toy_store.names, seed=1)
    feed = Feed(items, network, sampler, training, Workers(), seed=1)
    seen = Seen(items)
    for share in feed.shares(range(5)):
        seen.add(share.database, share.n_cells)
    drawn = np.bincount(items.locate(0, 30).database, minlength=3)
    contexts = feed.contexts(range(30), sampler)
    assert seen.counts[0].tolist() == drawn.tolist()
    assert seen.n_shown == contexts.n_cells
    assert seen.n_items.sum() == items.n_cells
    summary, table = seen.summary(), seen.table()
    assert [entry["database"] for entry in table] == list(toy_store.names)
    assert [entry["cells"] for entry in table] == [toy_store.database(n).n_cells for n in toy_store.names]
    epochs = sorted(entry["cells_shown"] / entry["cells"] for entry in table)
    assert [summary[f"epochs_{name}"] for name in ("min", "median", "max")] == pytest.approx(epochs)
    assert summary["cells"] == contexts.n_cells
    assert 0 < summary["unique_items"] <= 30
    assert Seen(items, seen.counts.tolist()).summary() == summary
