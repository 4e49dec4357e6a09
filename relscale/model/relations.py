"""Relations: the structure of a batch as each block of the network reads it, for one device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from relscale.model.attention import Pattern, block_patterns, mask_patterns
from relscale.model.context import ContextBatch
from relscale.model.groups import CellGraph
from relscale.platform.lanes import LANES

Backend = Literal["groups", "flex", "dense"]
"""See `relscale.model.attention`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What the three attentions of a block look at, and which tokens go on.

    enter    int64: tokens of the stream that the block reads; None: all
    pattern  relation -> who looks at whom among those
    keep     relation -> int64, tokens that go on after this attention, as places among those before; a
             missing relation keeps all. The pattern's queries are those that go on
    leave    int64: tokens that go on to the feed-forward layer; None: all
    """

    pattern: Mapping[str, Pattern]
    enter: torch.Tensor | None = None
    keep: Mapping[str, torch.Tensor]
    leave: torch.Tensor | None = None


class Relations(Protocol):
    """The relations among a batch's tokens, for the network of one device."""

    def looks(self) -> tuple[Looks, Looks]:
        """Of all blocks but the last, and of the last, from which only the masked cells leave."""


def choose_backend(device: torch.device | str, d_head: int) -> Backend:
    """The fastest backend for heads of a width on a device."""
    kind = torch.device(device).type
    if kind == "cpu":
        return "groups" if d_head % LANES == 0 else "dense"
    # FlexAttention's kernels take heads of these widths.
    return "flex" if kind == "cuda" and d_head >= 16 and d_head & (d_head - 1) == 0 else "dense"


class GroupedRelations:
    """The relations of the cells that are there; built once per batch, beside the training."""

    def __init__(self, batch: ContextBatch) -> None:
        graph = CellGraph(batch)
        self._full = Looks(pattern=graph.full(), keep={})
        last = graph.pruned(batch.masked[batch.node >= 0].nonzero()[0])
        self._last = Looks(
            enter=torch.from_numpy(last.enter),
            pattern={"col": last.col, "feat": last.feat, "nbr": last.nbr},
            keep={
                "col": torch.from_numpy(last.keep_col),
                "feat": torch.from_numpy(last.keep_feat),
                "nbr": torch.from_numpy(last.keep_nbr),
            },
        )

    def looks(self) -> tuple[Looks, Looks]:
        """See `Relations`."""
        return self._full, self._last


class PaddedRelations:
    """The relations of B x S tokens, padding included; masks are made on the device, once per batch."""

    def __init__(self, batch: ContextBatch, device: torch.device | str, backend: Backend) -> None:
        in_use = (batch.parents >= 0).any(axis=(0, 1))
        arrays = (batch.node, batch.parents[:, :, in_use], batch.column)
        self._ids = tuple(torch.from_numpy(array).to(device) for array in arrays)
        self._asked = torch.from_numpy(batch.masked.reshape(-1).nonzero()[0]).to(device)
        self._backend = backend

    def looks(self) -> tuple[Looks, Looks]:
        """See `Relations`."""
        make = block_patterns if self._backend == "flex" else mask_patterns
        pattern = make(*self._ids)
        return Looks(pattern=pattern, keep={}), Looks(pattern=pattern, keep={}, leave=self._asked)


def relations_of(batch: ContextBatch, device: torch.device | str, backend: Backend) -> Relations:
    """The relations of a batch in the form of `backend`."""
    return GroupedRelations(batch) if backend == "groups" else PaddedRelations(batch, device, backend)
