"""The meter: means over the steps since the last logged line, and the pace of the steps."""

import time
from typing import Any


class Meter:
    """Loss and time of steps; constant in size."""

    def __init__(self, loss_sum: float = 0.0, n_losses: int = 0) -> None:
        self._loss_sum, self._n_losses = loss_sum, n_losses
        self._clear_times()
        self.start()

    def _clear_times(self) -> None:
        self._seconds, self._waited, self._n_timed = 0.0, 0.0, 0

    def start(self) -> None:
        """A step starts now; what lies between the last one and now counts for no step."""
        self._started = time.perf_counter()

    def add(self, loss: float, *, waited: float) -> None:
        """A step ends now; `waited` is the part of its seconds in which the feed was waited for."""
        self._seconds += time.perf_counter() - self._started
        self._waited += waited
        self._loss_sum += loss
        self._n_losses += 1
        self._n_timed += 1

    @property
    def state(self) -> dict[str, Any]:
        """What a resumed run must know to log the same losses; the arguments of `Meter`."""
        return {"loss_sum": self._loss_sum, "n_losses": self._n_losses}

    def line(self, tokens_per_step: int, n_cells: int) -> dict[str, float]:
        """The fields of a metrics line, over the steps since the last call.

        `n_cells` is how many cells without padding all workers have computed in them, in this process's time.

        loss : mean of the steps' losses.
        tokens_per_second : over the seconds of the steps alone, all workers together.
        cells_per_second : the same without padding.
        loader_wait_share : share of those seconds in which this worker waited for contexts.
        """
        line = {
            "loss": self._loss_sum / self._n_losses,
            "tokens_per_second": self._n_timed * tokens_per_step / self._seconds,
            "cells_per_second": n_cells / self._seconds,
            "loader_wait_share": self._waited / self._seconds,
        }
        self._loss_sum, self._n_losses = 0.0, 0
        self._clear_times()
        return line
