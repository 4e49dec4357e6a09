"""Contexts to tensors: texts once, masked values hidden."""

import numpy as np
import torch

from relscale.model.encode import to_tensors


def test_gathered_vectors_are_those_of_the_ids(random_contexts, random_embeddings):
    contexts = random_contexts(mask_prob=0.5)
    batch = to_tensors(contexts, random_embeddings)
    columns = batch.column_vectors[batch.column].numpy()
    texts = batch.text_vectors[batch.text].numpy()
    np.testing.assert_array_equal(columns, random_embeddings[contexts.column].astype(np.float32))
    np.testing.assert_array_equal(texts, random_embeddings[contexts.text].astype(np.float32))
    assert len(batch.column_vectors) == len(np.unique(contexts.column)) < contexts.column.size


def test_masked_values_are_labels_and_no_inputs(random_contexts, random_embeddings):
    contexts = random_contexts(mask_prob=0.5)
    batch = to_tensors(contexts, random_embeddings)
    assert (contexts.value[contexts.masked] != 0).all()
    assert (batch.value[batch.masked] == 0).all()
    np.testing.assert_array_equal(batch.label.numpy(), contexts.value[contexts.masked])
    np.testing.assert_array_equal(batch.value.numpy()[~contexts.masked], contexts.value[~contexts.masked])


def test_asked_lists_the_masked_cells_in_row_major_order(random_contexts, random_embeddings):
    contexts = random_contexts(n_contexts=5, mask_prob=0.4)
    batch = to_tensors(contexts, random_embeddings)
    context = batch.is_asked.nonzero()[:, 0]
    pairs = torch.stack([context, batch.asked[batch.is_asked]], dim=1)
    torch.testing.assert_close(pairs, batch.masked.nonzero())
    assert batch.is_asked.any(dim=0).all()


def test_one_target_each_needs_one_place(random_contexts, random_embeddings):
    contexts = random_contexts(mask_prob=0.0)
    batch = to_tensors(contexts, random_embeddings)
    assert batch.asked.squeeze(1).tolist() == contexts.target.tolist()


def test_places_for_parents_that_no_row_uses_are_dropped(random_contexts, random_embeddings):
    contexts = random_contexts()
    batch = to_tensors(contexts, random_embeddings)
    assert 0 < batch.parents.shape[2] < contexts.parents.shape[2]
    for found, wanted in zip(batch.parents.flatten(0, 1), contexts.parents.reshape(-1, 5), strict=True):
        assert set(found.tolist()) - {-1} == set(wanted.tolist()) - {-1}
