"""The compiled loops of `kernels` and `pointwise` as differentiable functions of CPU tensors.

They run without Python's lock on the calling thread alone: several threads may work on several batches.
Inputs of another type than float32 are converted, results are float32.
"""

from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from relscale.model import kernels, pointwise
from relscale.model.groups import Groups
from relscale.platform.lanes import LANES


def can_fuse(x: torch.Tensor, width: int) -> bool:
    """Whether rows of this width on the device of `x` are theirs to compute."""
    return x.device.type == "cpu" and width % LANES == 0


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, groups: Groups, n_heads: int) -> torch.Tensor:
    """softmax(q k^T / sqrt(e)) v within each group, e = d / n_heads; 0 for queries in none.

    q [Q, d], k and v [K, d]; result [Q, d].
    """
    return _Attend.apply(
        q.float().contiguous(), k.float().contiguous(), v.float().contiguous(), groups, n_heads
    )


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x / root mean square of its last axis * weight, as torch's rms_norm; [..., w]."""
    return _Normalise.apply(x.float().contiguous(), weight)


def gated(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """silu(a) * b; both of one shape."""
    return _Gate.apply(a.float().contiguous(), b.float().contiguous())


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, groups: Groups, n_heads: int
    ) -> torch.Tensor:
        out = torch.zeros_like(q)
        level = torch.empty(len(q), n_heads)
        lists = (groups.query_ptr, groups.query, groups.key_ptr, groups.key)
        room, few = _room(groups, q.shape[1] // n_heads), _room(groups, kernels.TOGETHER)
        kernels.attend(*_arrays(q, k, v), *lists, n_heads, *_arrays(out, level), room, few)
        ctx.save_for_backward(q, k, v, out, level)
        ctx.groups, ctx.n_heads = groups, n_heads
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: torch.Tensor) -> Any:
        q, k, v, out, level = ctx.saved_tensors
        groups: Groups = ctx.groups
        # Queries outside all groups have no gradient, keys may lie in several groups.
        d_q, d_k, d_v = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        wide, few = q.shape[1] // ctx.n_heads, kernels.TOGETHER
        rooms = [_room(groups, width) for width in (wide, wide, few, few)]
        kernels.attend_backward(
            *_arrays(d_out.contiguous(), q, k, v, out, level),
            groups.query_ptr,
            groups.query,
            groups.key_ptr,
            groups.key,
            ctx.n_heads,
            *_arrays(d_q, d_k, d_v),
            *rooms,
        )
        return d_q, d_k, d_v, None, None


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        rows = x.detach().reshape(-1, x.shape[-1])
        out, inverse = torch.empty_like(rows), torch.empty(len(rows))
        epsilon = torch.finfo(torch.float32).eps  # torch's own where none is given
        pointwise.normalise(*_arrays(rows, weight), epsilon, *_arrays(out, inverse))
        ctx.save_for_backward(rows, weight, inverse)
        return out.view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: torch.Tensor) -> Any:
        rows, weight, inverse = ctx.saved_tensors
        d_x, d_weight = torch.empty_like(rows), torch.zeros_like(weight)
        d_rows = d_out.contiguous().view(rows.shape)
        pointwise.normalise_backward(*_arrays(d_rows, rows, weight, inverse, d_x, d_weight))
        return d_x.view(d_out.shape), d_weight


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(a)
        pointwise.gate(*_arrays(a.view(-1), b.view(-1), out.view(-1)))
        ctx.save_for_backward(a, b)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: torch.Tensor) -> Any:
        a, b = ctx.saved_tensors
        d_a, d_b = torch.empty_like(a), torch.empty_like(b)
        parts = (d_out.contiguous(), a, b, d_a, d_b)
        pointwise.gate_backward(*_arrays(*(part.view(-1) for part in parts)))
        return d_a, d_b


def _arrays(*tensors: torch.Tensor) -> list[np.ndarray]:
    return [tensor.detach().numpy() for tensor in tensors]


def _room(groups: Groups, width: int) -> np.ndarray:
    return np.empty(width * -(-groups.most_keys // LANES) * LANES, np.float32)
