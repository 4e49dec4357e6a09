"""A prior over priors: where in each range of the configuration a database lies."""

import zlib

import numpy as np

from relscale.generation.events.config import StylePrior

EDGE = 0.05
"""A database's place in a range keeps this distance from both ends, as shares of the range."""


class Style:
    """A database's place in every range, by the range's name.

    The place of a range depends on its name and the database alone, so that a new range changes no other.
    """

    def __init__(self, prior: StylePrior, *, rng: np.random.Generator) -> None:
        self._enabled = prior.enabled
        self._sum = rng.uniform(*prior.concentration)
        self._key = int(rng.integers(2**62))
        self._places: dict[str, float] = {}

    def draw(
        self, name: str, bounds: tuple[float, float], size: int | None = None, *, rng: np.random.Generator
    ) -> np.ndarray:
        """Numbers of [low, high] by a beta law around the database's place; float64 [size], or one.

        rng : of the table or column that draws.
        """
        low, high = bounds
        if not self._enabled:
            return np.asarray(rng.uniform(low, high, size))
        place = self.place(name)
        return np.asarray(low + (high - low) * rng.beta(self._sum * place, self._sum * (1 - place), size))

    def place(self, name: str) -> float:
        """The database's mean position in a range, from 0 (low) to 1 (high)."""
        if name not in self._places:
            key = [self._key, zlib.crc32(name.encode())]
            self._places[name] = (
                EDGE + (1 - 2 * EDGE) * np.random.Generator(np.random.Philox(key=key)).random()
            )
        return self._places[name]

    def weights(self, name: str, size: int) -> np.ndarray:
        """A database's probabilities of `size` options, uneven if the style is on; float64 [size], sum 1."""
        if not self._enabled:
            return np.full(size, 1 / size)
        weights = np.array([self.place(f"{name} {i}") for i in range(size)]) ** 2
        return weights / weights.sum()
