"""Simple predictors on hidden cells: the levels that a network's loss is read against.

    column mean   z-score 0, or the base rate of a boolean: what the whole column says
    entity mean   the mean of the column's visible cells in rows that share a parent row with the hidden
                  cell's; the column mean where the context shows none

They see what the network sees, and the column's statistics beside it, which it does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import torch

from relscale.model.config import SamplerConfig
from relscale.model.context import ContextBatch, SemType
from relscale.model.items import Items
from relscale.model.objective import cell_losses
from relscale.model.sampler import sample_contexts
from relscale.model.store import TokenStore

_CONTEXTS_AT_ONCE = 256
_LEAST_RATE = 0.01
"""A mean of few booleans is 0 or 1, which no predictor should bet everything on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """What a context shows of the column of each of K hidden cells.

    n, total                    int64, float64 [K]: cells, and the sum of their z-scores
    n_siblings, total_siblings  the same in rows that share a parent row with the hidden cell's
    """

    n: np.ndarray
    total: np.ndarray
    n_siblings: np.ndarray
    total_siblings: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Losses of the simple predictors on K hidden cells, in the order of `predict.Predictions`.

    column_mean, entity_mean  float64 [K]
    visible                   what the contexts show
    """

    column_mean: np.ndarray
    entity_mean: np.ndarray
    visible: Visible


def simple_levels(
    store: TokenStore, names: Sequence[str], items: Items, sampler: SamplerConfig, *, seed: int
) -> Levels:
    """Score the simple predictors on the cells of `predict.predict_items` for the same arguments."""
    parts = []
    for first in range(0, len(items), _CONTEXTS_AT_ONCE):
        some = items.slice(first, first + _CONTEXTS_AT_ONCE)
        contexts = sample_contexts(store, names, some, sampler, seed=seed, first_index=first)
        parts.append(_levels(contexts, base_rates(store, names, some, contexts)))
    return Levels(
        column_mean=np.concatenate([part.column_mean for part in parts]),
        entity_mean=np.concatenate([part.entity_mean for part in parts]),
        visible=_joined([part.visible for part in parts]),
    )


def losses_of_means(
    mean: np.ndarray, rate: np.ndarray, label: np.ndarray, sem_type: np.ndarray
) -> np.ndarray:
    """float64 [K]: loss of predicting the z-scores `mean`; of a boolean, the probability that it stands for.

    `rate` is the share of true of a boolean's column, `label` and `sem_type` are of `cell_losses`.
    """
    p = np.clip(rate + mean * np.sqrt(rate * (1 - rate)), np.minimum(rate, _LEAST_RATE), None)
    p = np.minimum(p, np.maximum(rate, 1 - _LEAST_RATE))
    prediction = np.where(sem_type == SemType.BOOLEAN, np.log(p / (1 - p)), mean)
    parts = (torch.from_numpy(part) for part in (prediction, label.astype(np.float64), sem_type))
    return cell_losses(*parts).numpy()


def base_rates(store: TokenStore, names: Sequence[str], items: Items, contexts: ContextBatch) -> np.ndarray:
    """float64 [K]: share of true of each hidden cell's column; 0.5 where it is no boolean."""
    rates = {
        (index, column.text_row): column.mean
        for index in np.unique(items.database)
        for column in store.database(names[index]).columns
        if column.sem_type == SemType.BOOLEAN
    }
    context, place = contexts.masked.nonzero()
    keys = zip(np.asarray(items.database)[context], contexts.column[context, place], strict=True)
    return np.array([rates.get((int(index), int(column)), 0.5) for index, column in keys])


def visible_cells(contexts: ContextBatch) -> Visible:
    """What the contexts show of the column of every hidden cell."""
    context, place = contexts.masked.nonzero()
    shown = (contexts.node >= 0) & ~contexts.masked
    parts = []
    for b, (start, stop) in enumerate(pairwise(np.searchsorted(context, np.arange(contexts.n_contexts + 1)))):
        here = place[start:stop]
        same = (contexts.column[b][here, None] == contexts.column[b][None]) & shown[b]
        hidden, cell = same.nonzero()
        own, other = contexts.parents[b][here[hidden]], contexts.parents[b][cell]
        shares = ((own[:, :, None] == other[:, None, :]) & (own >= 0)[:, :, None]).any(axis=(1, 2))
        parts.append(_summed(hidden, contexts.value[b][cell], shares, len(here)))
    return _joined(parts)


def _summed(hidden: np.ndarray, value: np.ndarray, shares: np.ndarray, n_hidden: int) -> Visible:
    def over(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places = hidden[chosen]
        total = np.bincount(places, weights=value[chosen], minlength=n_hidden)
        return np.bincount(places, minlength=n_hidden), total

    (n, total), (n_siblings, total_siblings) = over(np.ones_like(shares)), over(shares)
    return Visible(n=n, total=total, n_siblings=n_siblings, total_siblings=total_siblings)


def _levels(contexts: ContextBatch, rate: np.ndarray) -> Levels:
    visible = visible_cells(contexts)
    label, sem_type = contexts.value[contexts.masked], contexts.sem_type[contexts.masked]
    siblings = visible.total_siblings / np.maximum(visible.n_siblings, 1)
    return Levels(
        column_mean=losses_of_means(np.zeros(len(label)), rate, label, sem_type),
        entity_mean=losses_of_means(siblings, rate, label, sem_type),
        visible=visible,
    )


def _joined(parts: Sequence[Visible]) -> Visible:
    return Visible(
        **{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Visible)}
    )
