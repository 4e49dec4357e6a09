"""Contexts to tensors: what the network reads, with every text once per batch.

A context names texts by their row in the text table. A batch repeats a few hundred texts in tens of
thousands of tokens, so the network gets each distinct vector once and a position per token: it projects
the vectors and gathers, which equals projecting every token.
"""

from dataclasses import dataclass

import numpy as np
import torch

from relscale.model.context import ContextBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorBatch:
    """A `ContextBatch` on a device.

    Letters: B contexts, S tokens of a context, P places for parents that any row of the batch uses, C and
    T distinct column names and texts, M masked cells of the batch in row-major order, Q the most masked
    cells of one context.

    node            int32   [B, S]       row of the token; -1 is padding
    parents         int32   [B, S, P]    parent rows of that row; -1 is an empty place
    column          int64   [B, S]       place in column_vectors; equal numbers mean the same column
    sem_type        int64   [B, S]       SemType
    value           float32 [B, S]       z-score; 0 for text, padding and masked cells
    text            int64   [B, S]       place in text_vectors; read at unmasked text cells only
    masked          bool    [B, S]       the cell is hidden and predicted
    column_vectors  float32 [C, d_text]  embeddings of "<column> of <table>"
    text_vectors    float32 [T, d_text]  embeddings of text cells; never empty
    asked           int64   [B, Q]       positions of the masked cells of each context; filled up with 0
    is_asked        bool    [B, Q]       False where `asked` is only filling; M places are True
    label           float32 [M]          z-score that the masked cell hides
    label_type      int64   [M]          its SemType
    """

    node: torch.Tensor
    parents: torch.Tensor
    column: torch.Tensor
    sem_type: torch.Tensor
    value: torch.Tensor
    text: torch.Tensor
    masked: torch.Tensor
    column_vectors: torch.Tensor
    text_vectors: torch.Tensor
    asked: torch.Tensor
    is_asked: torch.Tensor
    label: torch.Tensor
    label_type: torch.Tensor


def to_tensors(
    batch: ContextBatch, embeddings: np.ndarray, device: torch.device | str = "cpu"
) -> TensorBatch:
    """Copy a batch to `device` and look its distinct texts up.

    Parameters
    ----------
    batch : contexts as arrays.
    embeddings : float16 [n_texts, d_text], usually memory-mapped; only the rows in use are read.
    """
    column_rows, column = np.unique(batch.column, return_inverse=True)
    text_rows, text = np.unique(batch.text, return_inverse=True)
    asked, is_asked = _masked_positions(batch.masked)
    arrays = {
        "node": batch.node,
        "parents": batch.parents[:, :, (batch.parents >= 0).any(axis=(0, 1))],
        "column": column.reshape(batch.column.shape),
        "sem_type": batch.sem_type.astype(np.int64),
        "value": np.where(batch.masked, np.float32(0), batch.value),
        "text": text.reshape(batch.text.shape),
        "masked": batch.masked,
        "column_vectors": embeddings[column_rows].astype(np.float32),
        "text_vectors": embeddings[text_rows].astype(np.float32),
        "asked": asked,
        "is_asked": is_asked,
        "label": batch.value[batch.masked],
        "label_type": batch.sem_type[batch.masked].astype(np.int64),
    }
    return TensorBatch(**{name: torch.from_numpy(array).to(device) for name, array in arrays.items()})


def _masked_positions(masked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`asked` int64 [B, Q] and `is_asked` bool [B, Q] of a bool [B, S] mask."""
    count = masked.sum(axis=1)
    is_asked = np.arange(max(1, count.max(initial=0))) < count[:, None]
    asked = np.zeros(is_asked.shape, dtype=np.int64)
    asked[is_asked] = np.nonzero(masked)[1]
    return asked, is_asked
