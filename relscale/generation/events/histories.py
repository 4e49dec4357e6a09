"""What a row can know of its entity's earlier events."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Whose events, -1 for nobody's, and when; int64 [events]."""

    entity: np.ndarray
    born: np.ndarray


def earlier(
    told: str, rows: Moments, events: Moments, numbers: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each row, of the events of its entity at strictly earlier times: their number, or of those whose
    number is known the sum, mean or last.

    Parameters
    ----------
    told : "count", "sum", "mean" or "last".
    numbers, known : of each event; float64 and bool [events].

    Returns
    -------
    value : float64 [rows]. empty : bool [rows], where no such event has a mean or a last; value is 0 there.
    Rows of nobody have no events.

    Cost: O((rows + events) log events), a sort and two searches in running sums.
    """
    times = np.unique(np.concatenate([rows.born, events.born]))

    def place(of: Moments) -> np.ndarray:
        return of.entity * (len(times) + 1) + np.searchsorted(times, of.born)

    order = np.argsort(place(events), kind="stable")
    places = place(events)[order]
    somebody = rows.entity >= 0
    start = np.where(somebody, np.searchsorted(places, rows.entity * (len(times) + 1)), 0)
    stop = np.where(somebody, np.searchsorted(places, place(rows)), 0)
    if told == "count":
        return (stop - start).astype(np.float64), np.zeros(len(stop), bool)
    known = known[order]
    found = np.where(known, numbers[order], 0.0)
    total, count = (np.concatenate([[0.0], np.cumsum(what)]) for what in (found, known))
    value, many = total[stop] - total[start], count[stop] - count[start]
    if told == "sum":
        return value, np.zeros(len(stop), bool)
    empty = many == 0
    if told == "mean":
        value = value / np.maximum(many, 1)
    elif len(found):
        latest = np.maximum.accumulate(np.where(known, np.arange(len(order)), 0))
        value = found[latest[stop - 1]]  # not of the entity where nothing is known
    return np.where(empty, 0.0, value), empty
