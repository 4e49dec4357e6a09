"""Context sampler: the rows and cells around each item, never later than it.

The walk is PluRel's bounded breadth-first collection (arXiv:2602.04029): a row enters with all its
ancestors, then child rows are explored level by level in random order, until the context is full. It
departs from the published code in favour of honest labels:

- label rows of the seed's own task are visible only if strictly earlier than the seed (the rule of RT-J,
  relational-transformer 1.9); published PluRel also shows labels of the same instant. Where labels have
  no time, only those of the train split are visible;
- a parent row later than the seed stays out (a seed without time has no later rows: its ancestors existed
  when it was written, but of child rows it sees only those without time);
- the columns that give the label away are hidden on the seed, on its entity's row and on all rows of the
  seed's instant;
- the seed and its target cell are always kept, however wide the row;
- a row without cells counts as one cell, which bounds the walk.

With `n_walks` a context is filled up from further seeds as in RT-J, whole rows at a time; here they lie
strictly earlier than the seed for every kind of target. RT-J's sampler applies its preference for the latest
to further seeds alone, ours to child rows too.
"""

from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache

import numpy as np

from relscale.model.config import SamplerConfig
from relscale.model.context import MAX_PARENTS, ContextBatch
from relscale.model.fill import Tokens, fill_contexts, new_scratch
from relscale.model.graph import graph_of, rules_of
from relscale.model.items import Items
from relscale.model.store import TokenStore
from relscale.platform.seeds import Purpose, integer


def sample_contexts(
    store: TokenStore,
    names: Sequence[str],
    items: Items,
    config: SamplerConfig,
    *,
    seed: int,
    first_index: int = 0,
) -> ContextBatch:
    """Collect the context of every item.

    Parameters
    ----------
    items : cells to predict; `items.database` indexes `names`.
    seed : of the random choices; context i is a function of (seed, first_index + i, item i) alone, so a
        range of items may be sampled in any number of calls.
    first_index : number of the first item, for instance its global training item number.

    Returns
    -------
    Tokens of a context are sorted by column, stably in the order in which rows were visited; padding
    is at the end. With `config.mask_prob`, number and boolean cells beside the target are masked too.

    Cost: see docs/performance.md; the kernel is compiled once for each version of its source.
    """
    batch = _empty_batch(len(items), config.context_length)
    tokens, rules = Tokens(*(getattr(batch, field.name) for field in fields(batch))), rules_of(config)
    for index in np.unique(items.database):
        here = np.flatnonzero(items.database == index)
        graph = graph_of(store.database(names[index]))
        chosen = here, items.node[here], items.column[here]
        done, arena = 0, 0
        while done < len(here):
            scratch = new_scratch(rules, len(graph.column_type), arena)
            done = fill_contexts(graph, rules, scratch, *chosen, _key(seed), first_index, tokens, done)
            arena = 2 * len(scratch.arena)  # for the context that it was too short for
    assert (batch.target >= 0).all(), "an item's row has no value in the item's column"
    return batch


def context_length_of(step: int, config: SamplerConfig, *, seed: int) -> int:
    """Length of the contexts of a global training step, a function of (seed, step) alone.

    Training asks for it and samples with `config.replace(context_length=...)` as many contexts as keep the
    step's tokens: batch_size * config.context_length // the length.
    """
    if not config.context_lengths:
        return config.context_length
    return config.context_lengths[integer(seed, Purpose.CONTEXT, step) % len(config.context_lengths)]


@lru_cache
def _key(seed: int) -> np.uint64:
    return np.uint64(integer(seed, Purpose.CONTEXT))


def _empty_batch(n: int, length: int) -> ContextBatch:
    """Arrays that the kernel fills, padding included; `target` must not stay -1."""
    return ContextBatch(
        node=np.empty((n, length), np.int32),
        parents=np.empty((n, length, MAX_PARENTS), np.int32),
        column=np.empty((n, length), np.int32),
        sem_type=np.empty((n, length), np.int8),
        value=np.empty((n, length), np.float32),
        text=np.empty((n, length), np.int32),
        masked=np.empty((n, length), bool),
        target=np.full(n, -1, np.int32),
    )
