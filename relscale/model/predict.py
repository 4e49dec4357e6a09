"""Predictions: a network and a token store to one per row of a task, or per hidden cell."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from relscale.model.checkpoint import load_model
from relscale.model.config import SamplerConfig
from relscale.model.context import ContextBatch, SemType
from relscale.model.items import Items, check_task_context, task_items
from relscale.model.network import RelationalTransformer
from relscale.model.objective import cell_losses
from relscale.model.sampler import sample_contexts
from relscale.model.store import TokenStore
from relscale.model.text import check_same_encoder
from relscale.platform.config import parse_config
from relscale.platform.errors import DataError, ResourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """K hidden cells, in the order of the items and then of the context.

    item        int64   [K]  place of the cell's context in the items
    is_target   bool    [K]  the cell is the item's own; exactly one per item
    column      int32   [K]  row of the text table that names the cell's column
    sem_type    int8    [K]  SemType
    prediction  float32 [K]  z-score, or logit of "true" for a boolean
    label       float32 [K]  z-score of the hidden value
    loss        float32 [K]  of `objective.cell_losses`
    """

    item: np.ndarray
    is_target: np.ndarray
    column: np.ndarray
    sem_type: np.ndarray
    prediction: np.ndarray
    label: np.ndarray
    loss: np.ndarray

    def targets(self) -> "Predictions":
        """The cells that the items name: one per item, in their order."""
        return Predictions(**{f.name: getattr(self, f.name)[self.is_target] for f in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPredictions:
    """The n rows of a split of a task, in the order of its label file; of an autocomplete task by row.

    node        int64   [n]     row of the database that holds the label
    prediction  float64 [n]     in the units of the label; for a boolean the probability of "true"
    label       float64 [n]     in the same units, 0 or 1 for a boolean
    score       float64 [n, K]  z-score, or logit of "true", under each of the K context seeds
    """

    node: np.ndarray
    prediction: np.ndarray
    label: np.ndarray
    score: np.ndarray


def predict_task(
    checkpoint: RelationalTransformer | Path | str,
    store: TokenStore,
    task: str,
    *,
    database: str | None = None,
    split: str = "test",
    sampler: SamplerConfig | None = None,
    context_seeds: Sequence[int] = (0,),
    batch_size: int = 32,
    device: str | None = None,
) -> TaskPredictions:
    """Predict every row of a split of a task.

    Parameters
    ----------
    checkpoint : a network, a checkpoint folder or a published `.pt` file.
    database : name of one of the store's; None takes its first.
    split : "train", "val" or "test".
    sampler : what a context sees; None takes what the checkpoint was trained with, at its one length, or
        PluRel's. Nothing but the target is hidden in either case.
    context_seeds : contexts per row, of each of the sampler's context_lengths; z-scores or logits are
        averaged over all of them.
    batch_size : contexts at once; bounds the memory, changes no result.
    device : torch's name of one, such as "cuda"; None leaves a network where it is.

    Raises
    ------
    DataError : no such database or task, or a split without rows; the store was made with another text
        encoder than the checkpoint's. ConfigError : a row of the task does not fit a context.
        ResourceError : the device cannot be used.
    """
    if isinstance(checkpoint, RelationalTransformer):
        network = checkpoint
    else:
        network, about = load_model(checkpoint)
        check_same_encoder(store, about.get("text_encoder"), whose=f"checkpoint '{checkpoint}'")
        sampler = sampler or trained_sampler(about, checkpoint).replace(context_lengths=())
    if device is not None:
        network = on_device(network, device)
    sampler = (sampler or SamplerConfig()).replace(mask_prob=0.0)
    described = store.database(database or store.names[0])
    samplers = at_each_length(sampler)
    check_task_context(described, task, min(one.context_length for one in samplers))
    items = task_items(described, task, split)
    if not len(items):
        raise DataError(f"split '{split}' of task '{task}' of database '{described.name}' has no rows.")
    runs = [
        [
            predict_items(
                network, store, [described.name], items, one, seed=seed, batch_size=batch_size
            ).targets()
            for one in samplers
        ]
        for seed in context_seeds
    ]
    column = described.columns[int(items.column[0])]
    score = np.mean([[run.prediction.astype(np.float64) for run in group] for group in runs], axis=1).T
    mean = score.mean(axis=1)
    is_boolean = column.sem_type == SemType.BOOLEAN
    return TaskPredictions(
        node=items.node,
        prediction=np.exp(-np.logaddexp(0, -mean)) if is_boolean else mean * column.std + column.mean,
        label=runs[0][0].label.astype(np.float64) * column.std + column.mean,
        score=score,
    )


def trained_sampler(about: dict[str, Any], checkpoint: Path | str) -> SamplerConfig:
    """What the contexts of a checkpoint's training saw; PluRel's settings where it does not say."""
    return parse_config(SamplerConfig, about.get("sampler", {}), source=f"'{checkpoint}'")


def at_each_length(sampler: SamplerConfig) -> list[SamplerConfig]:
    """The samplers of one length each of which a prediction is the mean."""
    local = sampler.local_context_length
    return [
        sampler.replace(
            context_length=length,
            context_lengths=(),
            local_context_length=None if local is None else min(local, length),
        )
        for length in sampler.context_lengths or (sampler.context_length,)
    ]


def on_device(network: RelationalTransformer, device: str) -> RelationalTransformer:
    """The network on torch's device of that name; ResourceError if it cannot be used."""
    try:
        return network.to(device)
    except (RuntimeError, AssertionError) as error:  # torch names no kind of its own
        reason = str(error).splitlines()[0]
        raise ResourceError(f"device '{device}' cannot be used ({reason}); try 'cpu'.") from error


def predict_items(
    network: RelationalTransformer,
    store: TokenStore,
    names: Sequence[str],
    items: Items,
    sampler: SamplerConfig,
    *,
    seed: int,
    batch_size: int = 32,
) -> Predictions:
    """Predict the target cell of every item, and whatever else `sampler.mask_prob` hides.

    Parameters
    ----------
    network : on the device to compute on.
    items : cells to predict; `items.database` indexes `names`.
    seed : of the contexts; equal seeds give equal contexts, whatever batch_size is.
    """
    parts = []
    for first in range(0, len(items), batch_size):
        some = items.slice(first, first + batch_size)
        contexts = sample_contexts(store, names, some, sampler, seed=seed, first_index=first)
        parts.append(_predict(network, contexts, store.embeddings, first))
    return Predictions(
        **{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Predictions)}
    )


def _predict(
    network: RelationalTransformer, contexts: ContextBatch, embeddings: np.ndarray, first: int
) -> Predictions:
    """The hidden cells of a batch whose first context belongs to item `first`."""
    batch = network.tensors(contexts, embeddings)
    with torch.inference_mode():
        prediction = network(batch)
        loss = cell_losses(prediction, batch.label, batch.label_type)
    context, position = np.nonzero(contexts.masked)
    return Predictions(
        item=first + context,
        is_target=position == contexts.target[context],
        column=contexts.column[contexts.masked],
        sem_type=contexts.sem_type[contexts.masked],
        prediction=prediction.cpu().numpy(),
        label=contexts.value[contexts.masked],
        loss=loss.cpu().numpy(),
    )
