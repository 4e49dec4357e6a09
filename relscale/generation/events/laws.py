"""Laws of a column's values: hidden numbers of unit variance, shown as what a database would hold."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from scipy.special import ndtr, ndtri
from scipy.stats import nbinom

from relscale.generation.events.config import LawName

TAIL = 1e-4
"""Quantiles beyond which hidden numbers are moved to it: no cell of a heavy tail outweighs its column."""
DAY = 86_400_000_000
"""Microseconds."""
MOST_COUNTED = 2000
MOST_DAYS = 36_525
"""Of a date before its row: a century."""
NUMBERS: tuple[LawName, ...] = ("normal", "lognormal", "pareto", "zero_inflated", "count", "percentage")
"""Laws of numbers that can be added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What a column holds.

    location, scale : of the logarithm for lognormal, pareto and zero_inflated; of the logit for percentage;
        of the logarithm of the days before the row for moment; mean and dispersion for count; low and high
        for identifier.
    shape : exponent of pareto; share of zeros of zero_inflated.
    low, high : ends to which numbers are moved.
    decimals : digits behind the point; 0 for integers, None for no rounding.
    shares : probabilities of the classes of boolean (of true), ordinal, category and text.
    labels : texts of the classes; of an ordinal without labels 1, 2, ...; of a text several of each class.
    quantiles : at equal steps from 0 to 1, of a law that a recipe states; else empty.
    exact : whether the shares of category are those of the rows, as a recipe states them, and not only of the
        law that they are drawn from.
    """

    kind: LawName
    location: float = 0.0
    scale: float = 1.0
    shape: float = 1.0
    low: float | None = None
    high: float | None = None
    decimals: int | None = None
    shares: tuple[float, ...] = ()
    labels: tuple[tuple[str, ...], ...] = ()
    quantiles: tuple[float, ...] = ()
    exact: bool = False

    @property
    def planes(self) -> int:
        """Hidden numbers that a cell takes: two where classes have no order."""
        return 2 if self.kind in ("category", "text") else 1


def show(
    hidden: np.ndarray, law: Law, *, born: np.ndarray, missing: np.ndarray | None, rng: np.random.Generator
) -> pa.Array:
    """Hidden numbers as the cells of a column.

    Parameters
    ----------
    hidden : float32 [planes, rows], of mean 0 and variance 1.
    born : int64 [rows], microseconds since 1970 at which the rows came to be.
    missing : bool [rows], or None.

    Returns
    -------
    An Arrow array of float64, int64, bool, string (dictionary-free) or timestamp[us]. Numbers are monotone
    maps of the hidden ones.
    """
    match law.kind:
        case "boolean":
            return pa.array(hidden[0] > ndtri(1 - law.shares[0]), mask=missing)
        case "category" | "text":
            return _labelled(sectors(hidden, law.shares, exact=law.exact), law, missing, rng)
        case "ordinal":
            classes = np.searchsorted(_cuts(law.shares), hidden[0])
            if law.labels:
                return _labelled(classes, law, missing, rng)
            return pa.array(classes + 1, mask=missing)
        case "moment":
            if law.quantiles:
                days = numbers_of(hidden[0], law)
            else:
                days = np.minimum(numbers_of(hidden[0], replace(law, kind="lognormal")), MOST_DAYS)
            moments = ((born - days * DAY) // DAY * DAY).astype("datetime64[us]")
            return pa.array(moments, mask=missing)
        case "identifier":
            numbers = rng.integers(int(law.location), int(law.scale), size=hidden.shape[1])
            return pa.array(numbers, mask=missing)
    return pa.array(numbers_of(hidden[0], law), mask=missing)


def numbers_of(hidden: np.ndarray, law: Law) -> np.ndarray:
    """Hidden numbers as those of a law of numbers; float64 [rows], or int64 where it has no decimals."""
    limit = -ndtri(TAIL)
    x = np.clip(hidden.astype(np.float64), -limit, limit)
    if law.quantiles:
        x = np.interp(ndtr(x), np.linspace(0, 1, len(law.quantiles)), law.quantiles)
    elif law.kind == "normal":
        x = law.location + law.scale * x
    elif law.kind == "lognormal":
        x = np.exp(law.location + law.scale * x)
    elif law.kind == "pareto":
        x = np.exp(law.location) * (1 - ndtr(x)) ** (-1 / law.shape)
    elif law.kind == "zero_inflated":
        u = (ndtr(x) - law.shape) / (1 - law.shape)
        x = np.where(u > 0, np.exp(law.location + law.scale * ndtri(np.clip(u, TAIL, 1 - TAIL))), 0.0)
    elif law.kind == "percentage":
        x = 100 / (1 + np.exp(-(law.location + law.scale * x)))
    elif law.kind == "count":
        mean, dispersion = law.location, law.scale
        most = int(min(MOST_COUNTED, mean + 12 * math.sqrt(mean + mean**2 / dispersion) + 5))
        cumulative = nbinom.cdf(np.arange(most), dispersion, dispersion / (dispersion + mean))
        x = np.searchsorted(cumulative, ndtr(x)).astype(np.float64)
    if law.low is not None or law.high is not None:
        x = np.clip(x, law.low, law.high)
    if law.decimals is not None:
        x = np.round(x, law.decimals)
    return x.astype(np.int64) if law.decimals == 0 else x


def sectors(hidden: np.ndarray, shares: tuple[float, ...], *, exact: bool) -> np.ndarray:
    """Classes without an order: sectors of a circle around the hidden pair; int64 [rows].

    The angle of a pair of independent normal numbers is uniform, so class k has about share k of the rows;
    if `exact`, the angles' ranks are cut in their place, and it has that share whatever their law.
    """
    turn = np.arctan2(hidden[1], hidden[0]) / (2 * np.pi) + 0.5
    if exact:
        turn = (np.argsort(np.argsort(turn, kind="stable")) + 0.5) / len(turn)
    return np.minimum(np.searchsorted(np.cumsum(shares), turn), len(shares) - 1)


def classes_of(hidden: np.ndarray, law: Law) -> np.ndarray | None:
    """Class numbers of a category, text, ordinal or boolean column, or None for a number."""
    if law.kind in ("category", "text"):
        return sectors(hidden, law.shares, exact=law.exact)
    if law.kind == "ordinal":
        return np.searchsorted(_cuts(law.shares), hidden[0])
    return None


def _cuts(shares: tuple[float, ...]) -> np.ndarray:
    return ndtri(np.clip(np.cumsum(shares)[:-1], TAIL, 1 - TAIL))


def _labelled(
    classes: np.ndarray, law: Law, missing: np.ndarray | None, rng: np.random.Generator
) -> pa.Array:
    """Each class by one of its labels, drawn anew for each row where it has several."""
    counts = np.array([len(options) for options in law.labels])
    starts = np.cumsum(counts) - counts
    index = starts[classes]
    if counts.max() > 1:
        index = index + (rng.random(len(classes)) * counts[classes]).astype(np.int64)
    words = pa.array([label for options in law.labels for label in options])
    return pa.DictionaryArray.from_arrays(pa.array(index, mask=missing), words).dictionary_decode()
