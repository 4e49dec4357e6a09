"""Simple predictors: what a context shows of a hidden cell's column, against plain loops."""

import numpy as np
import pytest

from relscale.model.config import SamplerConfig
from relscale.model.context import SemType
from relscale.model.items import evaluation_items
from relscale.model.levels import losses_of_means, simple_levels, visible_cells
from relscale.model.sampler import sample_contexts

SAMPLER = SamplerConfig(
    context_length=64, bfs_width=4, mask_prob=0.4, n_walks=16, walk_length=6, local_context_length=16
)
"""Further rows around the target's, so that not all rows of its table are its siblings."""


@pytest.fixture(scope="module")
def items(toy_store):
    return evaluation_items(toy_store, toy_store.names, columns_per_type=2, rows_per_column=7, seed=0)


@pytest.fixture(scope="module")
def contexts(toy_store, items):
    return sample_contexts(toy_store, toy_store.names, items, SAMPLER, seed=0)


def test_visible_cells_are_those_of_the_column_and_of_siblings(contexts):
    found = visible_cells(contexts)
    hidden = np.argwhere(contexts.masked)
    assert len(found.n) == len(hidden)
    for k, (b, i) in enumerate(hidden):
        own = {int(p) for p in contexts.parents[b, i] if p >= 0}
        column, siblings = [], []
        for j in range(contexts.node.shape[1]):
            if contexts.node[b, j] < 0 or contexts.masked[b, j]:
                continue
            if contexts.column[b, j] == contexts.column[b, i]:
                column.append(contexts.value[b, j])
                if own & {int(p) for p in contexts.parents[b, j]}:
                    siblings.append(contexts.value[b, j])
        assert (found.n[k], found.n_siblings[k]) == (len(column), len(siblings))
        assert found.total[k] == pytest.approx(np.sum(column), abs=1e-4)
        assert found.total_siblings[k] == pytest.approx(np.sum(siblings), abs=1e-4)
    assert (found.n_siblings > 0).any()
    assert (found.n > found.n_siblings).any()


def test_without_siblings_the_entity_mean_is_the_column_mean(toy_store, items):
    levels = simple_levels(toy_store, toy_store.names, items, SAMPLER, seed=0)
    alone = levels.visible.n_siblings == 0
    np.testing.assert_allclose(levels.entity_mean[alone], levels.column_mean[alone])
    assert not np.allclose(levels.entity_mean[~alone], levels.column_mean[~alone])


def test_a_mean_of_booleans_stands_for_a_probability():
    """Three of four siblings are true: p = 0.75, whatever the column's base rate."""
    rate = np.array([0.2, 0.9])
    z = (np.array([0.75, 0.75]) - rate) / np.sqrt(rate * (1 - rate))
    kind = np.full(2, SemType.BOOLEAN)
    found = losses_of_means(z, rate, np.array([1.0, -1.0]), kind)
    np.testing.assert_allclose(found, [-np.log(0.75), -np.log(0.25)], rtol=1e-6)


def test_few_booleans_are_not_taken_for_certainty():
    rate, z = np.array([0.5]), np.array([1.0])  # all siblings are true
    found = losses_of_means(z, rate, np.array([-1.0]), np.array([SemType.BOOLEAN]))
    np.testing.assert_allclose(found, [-np.log(0.01)], rtol=1e-6)


def test_a_rare_base_rate_is_used_as_it_is():
    found = losses_of_means(np.zeros(1), np.array([0.001]), np.array([-0.03]), np.array([SemType.BOOLEAN]))
    np.testing.assert_allclose(found, [-np.log(0.999)], rtol=1e-4)
