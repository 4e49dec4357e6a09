"""Declared columns: the values that a column of a given schema may show, and latent values shown so."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import pyarrow as pa

from relscale.generation.columns import transform
from relscale.generation.config import GeneratorConfig
from relscale.generation.draws import draw_count, draw_option

Kind = Literal["integer", "real", "boolean", "label", "text", "date", "timestamp"]
Label = str | int | float

LOG10_WIDTH = (1.0, 3.0)
"""Where nothing else is declared, the middle 98 % of a number's values spans 10 to 1,000 units."""
BULK = (0.01, 0.99)
"""Quantiles that are mapped to the ends of a declared range; what lies outside is moved to these ends."""
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """What a column may hold.

    labels : the values of a "label" column, all of one type.
    low, high : ends of a number's declared range, both allowed.
    limit : largest absolute value that the number's type holds.
    decimals : digits behind the point; 0 for an integer, None for no rounding.
    length : most letters of a text; None for any number.
    """

    kind: Kind
    labels: tuple[Label, ...] = ()
    low: float | None = None
    high: float | None = None
    limit: float = 1e9
    decimals: int | None = None
    length: int | None = None
    nullable: bool = True

    def sample_classes(self, config: GeneratorConfig, *, rng: np.random.Generator) -> int:
        """Classes of the latent column behind it; 0 for a number. Only those of a text are drawn."""
        if self.kind == "label":
            return max(2, len(self.labels))
        if self.kind == "text":
            return draw_count(config.num_categories, rng=rng)
        return 2 if self.kind == "boolean" else 0


def show(
    values: np.ndarray,
    domain: Domain,
    *,
    missing: np.ndarray | None,
    period: tuple[datetime, datetime],
    config: GeneratorConfig,
    rng: np.random.Generator,
) -> pa.Array:
    """Latent values as the cells of a declared column.

    Parameters
    ----------
    values : numbers, or classes for a boolean, a label or a text; [rows].
    missing : mask of empty cells, bool [rows], or None.
    period : first and last moment of a date or timestamp.

    Returns
    -------
    An Arrow array of int64, float64, bool, string or timestamp[us] (midnights for a date). Numbers, dates
    and timestamps are monotone maps of the latent values; each class of a text is one phrase of made-up
    words.
    """
    match domain.kind:
        case "boolean":
            shown = values > 0
        case "label":
            shown = np.array(domain.labels)[np.minimum(values, len(domain.labels) - 1)]
        case "text":
            shown = make_phrases(int(values.max()) + 1, domain.length, rng=rng)[values]
        case "date" | "timestamp":
            shown = _moments(values, period, rng)
            if domain.kind == "date":
                shown = shown.astype("datetime64[D]").astype("datetime64[us]")
        case "integer" | "real":
            shown = _numbers(transform(values, draw_option(config.columns.transforms, rng=rng)), domain, rng)
    return pa.array(shown, mask=missing)


def make_phrases(count: int, length: int | None, *, rng: np.random.Generator) -> np.ndarray:
    """`count` phrases of one to three pronounceable words, at most `length` letters long; str [count].

    They differ from each other, as far as the length allows.
    """
    phrases: dict[str, None] = {}  # in order
    for _ in range(100 * count):
        words = (_word(rng).capitalize() for _ in range(draw_count((1, 3), rng=rng)))
        phrases[" ".join(words)[:length].strip()] = None
        if len(phrases) == count:
            break
    return np.resize(np.array(list(phrases)), count)


def _word(rng: np.random.Generator) -> str:
    return "".join(
        draw_option(CONSONANTS, rng=rng) + draw_option(VOWELS, rng=rng)
        for _ in range(draw_count((2, 3), rng=rng))
    )


def _moments(values: np.ndarray, period: tuple[datetime, datetime], rng: np.random.Generator) -> np.ndarray:
    """Times of the period in the order of the values, more of them late or early; datetime64[us]."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    place = ((np.cumsum(counts) - counts / 2) / len(values))[index]  # equal values share a place
    span = (period[1] - period[0]).total_seconds() * 1e6
    offsets = (place ** math.exp(rng.uniform(-1, 1)) * span).astype(np.int64)
    return np.datetime64(period[0], "us") + offsets.astype("timedelta64[us]")


def _numbers(values: np.ndarray, domain: Domain, rng: np.random.Generator) -> np.ndarray:
    """Numbers moved and stretched into their declared range and rounded; float64 or int64."""
    low, high, decimals = domain.low, domain.high, domain.decimals
    if low is None and high is None and decimals is None:
        return values
    start, end = np.quantile(values, BULK)
    if start == end:
        start, end = values.min(), values.max()
    if low is not None and high is not None:
        width = high - low
    else:
        width = min(10 ** rng.uniform(*LOG10_WIDTH), domain.limit)
    factor = width / (end - start) if end > start else 0.0
    if low is not None:
        origin = low
    elif high is not None:
        origin = high - width
    else:
        origin = np.clip(start * factor, -domain.limit, domain.limit - width)
    placed = origin + (values - start) * factor
    if decimals is not None:
        placed = np.round(placed, decimals)
    floor = low if low is not None else min(-domain.limit, origin)
    ceiling = high if high is not None else max(domain.limit, origin + width)
    placed = np.clip(placed, floor, ceiling)
    return placed.astype(np.int64) if domain.kind == "integer" else placed
