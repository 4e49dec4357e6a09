"""Masks against a plain loop; queries without keys."""

import numpy as np
import torch

from relscale.model.attention import RELATIONS, allowed_pairs, relation_masks, relational_attention
from relscale.model.encode import to_tensors


def _plain(contexts, relation: str) -> np.ndarray:
    n_contexts, length = contexts.node.shape
    allowed = np.zeros((n_contexts, 1, length, length), bool)
    for b in range(n_contexts):
        node, parents, column = contexts.node[b], contexts.parents[b], contexts.column[b]
        for q in range(length):
            for k in range(length):
                rule = {
                    "col": column[q] == column[k],
                    "feat": node[q] == node[k] or node[k] in parents[q],
                    "nbr": node[q] in parents[k],
                }
                allowed[b, 0, q, k] = node[q] >= 0 and node[k] >= 0 and rule[relation]
    return allowed


def test_masks_equal_the_plain_loop(random_contexts, random_embeddings):
    contexts = random_contexts(n_contexts=4)
    batch = to_tensors(contexts, random_embeddings)
    pairs = allowed_pairs(batch.node, batch.parents, batch.column)
    assert tuple(pairs) == RELATIONS
    for relation, allowed in pairs.items():
        expected = _plain(contexts, relation)
        assert 0 < expected.sum() < expected.size
        np.testing.assert_array_equal(allowed.numpy(), expected)


def test_attention_equals_a_plain_softmax_over_allowed_keys(random_contexts, random_embeddings):
    batch = to_tensors(random_contexts(n_contexts=2), random_embeddings)
    n_contexts, length = batch.node.shape
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(n_contexts, 3, length, 8, generator=generator) for _ in range(3))
    pairs = allowed_pairs(batch.node, batch.parents, batch.column)
    for relation, mask in relation_masks(batch.node, batch.parents, batch.column).items():
        out = relational_attention(q, k, v, mask)
        n_empty = 0
        for b, h, i in np.ndindex(n_contexts, 3, length):
            keys = pairs[relation][b, 0, i]
            if not keys.any():
                n_empty += 1
                assert (out[b, h, i] == 0).all()
                continue
            weight = torch.softmax(k[b, h, keys] @ q[b, h, i] / 8**0.5, dim=0)
            torch.testing.assert_close(out[b, h, i], weight @ v[b, h, keys], rtol=1e-5, atol=1e-6)
        assert n_empty > 0


def test_a_query_without_keys_has_a_finite_gradient(random_contexts, random_embeddings):
    batch = to_tensors(random_contexts(), random_embeddings)
    mask = relation_masks(batch.node, batch.parents, batch.column)["nbr"]
    assert (mask.has_key == 0).any()
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(3, 2, batch.node.shape[1], 4, generator=generator, requires_grad=True) for _ in range(3)
    ]
    relational_attention(*inputs, mask).square().sum().backward()
    for tensor in inputs:
        assert torch.isfinite(tensor.grad).all()
    empty = (mask.has_key == 0).expand(-1, 2, -1, 4)
    assert (inputs[0].grad[empty] == 0).all()


def test_mask_of_some_queries_is_those_rows(random_contexts, random_embeddings):
    batch = to_tensors(random_contexts(mask_prob=0.5), random_embeddings)
    whole = relation_masks(batch.node, batch.parents, batch.column)["nbr"]
    some = whole.at(batch.asked)
    for b, i in np.ndindex(*batch.asked.shape):
        torch.testing.assert_close(some.bias[b, 0, i], whole.bias[b, 0, batch.asked[b, i]])
        torch.testing.assert_close(some.has_key[b, 0, i], whole.has_key[b, 0, batch.asked[b, i]])
