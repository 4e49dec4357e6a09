"""Groups against the masks; pruning against the definition of what the masked cells depend on."""

import itertools

import numpy as np
import pytest
import torch

from relscale.model.attention import RELATIONS, allowed_pairs
from relscale.model.groups import CellGraph, Groups


def pairs_of(groups: Groups, n_queries: int, n_keys: int) -> np.ndarray:
    """bool [queries, keys], and no query stands twice."""
    allowed = np.zeros((n_queries, n_keys), bool)
    assert len(np.unique(groups.query)) == len(groups.query)
    for g in range(len(groups.query_ptr) - 1):
        query = groups.query[groups.query_ptr[g] : groups.query_ptr[g + 1]]
        key = groups.key[groups.key_ptr[g] : groups.key_ptr[g + 1]]
        assert len(key) and len(np.unique(key)) == len(key)
        allowed[np.ix_(query, key)] = True
    return allowed


def expected_pairs(contexts) -> dict[str, np.ndarray]:
    """bool [T, T] per relation over the cells of all contexts."""
    tensors = (torch.from_numpy(a) for a in (contexts.node, contexts.parents, contexts.column))
    present = contexts.node >= 0
    starts = np.cumsum([0, *present.sum(axis=1)])
    result = {}
    for relation, pairs in allowed_pairs(*tensors).items():
        whole = np.zeros((starts[-1], starts[-1]), bool)
        for b, (start, end) in enumerate(itertools.pairwise(starts)):
            whole[start:end, start:end] = pairs[b, 0][present[b]][:, present[b]]
        result[relation] = whole
    return result


@pytest.mark.parametrize("seed", range(5))
def test_groups_hold_exactly_the_allowed_pairs(random_contexts, seed):
    contexts = random_contexts(n_contexts=3, context_length=40, seed=seed)
    graph = CellGraph(contexts)
    expected = expected_pairs(contexts)
    for relation, groups in graph.full().items():
        np.testing.assert_array_equal(
            pairs_of(groups, graph.n_cells, graph.n_cells), expected[relation], err_msg=relation
        )
        assert groups.most_keys == expected[relation].sum(axis=1).max()


def test_a_row_that_is_its_own_parent(random_contexts):
    contexts = random_contexts(n_contexts=1)
    contexts.parents[0, contexts.node[0] == 0, :2] = 0
    graph = CellGraph(contexts)
    for relation, groups in graph.full().items():
        allowed = pairs_of(groups, graph.n_cells, graph.n_cells)
        np.testing.assert_array_equal(allowed, expected_pairs(contexts)[relation], err_msg=relation)


@pytest.mark.parametrize("mask_prob", [0.0, 0.4])
def test_pruned_relations_keep_what_the_asked_cells_depend_on(random_contexts, mask_prob):
    contexts = random_contexts(n_contexts=3, context_length=40, mask_prob=mask_prob)
    asked = contexts.masked[contexts.node >= 0].nonzero()[0]
    expected, last = expected_pairs(contexts), CellGraph(contexts).pruned(asked)
    before, after = last.enter, last.enter
    for relation in RELATIONS:
        groups, keep = getattr(last, relation), getattr(last, f"keep_{relation}")
        after = before[keep]
        needed = expected[relation][after]
        # Nothing that they look at is missing, and the pairs are all there.
        assert not needed[:, np.setdiff1d(np.arange(needed.shape[1]), before)].any()
        np.testing.assert_array_equal(pairs_of(groups, len(after), len(before)), needed[:, before])
        before = after
    np.testing.assert_array_equal(after, asked)
    if not mask_prob:
        assert len(last.keep_col) < len(last.enter) < (contexts.node >= 0).sum()
