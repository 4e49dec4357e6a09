"""A batch of contexts: the cells that each prediction sees, as plain arrays."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

MAX_PARENTS = 5
"""Foreign keys per row that the model sees; RT and PluRel skip databases with more."""


class SemType(IntEnum):
    """What kind of value a cell holds; the numbers are those of the published checkpoints' order."""

    NUMBER = 0
    TEXT = 1
    DATETIME = 2
    BOOLEAN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextBatch:
    """B contexts of S tokens; a token is one non-null cell that is not a key.

    Letters: B contexts, S = context length, P = MAX_PARENTS.

    node     int32   [B, S]     row that the cell belongs to (node id in its database); -1 is padding
    parents  int32   [B, S, P]  rows that the cell's row refers to; -1 is an empty place
    column   int32   [B, S]     row of the text table that holds "<column> of <table>"; padding 0.
                                Within one database equal numbers mean the same column
    sem_type int8    [B, S]     SemType; padding 0
    value    float32 [B, S]     z-score of a number, datetime or boolean cell; text and padding 0
    text     int32   [B, S]     row of the text table that holds a text cell; other types and padding 0
    masked   bool    [B, S]     the cell is hidden and predicted; `value` still holds the answer
    target   int32   [B]        position of the seed row's target cell; always masked
    """

    node: np.ndarray
    parents: np.ndarray
    column: np.ndarray
    sem_type: np.ndarray
    value: np.ndarray
    text: np.ndarray
    masked: np.ndarray
    target: np.ndarray

    @property
    def n_contexts(self) -> int:
        """B."""
        return self.node.shape[0]

    @property
    def n_cells(self) -> int:
        """Tokens that are not padding."""
        return int((self.node >= 0).sum())
