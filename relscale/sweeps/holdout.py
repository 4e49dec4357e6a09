"""The held-out loss: fixed cells of databases that no trial trains on."""

from pathlib import Path
from typing import Any

from relscale.model.config import EvaluationConfig, SamplerConfig


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
    The fields of `relscale.model.held_out.HeldOut.scores`, losses in its units (Huber on z-scores, binary
    cross-entropy in nats). Cells and contexts depend on `evaluation` and the store alone, so that trials
    are compared on equal ground.
    """
    from relscale.model.checkpoint import load_model
    from relscale.model.held_out import HeldOut
    from relscale.model.store import TokenStore

    network, _ = load_model(checkpoint)
    return HeldOut(TokenStore.open(store), names, sampler, evaluation).scores(network)
