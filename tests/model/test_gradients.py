"""Gradients by micro-batches and threads against one backward pass over the whole batch."""

import numpy as np
import pytest
import torch

from relscale.model.config import ModelConfig
from relscale.model.context import ContextBatch
from relscale.model.gradients import Gradients
from relscale.model.network import RelationalTransformer
from relscale.model.objective import objective

SIZES = ModelConfig(n_blocks=2, d_model=32, n_heads=2, d_ff=64)


def parts(contexts: ContextBatch, size: int) -> list[ContextBatch]:
    fields = {name: getattr(contexts, name) for name in contexts.__dataclass_fields__}
    return [
        ContextBatch(**{name: array[at : at + size] for name, array in fields.items()})
        for at in range(0, contexts.n_contexts, size)
    ]


@pytest.fixture
def contexts(random_contexts) -> ContextBatch:
    return random_contexts(n_contexts=7, context_length=40, mask_prob=0.3)


def gradients(contexts, embeddings, *, size: int, n_threads: int, bf16: bool = False):
    network = RelationalTransformer(SIZES)
    batches = [network.tensors(part, embeddings) for part in parts(contexts, size)]
    loss = Gradients(network, n_threads=n_threads, bf16=bf16).of(batches, contexts.n_contexts)
    return loss, {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("size", [1, 3, 7])
def test_micro_batches_give_the_gradient_of_the_batch(contexts, random_embeddings, size):
    network = RelationalTransformer(SIZES)
    batch = network.tensors(contexts, random_embeddings)
    expected = objective(network(batch), batch)
    expected.backward()
    loss, found = gradients(contexts, random_embeddings, size=size, n_threads=2)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert found.keys() == {name for name, p in network.named_parameters() if p.grad is not None}
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, network.get_parameter(name).grad, rtol=1e-4, atol=1e-6)


def test_the_number_of_threads_changes_no_bit(contexts, random_embeddings):
    one, two, four = (gradients(contexts, random_embeddings, size=2, n_threads=n) for n in (1, 2, 4))
    for loss, found in (two, four):
        assert loss == one[0]
        assert all(torch.equal(found[name], gradient) for name, gradient in one[1].items())


def test_bfloat16_products_are_near(contexts, random_embeddings):
    loss, exact = gradients(contexts, random_embeddings, size=7, n_threads=1)
    rough_loss, rough = gradients(contexts, random_embeddings, size=7, n_threads=1, bf16=True)
    assert rough_loss == pytest.approx(loss, rel=0.05) and rough_loss != loss
    whole = [torch.cat([g[name].float().flatten() for name in exact]).numpy() for g in (exact, rough)]
    assert np.corrcoef(*whole)[0, 1] > 0.99
    assert all(gradient.dtype == torch.float32 for gradient in rough.values())
