"""What a run has seen: cells without padding, different ones, and epochs of each database.

Tokens (S) count padding, as PluRel (arXiv:2602.04029) does. Items drawn and cells shown are counted exactly,
per database. How many of them were different is an expectation: items are drawn with replacement, each
cell of a database equally likely, so k draws from n reach n (1 - (1 - 1/n)^k) different ones; for cells shown
in contexts the same formula holds as if each was equally likely to be shown, which overstates it where few
rows enter most contexts. An epoch of a database is as many cells shown as it has.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from relscale.model.items import ItemSequence
from relscale.model.workers import Workers


class Seen:
    """Counts of a run, or of one worker's part in it.

    names             of the D databases
    n_items, n_cells  int64 [D]: their cells that can be asked for, and all of them
    counts            int64 [2, D]: items drawn from each, and cells that contexts showed of each
    """

    def __init__(self, items: ItemSequence, counts: Sequence[Sequence[int]] | None = None) -> None:
        self.names = items.names
        self.n_items = items.cells_per_database()
        self.n_cells = np.array([items.store.database(name).n_cells for name in items.names], np.int64)
        self.counts = np.zeros((2, len(items.names)), np.int64)
        self.counts += 0 if counts is None else np.array(counts, np.int64)

    def add(self, database: np.ndarray, n_cells: np.ndarray) -> None:
        """Contexts of the databases `database`, int [B], with `n_cells`, int [B], cells."""
        np.add.at(self.counts[0], database, 1)
        np.add.at(self.counts[1], database, n_cells)

    def over(self, workers: Workers) -> "Seen":
        """The sum over the workers; all of them call this at the same moment."""
        whole = copy.copy(self)
        whole.counts = np.array(workers.total(self.counts.ravel().tolist()), np.int64).reshape(2, -1)
        return whole

    @property
    def n_shown(self) -> int:
        """Cells that contexts showed, padding left out."""
        return int(self.counts[1].sum())

    def summary(self) -> dict[str, Any]:
        """The fields of a metrics line.

        cells : shown, padding left out.
        unique_cells, unique_items : expected number of different ones.
        epochs_min, epochs_median, epochs_max : over the databases.
        """
        epochs = self._epochs
        return {
            "cells": self.n_shown,
            "unique_cells": round(float(expected_unique(self.n_cells, self.counts[1]).sum())),
            "unique_items": round(float(expected_unique(self.n_items, self.counts[0]).sum())),
            "epochs_min": float(epochs.min()),
            "epochs_median": float(np.median(epochs)),
            "epochs_max": float(epochs.max()),
        }

    def table(self) -> list[dict[str, Any]]:
        """One entry per database, in order: what it holds, what was seen of it."""
        columns = {
            "items": self.n_items,
            "items_drawn": self.counts[0],
            "unique_items": expected_unique(self.n_items, self.counts[0]).round(1),
            "cells": self.n_cells,
            "cells_shown": self.counts[1],
            "unique_cells": expected_unique(self.n_cells, self.counts[1]).round(1),
            "epochs": self._epochs,
        }
        return [
            {"database": name, **{column: values[place].item() for column, values in columns.items()}}
            for place, name in enumerate(self.names)
        ]

    @property
    def _epochs(self) -> np.ndarray:
        return self.counts[1] / self.n_cells


def expected_unique(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """float64: expected number of different ones among k draws with replacement from n."""
    # log1p and expm1: 1 - 1/n has too few digits where n is large.
    many = -n * np.expm1(k * np.log1p(-1.0 / np.maximum(n, 2)))
    return np.where(n > 1, many, np.minimum(n, k))
