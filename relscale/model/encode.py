"""Contexts to tensors: what the network reads, with every text once per batch.

A context names texts by their row in the text table. A batch repeats a few hundred texts in tens of
thousands of tokens, so the network gets each distinct vector once and a position per token: it projects
the vectors and gathers, which equals projecting every token.
"""

from dataclasses import dataclass

import numpy as np
import torch

from relscale.model.context import ContextBatch
from relscale.model.relations import Backend, Relations, relations_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorBatch:
    """A `ContextBatch` on a device.

    Letters: B contexts of S tokens, T tokens (B S, or those that are not padding where the backend is
    "groups"), C and T' distinct column names and texts, M masked cells of the batch in row-major order.

    column          int64   [T]          place in column_vectors
    sem_type        int64   [T]          SemType
    value           float32 [T]          z-score; 0 for text, padding and masked cells
    text            int64   [T]          place in text_vectors; read at unmasked text cells only
    masked          bool    [T]          the cell is hidden and predicted
    padding         bool    [T]
    column_vectors  float32 [C, d_text]  embeddings of "<column> of <table>"
    text_vectors    float32 [T', d_text] embeddings of text cells; never empty
    relations                            who looks at whom
    label           float32 [M]          z-score that the masked cell hides
    label_type      int64   [M]          its SemType
    context         int64   [M]          its context
    n_contexts                           B
    """

    column: torch.Tensor
    sem_type: torch.Tensor
    value: torch.Tensor
    text: torch.Tensor
    masked: torch.Tensor
    padding: torch.Tensor
    column_vectors: torch.Tensor
    text_vectors: torch.Tensor
    relations: Relations
    label: torch.Tensor
    label_type: torch.Tensor
    context: torch.Tensor
    n_contexts: int


def to_tensors(
    batch: ContextBatch,
    embeddings: np.ndarray,
    device: torch.device | str = "cpu",
    *,
    backend: Backend,
) -> TensorBatch:
    """Copy a batch to `device` and look its distinct texts up.

    Parameters
    ----------
    batch : contexts as arrays.
    embeddings : float16 [n_texts, d_text], usually memory-mapped; only the rows in use are read.
    backend : of the network's attention; see `relscale.model.relations.choose_backend`.
    """
    padding = batch.node < 0
    here = ~padding if backend == "groups" else np.ones_like(padding)
    column_rows, column = np.unique(batch.column[here], return_inverse=True)
    text_rows, text = np.unique(batch.text[here], return_inverse=True)
    masked = batch.masked
    arrays = {
        "column": column,
        "sem_type": batch.sem_type[here].astype(np.int64),
        "value": np.where(masked, np.float32(0), batch.value)[here],
        "text": text,
        "masked": masked[here],
        "padding": padding[here],
        "column_vectors": embeddings[column_rows].astype(np.float32),
        "text_vectors": embeddings[text_rows].astype(np.float32),
        "label": batch.value[masked],
        "label_type": batch.sem_type[masked].astype(np.int64),
        "context": masked.nonzero()[0],
    }
    return TensorBatch(
        **{name: torch.from_numpy(array).to(device) for name, array in arrays.items()},
        relations=relations_of(batch, device, backend),
        n_contexts=batch.n_contexts,
    )
