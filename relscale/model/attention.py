"""Relational attention: which cells a cell looks at, by the fastest means of the device.

The Relational Transformer has no positional encoding. The structure of the database enters through three
relations, one per attention layer of a block (RT, arXiv:2510.06377; without the `full` layer that PluRel,
arXiv:2602.04029, removed):

    col   the same column of the same table
    feat  the same row and the rows it refers to
    nbr   the rows that refer to this row; often none

There are three backends, which agree up to rounding:

    groups  CPU: only allowed pairs are computed, padding not at all; the heads' width is a multiple of 16
    flex    CUDA: blocks of 128 x 128 pairs without an allowed one are left out (FlexAttention)
    dense   anywhere: all pairs, under a mask

Letters: B contexts of S tokens, T tokens of a batch (B S, or with `groups` those that are not padding),
d = d_model, h heads, e = d / h.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from relscale.model import fused
from relscale.model.groups import Groups

Relation = Literal["col", "feat", "nbr"]
RELATIONS: tuple[Relation, ...] = ("col", "feat", "nbr")
"""The attention layers of a block, in their order."""

_PADDED_QUERY = -2
_PADDED_KEY = -3
_BLOCK = 128
"""Side of the blocks that FlexAttention skips or computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A relation in the form that scaled dot-product attention reads.

    bias     float32 [B, 1, S, S]  0 where query q may look at key k, -inf elsewhere. A query without any
                                   key has 0 everywhere: softmax over nothing would be NaN
    has_key  float32 [B, 1, S, 1]  1, or 0 for a query without any key: its output is multiplied by it
    """

    bias: torch.Tensor
    has_key: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """A relation in the form that FlexAttention reads."""

    mask: BlockMask


Pattern = Groups | Mask | Blocks


def relational_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, pattern: Pattern, n_heads: int
) -> torch.Tensor:
    """softmax(q k^T / sqrt(e)) v over the allowed keys; exactly 0 for a query without any.

    Shapes: q [Q, d], k and v [K, d], result [Q, d]; Q = K = B S but for `groups`. On a CPU it is computed in
    float32 even under autocast, since that is faster there; elsewhere in the type of `v`.

    Cost: O(pairs d) for `groups`, O(B S^2 d) for `dense`, between them for `flex`.
    """
    if isinstance(pattern, Groups):
        return fused.attend(q, k, v, pattern, n_heads)
    n_contexts = pattern.bias.shape[0] if isinstance(pattern, Mask) else pattern.mask.shape[0]
    dtype = torch.float32 if v.device.type == "cpu" else v.dtype
    q, k, v = (
        x.to(dtype).view(n_contexts, -1, n_heads, x.shape[1] // n_heads).transpose(1, 2) for x in (q, k, v)
    )
    with torch.autocast(v.device.type, enabled=False):
        if isinstance(pattern, Mask):
            bias, has_key = pattern.bias.to(dtype), pattern.has_key.to(dtype)
            out = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias) * has_key
        else:
            # A query without any key gives 0 there.
            out = _flex(v.device.type)(q, k, v, block_mask=pattern.mask)
    return out.transpose(1, 2).reshape(-1, n_heads * out.shape[-1])


def mask_patterns(node: torch.Tensor, parents: torch.Tensor, column: torch.Tensor) -> dict[str, Mask]:
    """The three relations as masks; every block and head uses the same.

    Parameters
    ----------
    node : int [B, S], row of each token; negative is padding, which neither looks nor is looked at.
    parents : int [B, S, P], rows that the token's row refers to; -1 is an empty place.
    column : int [B, S], column of each token; one column belongs to one table.
    """
    return {relation: _as_mask(allowed) for relation, allowed in allowed_pairs(node, parents, column).items()}


def block_patterns(node: torch.Tensor, parents: torch.Tensor, column: torch.Tensor) -> dict[str, Blocks]:
    """The three relations as block masks; parameters as in `mask_patterns`."""
    padding = node < 0
    query, key = node.masked_fill(padding, _PADDED_QUERY), node.masked_fill(padding, _PADDED_KEY)
    column_query, column_key = (column.masked_fill(padding, n) for n in (_PADDED_QUERY, _PADDED_KEY))

    def is_parent(b: Any, child: Any, parent: Any) -> Any:
        found = parents[b, child, 0] == key[b, parent]
        for place in range(1, parents.shape[2]):
            found = found | (parents[b, child, place] == key[b, parent])
        return found

    rules = {
        "col": lambda b, h, q, k: column_query[b, q] == column_key[b, k],
        "feat": lambda b, h, q, k: (query[b, q] == key[b, k]) | is_parent(b, q, k),
        "nbr": lambda b, h, q, k: is_parent(b, k, q),
    }
    if not parents.shape[2]:
        parents = torch.full_like(node, -1)[..., None]
    n_contexts, length = node.shape
    return {
        relation: Blocks(
            mask=create_block_mask(
                rule, n_contexts, None, length, length, device=node.device, BLOCK_SIZE=_BLOCK
            )
        )
        for relation, rule in rules.items()
    }


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


def _as_mask(allowed: torch.Tensor) -> Mask:
    has_key = allowed.any(dim=-1, keepdim=True)
    bias = torch.zeros(allowed.shape, device=allowed.device)
    bias.masked_fill_(~allowed & has_key, float("-inf"))
    return Mask(bias=bias, has_key=has_key.to(bias.dtype))


@cache
def _flex(device_type: str) -> Any:
    """FlexAttention, compiled where its speed depends on it; on a CPU it serves to compare."""
    return torch.compile(flex_attention, dynamic=False) if device_type == "cuda" else flex_attention
