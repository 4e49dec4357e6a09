"""The held-out loss: fixed cells of databases that a network is not trained on."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from relscale.model.config import EvaluationConfig, SamplerConfig
from relscale.model.context import SemType
from relscale.model.items import Items, evaluation_items
from relscale.model.levels import Levels, simple_levels
from relscale.model.network import RelationalTransformer
from relscale.model.predict import Predictions, predict_items
from relscale.model.store import TokenStore

_TYPES = {"boolean": SemType.BOOLEAN, "number": SemType.NUMBER}


class HeldOut:
    """Held-out cells, to score a network on as often as wanted; scoring draws nothing and changes nothing."""

    def __init__(
        self, store: TokenStore, names: Sequence[str], sampler: SamplerConfig, evaluation: EvaluationConfig
    ) -> None:
        """Cells and contexts depend on `evaluation`, the store and the sizes of `sampler` alone."""
        self._store, self._names, self._evaluation = store, names, evaluation
        self._sampler = sampler.replace(mask_prob=evaluation.mask_prob)
        self.items = evaluation_items(
            store,
            names,
            columns_per_type=evaluation.columns_per_type,
            rows_per_column=evaluation.rows_per_column,
            seed=evaluation.seed,
        )

    @cached_property
    def levels(self) -> Levels:
        """What simple predictors lose on the same cells."""
        return simple_levels(self._store, self._names, self.items, self._sampler, seed=self._evaluation.seed)

    def predictions(self, network: RelationalTransformer) -> Predictions:
        """The network's predictions of all hidden cells."""
        return predict_items(
            network,
            self._store,
            self._names,
            self.items,
            self._sampler,
            seed=self._evaluation.seed,
            batch_size=self._evaluation.batch_size,
        )

    def scores(self, network: RelationalTransformer) -> dict[str, Any]:
        """The loss of a network, the levels to read it against, and what the contexts show.

        A task is a column of a database. A loss is the mean over tasks of the mean over a task's hidden
        cells, as PluRel (arXiv:2602.04029) scores held-out databases; cells that `evaluation.mask_prob`
        hides count for their own column.

        Returns
        -------
        loss, loss_mean_predictor, loss_entity_mean : of the network, and of the predictors of `levels`.
        *_boolean, *_number : each of them over the tasks of that type; None if there is none.
        relative_loss : loss over loss_mean_predictor.
        column_visible, siblings_visible : shares of the hidden cells whose context shows another cell of
            the column; one in a row with a common parent.
        per_database : {name: mean over its tasks}.
        n_tasks, n_cells : what the means are over.
        """
        cells, levels = self.predictions(network), self.levels
        tasks = _Tasks(self.items, cells)
        found: dict[str, Any] = {}
        for name, losses in (
            ("loss", cells.loss),
            ("loss_mean_predictor", levels.column_mean),
            ("loss_entity_mean", levels.entity_mean),
        ):
            by_task = tasks.means(losses)
            found[name] = _mean(by_task)
            found |= {
                f"{name}_{kind}": _mean(by_task[tasks.sem_type == code]) for kind, code in _TYPES.items()
            }
        by_task = tasks.means(cells.loss)
        return {
            **found,
            "relative_loss": found["loss"] / found["loss_mean_predictor"],
            "column_visible": float((levels.visible.n > 0).mean()),
            "siblings_visible": float((levels.visible.n_siblings > 0).mean()),
            "per_database": {
                self._names[i]: _mean(by_task[tasks.database == i]) for i in np.unique(tasks.database)
            },
            "n_tasks": len(by_task),
            "n_cells": len(cells.loss),
        }

    def line(self, network: RelationalTransformer) -> dict[str, float]:
        """What a metrics line has of it: held_out_loss, and by type where there are columns of it."""
        cells = self.predictions(network)
        tasks = _Tasks(self.items, cells)
        by_task = tasks.means(cells.loss)
        of_type = {f"_{kind}": by_task[tasks.sem_type == code] for kind, code in _TYPES.items()}
        means = {kind: _mean(losses) for kind, losses in {"": by_task, **of_type}.items()}
        return {f"held_out_loss{kind}": mean for kind, mean in means.items() if mean is not None}


class _Tasks:
    """Which column of which database each hidden cell is of.

    database, sem_type  int64 [n_tasks]
    """

    def __init__(self, items: Items, cells: Predictions) -> None:
        owner = np.asarray(items.database)[cells.item]
        task = np.stack([owner, cells.column, cells.sem_type], axis=1)
        tasks, place, self._count = np.unique(task, axis=0, return_inverse=True, return_counts=True)
        self._place = place.ravel()
        self.database, self.sem_type = tasks[:, 0], tasks[:, 2]

    def means(self, losses: np.ndarray) -> np.ndarray:
        """float64 [n_tasks]: mean over each task's cells."""
        return np.bincount(self._place, weights=losses) / self._count


def _mean(losses: np.ndarray) -> float | None:
    return float(losses.mean()) if len(losses) else None
