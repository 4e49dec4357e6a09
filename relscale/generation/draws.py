"""Draws from the plain ranges and choices of a prior."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def draw_count(bounds: tuple[int, int], *, rng: np.random.Generator) -> int:
    """A uniform integer, both ends included."""
    return int(rng.integers(bounds[0], bounds[1], endpoint=True))


def draw_counts(bounds: tuple[int, int], size: int, *, rng: np.random.Generator) -> np.ndarray:
    """`size` uniform integers as int64, both ends included."""
    return rng.integers(bounds[0], bounds[1], size=size, endpoint=True)


def draw_option(options: Sequence[T], *, rng: np.random.Generator) -> T:
    """One of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def draw_options(options: Sequence[T], size: int, *, rng: np.random.Generator) -> list[T]:
    """`size` independent options, all equally likely."""
    return [options[i] for i in rng.integers(len(options), size=size)]


def draw_power_law(
    bounds: tuple[int, int], exponent: float, size: int, *, rng: np.random.Generator
) -> np.ndarray:
    """`size` integers k in [low, high] as int64 with P(k) proportional to k ** -exponent."""
    values = np.arange(bounds[0], bounds[1] + 1)
    weights = values**-exponent
    return rng.choice(values, size=size, p=weights / weights.sum())
