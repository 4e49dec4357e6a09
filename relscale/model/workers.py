"""Workers: the processes that share every batch, and how their gradients become the batch's."""

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from relscale.model.config import TrainingConfig
from relscale.platform.errors import ConfigError

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """This process's place among those that share every batch; alone by default.

    With `size` above 1 torch.distributed must be initialised: gloo on CPUs, NCCL on GPUs.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU

    def share(self, training: TrainingConfig) -> range:
        """Places within every batch that this process computes; ConfigError if they cannot be equal."""
        if training.batch_size % self.size:
            raise ConfigError(
                f"training.batch_size {training.batch_size} is not a multiple of the {self.size} workers; "
                f"change one of them."
            )
        size = training.batch_size // self.size
        return range(self.rank * size, (self.rank + 1) * size)

    def spread(self, network: nn.Module, training: TrainingConfig) -> nn.Module:
        """Move the network to the device; the module to call in training.

        Of one worker, and on CPUs, that is the network itself: gradients are averaged after the backward
        pass, in one message. GPUs overlap the two (DistributedDataParallel). With "fsdp" the network's
        parameters are spread in place: each block is gathered when it is computed.
        """
        network.to(self.device)
        if training.parallel == "fsdp" and self.size > 1:
            for block in network.get_submodule("blocks").children():
                fully_shard(block)
            fully_shard(network)
            return network
        if self.size > 1 and self.device.type == "cuda":
            return DistributedDataParallel(network, device_ids=[self.device], gradient_as_bucket_view=True)
        return network

    def average_gradients(self, model: nn.Module) -> None:
        """Make the gradients of this process's share those of the whole batch.

        Every trained parameter has a gradient afterwards, so that which of them move depends neither on the
        batch nor on who computed it.
        """
        parameters = [p for p in model.parameters() if p.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.size == 1 or isinstance(model, FSDPModule | DistributedDataParallel):
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def total(self, values: Sequence[float]) -> list[float]:
        """Sum of each value over the workers, in float64; all of them call this at the same moment."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(sums)
        return [float(value) for value in sums]


def waiting_for_last(model: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
    """A block whose backward pass exchanges gradients between GPUs only if it is a step's last one."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(is_last)
    elif isinstance(model, DistributedDataParallel) and not is_last:
        return model.no_sync()
    return contextlib.nullcontext()


def is_spread(network: nn.Module) -> bool:
    """Whether its parameters lie on several workers, so that all of them must compute together."""
    return isinstance(network, FSDPModule)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, gathered from the workers if it is spread over them; then all of them call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def spread_like(tensor: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    """A whole tensor on the device of `model`, and spread as that one is if their shapes agree."""
    if isinstance(model, DTensor) and tensor.shape == model.shape:
        return distribute_tensor(tensor.to(model.device), model.device_mesh, model.placements)
    return tensor.to(model.device)
