"""What a driver tells Prometheus through Ray's metrics: databases, tokens, trials, spending.

Ray exports them at the metrics port of the driver's node, with the prefix ray_ and the tag WorkerId, as long
as the driver lives. Without a connected Ray nothing is counted.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

STATES = ("waiting", "running", "done", "failed")
"""Of a trial."""
_STUDY: ContextVar[str] = ContextVar("study", default="none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A metric: its kind in `ray.util.metrics`, meaning, and tags beside `study`."""

    kind: str
    meaning: str
    tags: tuple[str, ...] = ()


SERIES = {
    "relscale_databases_total": Series(
        kind="Counter", meaning="Databases made, by outcome: done or refused.", tags=("outcome",)
    ),
    "relscale_tokens_total": Series(
        kind="Counter", meaning="Tokens trained; those of a resumed trial's earlier sittings come at once."
    ),
    "relscale_trials": Series(kind="Gauge", meaning="Trials of the running grid, by state.", tags=("state",)),
    "relscale_dollars_total": Series(
        kind="Counter",
        meaning="Estimated dollars: hours of living nodes by group times cluster.dollars_per_hour.",
    ),
    "relscale_dollars_per_hour": Series(kind="Gauge", meaning="What the living nodes cost."),
}
"""Names without Ray's prefix."""


@contextlib.contextmanager
def of_study(name: str) -> Iterator[None]:
    """Tag what is counted in the block with the name of a study."""
    token = _STUDY.set(name)
    try:
        yield
    finally:
        _STUDY.reset(token)


def count_database(*, admitted: bool) -> None:
    """A database was made, or its seed refused."""
    _add("relscale_databases_total", 1, outcome="done" if admitted else "refused")


def count_tokens(tokens: float) -> None:
    """So many tokens were trained."""
    _add("relscale_tokens_total", tokens)


def show_trials(counts: Mapping[str, int]) -> None:
    """How many trials of the grid are in each of `STATES`."""
    for state in STATES:
        _set("relscale_trials", counts.get(state, 0), state=state)


def count_dollars(dollars: float, *, per_hour: float) -> None:
    """So much was spent since the last call, and that is what an hour costs now."""
    _add("relscale_dollars_total", dollars)
    _set("relscale_dollars_per_hour", per_hour)


def _add(name: str, amount: float, **tags: str) -> None:
    if amount > 0 and _connected():
        _metric(name).inc(amount, tags={"study": _STUDY.get(), **tags})


def _set(name: str, value: float, **tags: str) -> None:
    if _connected():
        _metric(name).set(value, tags={"study": _STUDY.get(), **tags})


def _connected() -> bool:
    """Whether this process has Ray, without importing it."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


@cache
def _metric(name: str) -> Any:
    from ray.util import metrics

    series = SERIES[name]
    return getattr(metrics, series.kind)(name, series.meaning, tag_keys=("study", *series.tags))
