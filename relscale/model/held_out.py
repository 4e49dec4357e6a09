"""The held-out loss: fixed cells of databases that a network is not trained on."""

from collections.abc import Sequence
from typing import Any

from relscale.model.config import EvaluationConfig, SamplerConfig
from relscale.model.items import evaluation_items
from relscale.model.network import RelationalTransformer
from relscale.model.predict import held_out_loss
from relscale.model.store import TokenStore


class HeldOut:
    """Held-out cells, to score a network on as often as wanted; scoring draws nothing and keeps nothing."""

    def __init__(
        self, store: TokenStore, names: Sequence[str], sampler: SamplerConfig, evaluation: EvaluationConfig
    ) -> None:
        """Cells and contexts depend on `evaluation`, the store and the sizes of `sampler` alone."""
        self._store, self._names, self._evaluation = store, names, evaluation
        self._sampler = sampler.replace(mask_prob=evaluation.mask_prob)
        self._items = evaluation_items(
            store,
            names,
            columns_per_type=evaluation.columns_per_type,
            rows_per_column=evaluation.rows_per_column,
            seed=evaluation.seed,
        )

    def scores(self, network: RelationalTransformer) -> dict[str, Any]:
        """The fields of `relscale.model.predict.held_out_loss`."""
        return held_out_loss(
            network,
            self._store,
            self._names,
            self._items,
            self._sampler,
            seed=self._evaluation.seed,
            batch_size=self._evaluation.batch_size,
        )

    def line(self, network: RelationalTransformer) -> dict[str, float]:
        """The same for a metrics line: held_out_loss, and by type where there are columns of it."""
        scores = self.scores(network)
        losses = ("loss", "loss_boolean", "loss_number")
        return {f"held_out_{name}": scores[name] for name in losses if scores[name] is not None}
