"""The clock of a table: how many events fall on which day and hour."""

from dataclasses import dataclass

import numpy as np

from relscale.generation.events.config import TimePrior
from relscale.generation.events.laws import DAY
from relscale.generation.events.style import Style

WEEK, YEAR = 7.0, 365.25
"""Days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The days of a database. first : microseconds since 1970 of its first midnight."""

    first: int
    n_days: int

    @property
    def end(self) -> int:
        """Microseconds since 1970 of the midnight after its last day."""
        return self.first + self.n_days * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The intensity of a table's events over a period.

    day_ends : float64 [days + 1], cumulative share of the events from 0 to 1.
    hour_ends : float64 [24], cumulative share within a day; empty where events are at midnights.
    """

    period: Period
    day_ends: np.ndarray
    hour_ends: np.ndarray

    def share(self, moments: np.ndarray) -> np.ndarray:
        """Share of the events before each moment (microseconds since 1970)."""
        days = (moments - self.period.first) / DAY
        return np.interp(days, np.arange(len(self.day_ends)), self.day_ends)

    def moments(self, shares: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """A moment of the day at each share, int64 microseconds; hours are drawn by the day's own law."""
        days = np.interp(shares, self.day_ends, np.arange(len(self.day_ends)))
        whole = np.minimum(days.astype(np.int64), self.period.n_days - 1)
        moments = self.period.first + whole * DAY
        if not len(self.hour_ends):
            return moments
        hours = np.searchsorted(self.hour_ends, rng.random(len(shares))) + rng.random(len(shares))
        return moments + np.minimum((hours * (DAY / 24)).astype(np.int64), DAY - 1)


def sample_clock(
    period: Period, prior: TimePrior, style: Style, *, whole_days: bool, rng: np.random.Generator
) -> Clock:
    """Draw trend and cycles: the rate is exp(trend + yearly + weekly + daily terms).

    Weekly cycles have a level for each day of the week, others are sinusoids. Cycles longer than the period
    do not occur.
    """
    days = np.arange(period.n_days)
    log_rate = style.draw("trend", prior.trend, rng=rng) * days / period.n_days
    amplitudes = [
        float(style.draw(f"cycle {name}", prior.cycle, rng=rng)) for name in ("year", "week", "day")
    ]
    if period.n_days > YEAR:
        log_rate = log_rate + amplitudes[0] * np.sin(2 * np.pi * (days / YEAR + rng.random()))
    levels = amplitudes[1] * rng.standard_normal(7)
    weekday = (period.first // DAY + days + 3) % 7  # 1970-01-01 was a Thursday; 0 is Monday
    ends = np.concatenate([[0.0], np.cumsum(np.exp(log_rate + levels[weekday]))])
    hours = np.exp(2 * amplitudes[2] * np.sin(2 * np.pi * (np.arange(24) / 24 + rng.random())))
    hour_ends = np.cumsum(hours) / hours.sum()
    return Clock(period=period, day_ends=ends / ends[-1], hour_ends=np.empty(0) if whole_days else hour_ends)


def phases(moments: np.ndarray, period: Period) -> np.ndarray:
    """What a column may know of its row's time: position in the period, and year, week and day as angles.

    Returns
    -------
    float32 [7, rows], each of mean about 0 and variance about 1.
    """
    days = (moments - period.first) / DAY
    angles = 2 * np.pi * np.stack([days / YEAR, (moments // DAY + 3) % 7 / 7, days % 1])
    position = (days / period.n_days - 0.5) * np.sqrt(12)
    waves = np.sqrt(2) * np.concatenate([np.sin(angles), np.cos(angles)])
    return np.concatenate([position[None], waves]).astype(np.float32)
