"""The plan of a database: its tables, keys and columns, before any row is drawn."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from relscale.generation.draws import draw_count, draw_power_law
from relscale.generation.events.config import EventsConfig
from relscale.generation.events.laws import Law
from relscale.generation.events.style import Style

Kind = Literal["lookup", "entity", "event", "detail", "link"]
"""lookup: a few rows that others refer to. entity: who or what acts or is acted upon. event: what an entity
does, in time. detail: parts of an event. link: pairs of two entities, none twice."""
Role = Literal["reference", "self", "actor", "partner", "spine"]
"""reference: of an entity to another. self: to an earlier row of the same table. actor: whose event it is.
partner: who else takes part. spine: the event that a detail belongs to."""

MAX_KEYS = 5
"""Foreign keys of a table in the transformer's context."""
LOOKUP_ROWS = (4, 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPlan:
    """A foreign key to table number `parent`; null_share of its cells are empty.

    root_share : of a key to its own table, where a recipe states it; None for what the prior draws.
    """

    name: str = ""
    parent: int
    role: Role
    null_share: float = 0.0
    root_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlan:
    """A column that is neither key nor time of its row.

    history : of an event, what the column tells of its entity's earlier events ("count", "sum", "mean",
        "last"); empty for a column by a mechanism and a law.
    missing_share : of its cells, where a recipe states it; None for what the prior draws.
    """

    name: str
    law: Law
    history: str = ""
    missing_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan:
    """A table.

    time_col : None where rows do not show when they came to be. whole_days : they come to be at midnights.
    spread, correlations : of its rows' popularity and of its numbers, where a recipe states them.
    """

    name: str = ""
    kind: Kind
    n_rows: int
    keys: tuple[KeyPlan, ...]
    n_columns: int
    columns: tuple[ColumnPlan, ...] = ()
    pkey: str = "id"
    time_col: str | None = None
    whole_days: bool = False
    spread: float | None = None
    correlations: tuple[tuple[float, ...], ...] = ()

    @property
    def is_event(self) -> bool:
        """Whether its rows happen at a time."""
        return self.kind in ("event", "detail", "link")

    @property
    def main(self) -> int | None:
        """Number of the key to the entity whose history the table holds, or None."""
        order: dict[Role, int] = {"actor": 0, "partner": 1, "spine": 2}
        ranked = sorted(
            (order[key.role], j) for j, key in enumerate(self.keys) if key.role in order and self.is_event
        )
        return ranked[0][1] if ranked else None


@dataclass(slots=True, kw_only=True)
class _Draft:
    kind: Kind
    keys: list[tuple[int, Role]] = field(default_factory=list)

    def parents(self) -> set[int]:
        return {parent for parent, _ in self.keys}


def sample_structure(config: EventsConfig, style: Style, *, rng: np.random.Generator) -> list[TablePlan]:
    """Draw tables and keys, parents before children; names and columns are still missing."""
    n_tables = draw_count(config.num_tables, rng=rng)
    n_events = int(np.clip(round(n_tables * rng.uniform(0.3, 0.6)), 1, n_tables - 1))
    drafts = _entities(n_tables - n_events, config, rng)
    for number in range(n_events):
        drafts.append(_events(drafts, number == 0, config, rng))
    return [_table(draft, number, config, style, rng) for number, draft in enumerate(drafts)]


def _entities(count: int, config: EventsConfig, rng: np.random.Generator) -> list[_Draft]:
    n_lookups = int(rng.binomial(count - 1, 0.3))
    drafts = [_Draft(kind="lookup") for _ in range(n_lookups)]
    for number in range(n_lookups, count):
        draft = _Draft(kind="entity")
        n_references = min(number, int(rng.choice(3, p=[0.45, 0.4, 0.15])))
        draft.keys = [(int(p), "reference") for p in rng.choice(number, n_references, replace=False)]
        if config.keys.enabled and rng.random() < config.keys.self_prob:
            draft.keys.append((number, "self"))
        drafts.append(draft)
    return drafts


def _events(drafts: list[_Draft], is_first: bool, config: EventsConfig, rng: np.random.Generator) -> _Draft:
    """A table of things that happen; the first one is of an entity's own events."""
    entities = [i for i, draft in enumerate(drafts) if draft.kind == "entity"]
    known = [i for i, draft in enumerate(drafts) if draft.kind in ("entity", "lookup")]
    kinds: list[Kind] = ["event", "event", "event", "detail", "detail"]
    if config.keys.enabled and len(entities) > 1 and rng.random() < config.keys.link_prob:
        kinds += ["link", "link"]
    kind: Kind = "event" if is_first else kinds[int(rng.integers(len(kinds)))]
    draft = _Draft(kind=kind)
    if kind == "link":
        draft.keys = [(int(p), "partner") for p in rng.choice(entities, 2, replace=False)]
        return draft
    if kind == "event":
        actor = entities[int(rng.integers(len(entities)))]
        draft.keys.append((actor, "actor"))
        if config.keys.enabled and rng.random() < config.keys.twin_prob:
            draft.keys.append((actor, "partner"))
    else:
        events = [i for i, other in enumerate(drafts) if other.kind == "event"]
        draft.keys.append((events[int(rng.integers(len(events)))], "spine"))
    others = [i for i in known if i not in draft.parents()]
    n_partners = min(len(others), int(rng.choice(4, p=[0.15, 0.45, 0.28, 0.12])))
    draft.keys += (
        [(int(p), "partner") for p in rng.choice(others, n_partners, replace=False)] if others else []
    )
    return draft


def _table(
    draft: _Draft, number: int, config: EventsConfig, style: Style, rng: np.random.Generator
) -> TablePlan:
    n_rows = draw_rows(draft.kind, config, style, rng=rng)
    n_columns = int(draw_power_law(config.num_columns, config.num_columns_exponent, 1, rng=rng)[0])
    shows_time = draft.kind in ("event", "detail", "link") or (
        draft.kind == "entity" and config.time.enabled and rng.random() < config.time.entity_time_prob
    )
    keys = [
        KeyPlan(parent=parent, role=role, null_share=_null_share(j, role, draft, config, style, rng))
        for j, (parent, role) in enumerate(draft.keys[:MAX_KEYS])
    ]
    return TablePlan(
        kind=draft.kind,
        n_rows=n_rows,
        keys=tuple(keys),
        n_columns=min(n_columns, 4) if draft.kind == "lookup" else n_columns,
        time_col="time" if shows_time else None,
        # Without events in time only pairs come at midnights.
        whole_days=bool(rng.random() < config.time.whole_days_prob)
        and (config.time.enabled or draft.kind == "link"),
    )


def draw_rows(kind: Kind, config: EventsConfig, style: Style, *, rng: np.random.Generator) -> int:
    """Rows of a table of a kind, log-uniform; of lookups uniform."""
    if kind == "lookup":
        return draw_count(LOOKUP_ROWS, rng=rng)
    happens = kind in ("event", "detail", "link")
    name = "rows_activity" if happens else "rows_entity"
    low, high = config.rows_activity if happens else config.rows_entity
    return round(float(np.exp(style.draw(name, (np.log(low), np.log(high)), rng=rng))))


def draw_null_share(config: EventsConfig, style: Style, *, rng: np.random.Generator) -> float:
    """Share of empty cells of a key that may have some; 0 for most."""
    if not config.keys.enabled or rng.random() >= config.keys.nullable_prob:
        return 0.0
    return float(style.draw("null_share", config.keys.null_share, rng=rng))


def _null_share(
    place: int, role: Role, draft: _Draft, config: EventsConfig, style: Style, rng: np.random.Generator
) -> float:
    """Of a key that may be empty: never the first, nor one of a pair, nor to the same table (its roots
    are)."""
    if role == "self" or place == 0 or draft.kind == "link":
        return 0.0
    return draw_null_share(config, style, rng=rng)
