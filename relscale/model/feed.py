"""The feed: each step's contexts, made ahead of the training by a thread of their own."""

import itertools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np

from relscale.model.config import SamplerConfig, TrainingConfig
from relscale.model.context import ContextBatch
from relscale.model.encode import TensorBatch
from relscale.model.items import ItemSequence
from relscale.model.network import RelationalTransformer
from relscale.model.sampler import context_length_of, sample_contexts
from relscale.model.workers import Workers

_AHEAD = 2
"""Steps that are made before they are asked for."""
_CPU_TOKENS = 2048
"""Tokens computed at once on a CPU: few enough for a block's activations to stay in the core's caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A process's part of a step's batch.

    micro_batches   the contexts, in order, in parts that are computed at once
    database        int32 [B]  which of the training databases each context comes from
    n_cells         int64 [B]  its tokens without padding
    seconds_waited  time that the reader was kept waiting for it
    """

    micro_batches: list[TensorBatch]
    database: np.ndarray
    n_cells: np.ndarray
    seconds_waited: float = 0.0


class Feed:
    """Every step's share of a process, a function of (items, seed, step) alone."""

    def __init__(
        self,
        items: ItemSequence,
        network: RelationalTransformer,
        sampler: SamplerConfig,
        training: TrainingConfig,
        workers: Workers,
        *,
        seed: int,
    ) -> None:
        self._items, self._network, self._sampler, self._seed = items, network, sampler, seed
        self._training, self._workers = training, workers
        workers.share(training)  # refuses a batch that cannot be shared

    def shares(self, steps: range) -> Iterator[Share]:
        """The share of each step in order, made ahead by one thread."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            ahead = iter(steps)
            pending = deque(pool.submit(self.share, step) for step in itertools.islice(ahead, _AHEAD))
            while pending:
                asked = time.perf_counter()
                share = pending.popleft().result()
                waited = time.perf_counter() - asked
                pending.extend(pool.submit(self.share, step) for step in itertools.islice(ahead, 1))
                yield replace(share, seconds_waited=waited)

    def share(self, step: int) -> Share:
        """The contexts of one step."""
        numbers, sampler = self.item_numbers(step), self.sampler(step)
        contexts = self.contexts(numbers, sampler)
        at_once = contexts_at_once(self._training, sampler, self._workers)
        return Share(
            micro_batches=[
                self.tensors(_part(contexts, start, start + at_once))
                for start in range(0, len(numbers), at_once)
            ],
            database=self._items.locate(numbers.start, len(numbers)).database,
            n_cells=(contexts.node >= 0).sum(axis=1),
        )

    def item_numbers(self, step: int) -> range:
        """Numbers of the training items of this process's share."""
        batch = self.batch_numbers(step)
        share = len(batch) // self._workers.size
        return batch[self._workers.rank * share : (self._workers.rank + 1) * share]

    def batch_numbers(self, step: int) -> range:
        """Numbers of the training items of all processes.

        Steps of shorter contexts have more of them; so that a step's numbers do not depend on the steps
        before it, each leaves room for as many as one of the shortest contexts has.
        """
        whole, size = self._sampler.context_length, self._training.batch_size
        first = step * size * (whole // min(self._sampler.context_lengths or (whole,)))
        return range(first, first + size * (whole // self.sampler(step).context_length))

    def sampler(self, step: int) -> SamplerConfig:
        """What the contexts of a step see: all have one length."""
        length = context_length_of(step, self._sampler, seed=self._seed)
        local = self._sampler.local_context_length
        return self._sampler.replace(
            context_length=length,
            context_lengths=(),
            local_context_length=local if local is None else min(local, length),
        )

    def contexts(self, numbers: range, sampler: SamplerConfig) -> ContextBatch:
        """The contexts of the training items of these numbers."""
        items, first = self._items, numbers.start
        located = items.locate(first, len(numbers))
        return sample_contexts(items.store, items.names, located, sampler, seed=self._seed, first_index=first)

    def tensors(self, contexts: ContextBatch) -> TensorBatch:
        """Contexts as the network reads them."""
        return self._network.tensors(contexts, self._items.store.embeddings)


def contexts_at_once(training: TrainingConfig, sampler: SamplerConfig, workers: Workers) -> int:
    """Contexts of a micro-batch: `training.micro_batch_size`, or what suits the device."""
    if training.micro_batch_size is not None:
        return training.micro_batch_size
    if workers.device.type == "cpu":
        return max(1, _CPU_TOKENS // sampler.context_length)
    return training.batch_size


def _part(contexts: ContextBatch, start: int, stop: int) -> ContextBatch:
    return ContextBatch(**{f.name: getattr(contexts, f.name)[start:stop] for f in fields(ContextBatch)})
