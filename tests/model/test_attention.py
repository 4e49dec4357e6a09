"""Masks against a plain loop; every backend against a plain softmax over the allowed keys."""

import numpy as np
import pytest
import torch

from relscale.model.attention import (
    RELATIONS,
    allowed_pairs,
    block_patterns,
    mask_patterns,
    relational_attention,
)
from relscale.model.groups import CellGraph
from relscale.model.relations import choose_backend

N_HEADS, WIDTH = 3, 16


def ids(contexts) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(a) for a in (contexts.node, contexts.parents, contexts.column))


def plain_pairs(contexts, relation: str) -> np.ndarray:
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


def plain_attention(q, k, v, allowed) -> torch.Tensor:
    """[B S, d] each, row by row."""
    out = torch.zeros_like(q)
    n_contexts, _, length, _ = allowed.shape
    q, k, v = (x.view(n_contexts, length, N_HEADS, -1) for x in (q, k, v))
    seen = out.view(q.shape)
    for b, h, i in np.ndindex(n_contexts, N_HEADS, length):
        keys = allowed[b, 0, i]
        if keys.any():
            weight = torch.softmax(k[b, keys, h] @ q[b, i, h] / q.shape[-1] ** 0.5, dim=0)
            seen[b, i, h] = weight @ v[b, keys, h]
    return out


def test_masks_equal_the_plain_loop(random_contexts):
    contexts = random_contexts(n_contexts=4)
    pairs = allowed_pairs(*ids(contexts))
    assert tuple(pairs) == RELATIONS
    for relation, allowed in pairs.items():
        expected = plain_pairs(contexts, relation)
        assert 0 < expected.sum() < expected.size
        np.testing.assert_array_equal(allowed.numpy(), expected)


@pytest.fixture
def inputs(random_contexts):
    """Contexts with queries, keys and values [B S, d] that differ from token to token."""
    contexts = random_contexts(n_contexts=3, context_length=40)
    generator = torch.Generator().manual_seed(0)
    return contexts, [torch.randn(3 * 40, N_HEADS * WIDTH, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("backend", ["dense", "flex"])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_padded_backends_equal_a_plain_softmax(inputs, backend):
    contexts, (q, k, v) = inputs
    patterns = (mask_patterns if backend == "dense" else block_patterns)(*ids(contexts))
    for relation, pattern in patterns.items():
        allowed = plain_pairs(contexts, relation)
        assert not allowed.any(axis=-1).all()
        with torch.no_grad():
            out = relational_attention(q, k, v, pattern, N_HEADS)
        torch.testing.assert_close(out, plain_attention(q, k, v, allowed), rtol=1e-5, atol=1e-6)


def test_groups_equal_a_plain_softmax_and_its_gradients(inputs):
    contexts, tensors = inputs
    present = torch.from_numpy(contexts.node.reshape(-1) >= 0)
    weight = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1))
    for relation, groups in CellGraph(contexts).full().items():
        whole = [tensor.clone().double().requires_grad_() for tensor in tensors]
        expected = plain_attention(*whole, plain_pairs(contexts, relation))
        (expected * weight).sum().backward()
        packed = [tensor[present].requires_grad_() for tensor in tensors]
        out = relational_attention(*packed, groups, N_HEADS)
        torch.testing.assert_close(out, expected[present].float(), rtol=1e-5, atol=1e-6)
        (out * weight[present]).sum().backward()
        for a, b in zip(packed, whole, strict=True):
            torch.testing.assert_close(a.grad, b.grad[present].float(), rtol=1e-4, atol=1e-5)


def test_a_query_without_keys_has_a_finite_gradient(random_contexts):
    mask = mask_patterns(*ids(random_contexts()))["nbr"]
    assert (mask.has_key == 0).any()
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(3 * 24, 32, generator=generator, requires_grad=True) for _ in range(3))
    relational_attention(q, k, v, mask, 2).square().sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in (q, k, v))
    assert (q.grad[mask.has_key.view(-1) == 0] == 0).all()


def test_the_backend_follows_device_and_width():
    assert choose_backend("cpu", 16) == "groups"
    assert choose_backend("cpu", 8) == "dense"
    assert choose_backend("cuda", 32) == "flex"
    assert choose_backend("cuda", 8) == "dense"
    assert choose_backend("mps", 32) == "dense"
