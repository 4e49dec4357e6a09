"""Contexts to tensors: texts once, masked values hidden, padding left out where it can be."""

import numpy as np
import pytest

from relscale.model.encode import to_tensors


@pytest.fixture(params=["dense", "groups"])
def backend(request) -> str:
    return request.param


def test_gathered_vectors_are_those_of_the_ids(random_contexts, random_embeddings, backend):
    contexts = random_contexts(mask_prob=0.5)
    batch = to_tensors(contexts, random_embeddings, backend=backend)
    here = (contexts.node >= 0) | (backend == "dense")
    columns = batch.column_vectors[batch.column].numpy()
    texts = batch.text_vectors[batch.text].numpy()
    np.testing.assert_array_equal(columns, random_embeddings[contexts.column[here]].astype(np.float32))
    np.testing.assert_array_equal(texts, random_embeddings[contexts.text[here]].astype(np.float32))
    assert len(batch.column_vectors) == len(np.unique(contexts.column[here])) < here.sum()


def test_masked_values_are_labels_and_no_inputs(random_contexts, random_embeddings, backend):
    contexts = random_contexts(mask_prob=0.5)
    batch = to_tensors(contexts, random_embeddings, backend=backend)
    here = (contexts.node >= 0) | (backend == "dense")
    assert (contexts.value[contexts.masked] != 0).all()
    assert (batch.value[batch.masked] == 0).all()
    np.testing.assert_array_equal(batch.label.numpy(), contexts.value[contexts.masked])
    np.testing.assert_array_equal(batch.masked.numpy(), contexts.masked[here])
    seen = here & ~contexts.masked
    np.testing.assert_array_equal(batch.value[~batch.masked].numpy(), contexts.value[seen])


def test_labels_stand_in_row_major_order_with_their_contexts(random_contexts, random_embeddings, backend):
    contexts = random_contexts(n_contexts=5, mask_prob=0.4)
    batch = to_tensors(contexts, random_embeddings, backend=backend)
    assert batch.n_contexts == 5
    np.testing.assert_array_equal(batch.context.numpy(), contexts.masked.nonzero()[0])


def test_padding_is_left_out_where_it_need_not_be_computed(random_contexts, random_embeddings):
    contexts = random_contexts()
    padded, packed = (to_tensors(contexts, random_embeddings, backend=b) for b in ("dense", "groups"))
    assert len(padded.column) == contexts.node.size and padded.padding.any()
    assert len(packed.column) == (contexts.node >= 0).sum() and not packed.padding.any()
