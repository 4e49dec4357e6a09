"""Gradients of a batch: micro-batches, on a CPU several at once, added in one fixed order.

A micro-batch fits the processor's caches, and threads that each compute their own need not wait for one
another at every operation. What comes out does not depend on their number.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice

import torch

from relscale.model.encode import TensorBatch
from relscale.model.network import RelationalTransformer
from relscale.model.objective import objective


class Gradients:
    """Computes the gradients of one process's share of a batch on the CPU."""

    def __init__(self, network: RelationalTransformer, *, n_threads: int, bf16: bool) -> None:
        """`n_threads` threads of one core each; `bf16` computes the matrix products in bfloat16."""
        torch.set_num_threads(1)
        self._network, self._bf16, self._n_threads = network, bf16, n_threads
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._pool: Executor = ThreadPoolExecutor(n_threads, thread_name_prefix="gradients")

    def of(self, batches: Iterable[TensorBatch], n_contexts: int) -> float:
        """Put the gradient of the mean loss over `n_contexts` contexts into each parameter; the loss.

        Parameters
        ----------
        batches : micro-batches that have `n_contexts` contexts together.
        """
        loss = 0.0
        for parameter in self._parameters:
            parameter.grad = None
        for part, gradients in self._computed(iter(batches), n_contexts):
            loss += part
            for parameter, gradient in zip(self._parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        return loss

    def _computed(
        self, batches: Iterator[TensorBatch], n_contexts: int
    ) -> Iterator[tuple[float, Sequence[torch.Tensor | None]]]:
        """The parts in the order of the batches, at most one more than threads at once in memory."""
        pending: list[Future] = []
        for batch in islice(batches, self._n_threads + 1):
            pending.append(self._pool.submit(self._part, batch, n_contexts))
        while pending:
            yield pending.pop(0).result()
            pending += [self._pool.submit(self._part, batch, n_contexts) for batch in islice(batches, 1)]

    def _part(self, batch: TensorBatch, n_contexts: int) -> tuple[float, Sequence[torch.Tensor | None]]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            prediction = self._network(batch)
        loss = objective(prediction, batch) * (batch.n_contexts / n_contexts)
        return loss.item(), torch.autograd.grad(loss, self._parameters, allow_unused=True)
