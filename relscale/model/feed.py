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
from relscale.model.items import TrainingItems
from relscale.model.network import RelationalTransformer
from relscale.model.sampler import sample_contexts
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
        items: TrainingItems,
        network: RelationalTransformer,
        sampler: SamplerConfig,
        training: TrainingConfig,
        workers: Workers,
        *,
        seed: int,
    ) -> None:
        self._items, self._network, self._sampler, self._seed = items, network, sampler, seed
        self._batch_size, self._places = training.batch_size, workers.share(training)
        self._at_once = contexts_at_once(training, sampler, workers)

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
        numbers = self.item_numbers(step)
        contexts = self.contexts(numbers.start, len(numbers))
        return Share(
            micro_batches=[
                self.tensors(_part(contexts, start, start + self._at_once))
                for start in range(0, len(numbers), self._at_once)
            ],
            database=self._items.locate(numbers.start, len(numbers)).database,
            n_cells=(contexts.node >= 0).sum(axis=1),
        )

    def item_numbers(self, step: int) -> range:
        """Numbers of the training items of this process's share."""
        first = step * self._batch_size
        return range(first + self._places.start, first + self._places.stop)

    def contexts(self, first: int, count: int) -> ContextBatch:
        """The contexts of the training items first .. first + count - 1."""
        items = self._items
        located = items.locate(first, count)
        return sample_contexts(
            items.store, items.names, located, self._sampler, seed=self._seed, first_index=first
        )

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
