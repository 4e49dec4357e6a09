"""Relational attention: which cells a cell may look at.

The Relational Transformer has no positional encoding. The structure of the database enters through three
masks, one per attention layer of a block (RT, arXiv:2510.06377; without the `full` layer that PluRel,
arXiv:2602.04029, removed):

    col   the same column of the same table
    feat  the same row and the rows it refers to
    nbr   the rows that refer to this row; often none
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

Relation = Literal["col", "feat", "nbr"]
RELATIONS: tuple[Relation, ...] = ("col", "feat", "nbr")
"""The attention layers of a block, in their order."""

_PADDED_QUERY = -2
_PADDED_KEY = -3


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationMask:
    """One relation of a batch, in the form that scaled dot-product attention reads.

    bias     float32 [B, 1, Q, S]  0 where query q may look at key k, -inf elsewhere. A query without any
                                   key has 0 everywhere: softmax over nothing would be NaN
    has_key  float32 [B, 1, Q, 1]  1, or 0 for a query without any key: its output is multiplied by it
    """

    bias: torch.Tensor
    has_key: torch.Tensor

    def at(self, positions: torch.Tensor) -> "RelationMask":
        """The same relation for some queries only; `positions` int64 [B, Q]."""
        rows = positions[:, None, :, None]
        return RelationMask(
            bias=self.bias.gather(2, rows.expand(-1, -1, -1, self.bias.shape[3])),
            has_key=self.has_key.gather(2, rows),
        )


def relation_masks(
    node: torch.Tensor, parents: torch.Tensor, column: torch.Tensor
) -> dict[Relation, RelationMask]:
    """The three masks of a batch; every block and head uses the same.

    Parameters
    ----------
    node : int [B, S], row of each token; negative is padding, which neither looks nor is looked at.
    parents : int [B, S, P], rows that the token's row refers to; -1 is an empty place.
    column : int [B, S], column of each token; one column belongs to one table.
    """
    return {relation: _as_mask(allowed) for relation, allowed in allowed_pairs(node, parents, column).items()}


def allowed_pairs(
    node: torch.Tensor, parents: torch.Tensor, column: torch.Tensor
) -> dict[Relation, torch.Tensor]:
    """bool [B, 1, S, S] per relation: may query q (third axis) look at key k (last axis)?"""
    padding = node < 0
    # Numbers that occur nowhere else make padding differ from everything, itself included.
    query, key = node.masked_fill(padding, _PADDED_QUERY), node.masked_fill(padding, _PADDED_KEY)
    column_query, column_key = (column.masked_fill(padding, n) for n in (_PADDED_QUERY, _PADDED_KEY))
    is_parent = torch.zeros(node.shape[0], node.shape[1], node.shape[1], dtype=torch.bool, device=node.device)
    for parent in parents.unbind(dim=2):
        is_parent |= parent[:, :, None] == key[:, None, :]
    pairs: dict[Relation, torch.Tensor] = {
        "col": column_query[:, :, None] == column_key[:, None, :],
        "feat": (query[:, :, None] == key[:, None, :]) | is_parent,
        "nbr": is_parent.transpose(1, 2),
    }
    return {relation: allowed[:, None] for relation, allowed in pairs.items()}


def relational_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: RelationMask
) -> torch.Tensor:
    """softmax(q k^T / sqrt(e)) v over the allowed keys; exactly 0 for a query without any.

    Shapes: q [B, h, Q, e]; k and v [B, h, S, e]; result [B, h, Q, e]. Cost O(B h Q S e). On a CPU it is
    computed in float32 even under autocast, since that is faster there with a mask; elsewhere in the type
    of `v`.
    """
    dtype = torch.float32 if v.device.type == "cpu" else v.dtype
    q, k, v, bias, has_key = (tensor.to(dtype) for tensor in (q, k, v, mask.bias, mask.has_key))
    with torch.autocast(v.device.type, enabled=False):
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias) * has_key


def _as_mask(allowed: torch.Tensor) -> RelationMask:
    has_key = allowed.any(dim=-1, keepdim=True)
    bias = torch.zeros(allowed.shape, device=allowed.device)
    bias.masked_fill_(~allowed & has_key, float("-inf"))
    return RelationMask(bias=bias, has_key=has_key.to(bias.dtype))
