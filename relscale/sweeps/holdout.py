"""The held-out loss: fixed cells of databases that no trial trains on."""

from pathlib import Path
from typing import Any

from relscale.model.config import SamplerConfig
from relscale.sweeps.config import EvaluationConfig


def held_out_scores(
    checkpoint: Path,
    store: Path,
    names: tuple[str, ...],
    sampler: SamplerConfig,
    evaluation: EvaluationConfig,
) -> dict[str, Any]:
    """Score a checkpoint on held-out databases.

    Parameters
    ----------
    checkpoint : folder with the trained network.
    store : token store that holds them.
    names : those to score on.
    sampler : the contexts that the trial was trained with; their hidden share is the evaluation's.
    evaluation : which cells.

    Returns
    -------
    The fields of `relscale.model.predict.held_out_loss`, losses in its units (Huber on z-scores, binary
    cross-entropy in nats). Cells and contexts depend on `evaluation` and the store alone, so that trials
    are compared on equal ground.
    """
    from relscale.model.checkpoint import load_model
    from relscale.model.items import evaluation_items
    from relscale.model.predict import held_out_loss
    from relscale.model.store import TokenStore

    network, _ = load_model(checkpoint)
    opened = TokenStore.open(store)
    items = evaluation_items(
        opened,
        names,
        columns_per_type=evaluation.columns_per_type,
        rows_per_column=evaluation.rows_per_column,
        seed=evaluation.seed,
    )
    contexts = sampler.replace(mask_prob=evaluation.mask_prob)
    return held_out_loss(
        network, opened, names, items, contexts, seed=evaluation.seed, batch_size=evaluation.batch_size
    )
