"""Losses by hand."""

import math

import pytest
import torch

from relscale.model.context import SemType
from relscale.model.encode import to_tensors
from relscale.model.objective import cell_losses, objective


def test_cell_losses_by_hand():
    prediction = torch.tensor([0.5, 4.0, -1.0, 2.0, 2.0])
    label = torch.tensor([0.0, 1.0, 0.0, 0.7, -0.7])
    types = torch.tensor([SemType.NUMBER, SemType.NUMBER, SemType.DATETIME, SemType.BOOLEAN, SemType.BOOLEAN])
    expected = [0.125, 2.5, 0.5, math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))]
    torch.testing.assert_close(cell_losses(prediction, label, types), torch.tensor(expected))


def test_contexts_weigh_the_same_however_many_cells_they_hide(random_contexts, random_embeddings):
    contexts = random_contexts(n_contexts=4, mask_prob=0.5)
    batch = to_tensors(contexts, random_embeddings, backend="dense")
    n_masked = contexts.masked.sum(axis=1).tolist()
    assert len(set(n_masked)) > 1
    prediction = torch.linspace(-2, 2, len(batch.label))
    losses = cell_losses(prediction, batch.label, batch.label_type).split(n_masked)
    expected = sum(part.mean() for part in losses) / 4
    torch.testing.assert_close(objective(prediction, batch), expected)


def test_equal_shares_of_a_batch_average_to_the_batch(random_contexts, random_embeddings):
    whole = random_contexts(n_contexts=4, mask_prob=0.5)
    halves = [
        type(whole)(**{name: getattr(whole, name)[part] for name in whole.__dataclass_fields__})
        for part in (slice(0, 2), slice(2, 4))
    ]
    prediction = torch.linspace(-2, 2, int(whole.masked.sum()))
    parts = prediction.split([int(half.masked.sum()) for half in halves])
    losses = [
        objective(p, to_tensors(h, random_embeddings, backend="dense"))
        for p, h in zip(parts, halves, strict=True)
    ]
    total = objective(prediction, to_tensors(whole, random_embeddings, backend="dense"))
    assert sum(losses).item() / 2 == pytest.approx(total.item(), rel=1e-6)


def test_a_certain_wrong_boolean_has_a_finite_gradient():
    prediction = torch.tensor([200.0], requires_grad=True)
    cell_losses(prediction, torch.tensor([-1.0]), torch.tensor([SemType.BOOLEAN])).sum().backward()
    assert prediction.grad.item() == pytest.approx(1.0)
