"""One optimizer step: contexts of a share to gradients of the batch to new weights."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from relscale.model.config import TrainingConfig
from relscale.model.encode import TensorBatch
from relscale.model.gradients import Gradients
from relscale.model.network import RelationalTransformer
from relscale.model.objective import objective
from relscale.model.optim import build_optimizers
from relscale.model.workers import Workers, is_spread, waiting_for_last, whole

_ShareGradients = Callable[[Sequence[TensorBatch], int], float]


class Updater:
    """Moves the weights of a network, together with the other workers.

    `optimizers` hold the state that a checkpoint must keep.
    """

    def __init__(self, network: RelationalTransformer, training: TrainingConfig, workers: Workers) -> None:
        """Takes the network to the workers' device; with "fsdp" its parameters become shards."""
        model = workers.spread(network, training)
        self._model, self._training, self._workers = model, training, workers
        self.optimizers = build_optimizers(network, training)
        self._share_gradients: _ShareGradients
        bf16 = training.precision == "bf16"
        if workers.device.type == "cpu" and not is_spread(network):
            self._share_gradients = Gradients(network, n_threads=training.n_threads, bf16=bf16).of
        else:
            self._share_gradients = partial(share_gradients, model, bf16=bf16)

    def update(self, micro_batches: Sequence[TensorBatch], rate: float) -> float:
        """Move the weights once at learning rate `rate`; the loss of the whole batch.

        Where the loss or the gradient's norm is not finite the weights stay and the result is NaN, on
        every worker.
        """
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        own = self._share_gradients(micro_batches, sum(batch.n_contexts for batch in micro_batches))
        self._workers.average_gradients(self._model)
        loss = self._workers.total([own])[0] / self._workers.size
        norm = nn.utils.clip_grad_norm_(self._model.parameters(), self._training.max_grad_norm)
        if not torch.isfinite(whole(norm) + loss):
            return float("nan")
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        return loss


def share_gradients(
    model: nn.Module, micro_batches: Sequence[TensorBatch], n_contexts: int, *, bf16: bool
) -> float:
    """Leave the gradient of the mean loss over a share's contexts in the parameters; that loss.

    One micro-batch after the other. GPUs of several workers average their gradients in the backward pass
    of the last one.
    """
    total = torch.zeros((), device=micro_batches[0].value.device)
    for place, batch in enumerate(micro_batches):
        with waiting_for_last(model, is_last=place + 1 == len(micro_batches)):
            with torch.autocast(batch.value.device.type, torch.bfloat16, enabled=bf16):
                prediction = model(batch)
            loss = objective(prediction, batch) * (batch.n_contexts / n_contexts)
            loss.backward()
        total += loss.detach()
    return float(total)
