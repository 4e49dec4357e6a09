"""Steps of several context lengths: tokens and items, alone and among workers."""

import numpy as np
import pytest

from relscale.model.config import ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.feed import Feed
from relscale.model.items import training_items
from relscale.model.network import RelationalTransformer
from relscale.model.workers import Workers

STEPS = range(12)
SAMPLER = SamplerConfig(context_length=48, context_lengths=(12, 24, 48), n_walks=5, local_context_length=20)


@pytest.fixture
def make_feed(toy_store):
    network = RelationalTransformer(ModelConfig(n_blocks=1, d_model=16, n_heads=1, d_ff=16))
    items = training_items(toy_store, toy_store.names, 0)

    def make(sampler: SamplerConfig, workers: Workers) -> Feed:
        return Feed(items, network, sampler, TrainingConfig(batch_size=4), workers, seed=3)

    return make


def test_every_step_has_one_length_and_the_same_tokens(make_feed):
    feed = make_feed(SAMPLER, Workers())
    shapes = []
    for step in STEPS:
        contexts = feed.contexts(feed.item_numbers(step), feed.sampler(step))
        shapes.append(contexts.node.shape)
    assert {n * length for n, length in shapes} == {4 * 48}
    assert {length for _, length in shapes} == {12, 24, 48}


def test_no_item_is_in_two_steps(make_feed):
    feed = make_feed(SAMPLER, Workers())
    numbers = [number for step in STEPS for number in feed.item_numbers(step)]
    assert len(set(numbers)) == len(numbers)


def test_workers_share_every_step_in_order(make_feed):
    alone, first, second = (
        make_feed(SAMPLER, Workers(rank=rank, size=size)) for rank, size in ((0, 1), (0, 2), (1, 2))
    )
    for step in STEPS:
        parts = [list(feed.item_numbers(step)) for feed in (first, second)]
        assert parts[0] + parts[1] == list(alone.item_numbers(step))
        assert len(parts[0]) == len(parts[1])


def test_shares_are_those_of_the_steps_in_micro_batches(make_feed):
    feed = make_feed(SamplerConfig(context_length=1024), Workers())
    for step, share in enumerate(feed.shares(range(3))):
        assert [batch.n_contexts for batch in share.micro_batches] == [2, 2]
        contexts = feed.contexts(feed.item_numbers(step), feed.sampler(step))
        found = np.concatenate([batch.label.numpy() for batch in share.micro_batches])
        np.testing.assert_array_equal(found, contexts.value[contexts.masked])
        np.testing.assert_array_equal(share.n_cells, (contexts.node >= 0).sum(axis=1))
        assert share.seconds_waited >= 0
