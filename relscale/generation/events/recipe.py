"""Recipes: what a real database is like, as aggregates alone, in place of a random plan.

A recipe holds names, keys, row counts, quantiles, shares of frequent labels, missing shares and rank
correlations; no row, and no text or label that stands in few rows. What it does not state, as where only
the schema is known, each database draws from the prior. Databases made from it have its shape and other
functions.
"""

import graphlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy.stats import beta, lognorm

from relscale.generation.config import Count, Finite, NotNegative, Positive, Share
from relscale.generation.domains import make_phrases
from relscale.generation.draws import draw_option
from relscale.generation.events.config import EventsConfig, LawName
from relscale.generation.events.laws import NUMBERS, TAIL, Law
from relscale.generation.events.meaning import entry_named, law_of, plain_entry
from relscale.generation.events.plan import (
    MAX_KEYS,
    ColumnPlan,
    KeyPlan,
    Kind,
    Role,
    TablePlan,
    draw_null_share,
    draw_rows,
)
from relscale.generation.events.style import Style
from relscale.generation.sql import TABLE_NAME
from relscale.platform.config import Config, parse_config
from relscale.platform.errors import ConfigError

QUANTILES = 33
"""Of a law that is drawn between declared ends."""
FEW_DIGITS = 1e4
"""Columns whose type holds no such number are drawn between its ends."""
INVENTED_CLASSES = 6
"""Classes of invented words that stand for a text column, of which a recipe holds nothing."""
LAWS_OF_KIND: Mapping[str, Sequence[LawName]] = {
    "number": NUMBERS,
    "boolean": ("boolean",),
    "moment": ("moment",),
}
"""Laws of which a column's is drawn where a recipe states none."""


class KeyRecipe(Config):
    """A foreign key."""

    name: str
    parent: str
    null_share: Share | None = None
    """Of its cells; null is drawn. Of a key to its own table, the share of its roots; that whose event a row
    is has no empty cells."""


class ColumnRecipe(Config):
    """A column that is neither key nor time of its row."""

    name: str
    kind: Literal["number", "boolean", "label", "text", "moment"]
    missing_share: Share | None = None
    """Of its cells; null is drawn."""
    quantiles: tuple[Finite, ...] = ()
    """Of a number, at equal steps from 0 to 1, the ends moved inwards; of a moment, of the days before the
    row. Without any the law is drawn."""
    low: Finite | None = None
    high: Finite | None = None
    """Ends of a number whose law is drawn."""
    limit: Positive | None = None
    """Largest absolute value of such a number."""
    decimals: Count | None = None
    """Digits behind its point; null is any number of them."""
    whole: bool = False
    """Whether its numbers are integers."""
    labels: dict[str, Share | None] = Field(default_factory=dict)
    """Shares of the labels that stand in enough rows; of a boolean, of "true". Without all of them, they are
    drawn."""

    @model_validator(mode="after")
    def _law_makes_sense(self) -> "ColumnRecipe":
        if len(self.quantiles) == 1:
            raise ValueError(f"column '{self.name}' has fewer than 2 quantiles")
        if list(self.quantiles) != sorted(self.quantiles):
            raise ValueError(f"the quantiles of column '{self.name}' are not in order")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"the ends of column '{self.name}' are not in order")
        if self.kind == "boolean" and not set(self.labels) <= {"true"}:
            raise ValueError(f"column '{self.name}' states shares of other labels than \"true\"")
        if self.kind == "label" and not self.labels:
            raise ValueError(f"column '{self.name}' states no label; give it some")
        shares = list(self.labels.values())
        if self.kind == "label" and None not in shares and not sum(filter(None, shares)) > 0:
            raise ValueError(f"column '{self.name}' states no share of a label above 0")
        return self


class TableRecipe(Config):
    """A table."""

    name: str
    rows: Count | None = None
    """Rows; null is drawn."""
    pkey: str = "id"
    time_col: str | None = None
    whole_days: bool = False
    keys: tuple[KeyRecipe, ...] = ()
    columns: tuple[ColumnRecipe, ...] = ()
    spread: NotNegative | None = None
    """Standard deviation of the logarithm of the numbers of rows that refer to one of this table, beyond
    chance; null is drawn."""
    correlations: tuple[tuple[Finite, ...], ...] = ()
    """Rank correlations of its number columns, in their order; empty for none."""

    @model_validator(mode="after")
    def _names_are_usable(self) -> "TableRecipe":
        if not re.fullmatch(TABLE_NAME, self.name):
            raise ValueError(
                f"a table cannot be named '{self.name}', since files are named after it; rename it"
            )
        names = [self.pkey, *(key.name for key in self.keys), *(column.name for column in self.columns)]
        names += [self.time_col] if self.time_col else []
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"table '{self.name}' has two columns named '{twice[0]}'; rename one")
        return self

    @model_validator(mode="after")
    def _square(self) -> "TableRecipe":
        n_numbers = sum(column.kind == "number" for column in self.columns)
        sizes = {len(row) for row in self.correlations} | {len(self.correlations)}
        if self.correlations and sizes != {n_numbers}:
            raise ValueError(f"table '{self.name}' has {n_numbers} numbers, but not so many correlations")
        return self


class Recipe(Config):
    """A database as aggregates."""

    name: str
    span_days: Positive | None = None
    """Days from its first row to its last; null is drawn."""
    tables: tuple[TableRecipe, ...]

    @model_validator(mode="after")
    def _keys_lead_somewhere(self) -> "Recipe":
        names = [table.name for table in self.tables]
        if len(set(names)) != len(names):
            raise ValueError("a table is named twice")
        for table in self.tables:
            for key in table.keys:
                if key.parent not in names:
                    raise ValueError(f"table '{table.name}' refers to the unknown table '{key.parent}'")
            if len(table.keys) > MAX_KEYS:
                raise ValueError(f"table '{table.name}' has more than {MAX_KEYS} keys; leave some out")
        try:
            self.order()
        except graphlib.CycleError as error:
            raise ValueError(f"the keys of {', '.join(dict.fromkeys(error.args[1]))} form a cycle") from None
        if not any(table.time_col and table.keys for table in self.tables):
            raise ValueError(
                "no table has both keys and a time, so nothing happens in this database; give one a time"
            )
        return self

    def order(self) -> list[int]:
        """Table numbers, parents before children; a key to its own table does not count."""
        numbers = {table.name: number for number, table in enumerate(self.tables)}
        parents = {
            number: [numbers[key.parent] for key in table.keys if key.parent != table.name]
            for number, table in enumerate(self.tables)
        }
        return list(graphlib.TopologicalSorter(parents).static_order())


def parse_recipe(text: str) -> Recipe:
    """A recipe from JSON; ConfigError says what is wrong with it."""
    try:
        settings = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"the recipe is not JSON ({error}); give a RelBench folder, or a SQL schema named *.sql."
        ) from error
    return parse_config(Recipe, settings, source="the recipe")


def plans_of(
    recipe: Recipe, config: EventsConfig, style: Style, *, rng: np.random.Generator
) -> list[TablePlan]:
    """The tables of a recipe, parents before children.

    A table with keys and a time is of events, or of details where one of its parents is; one with keys and
    without a time is of details too, if a parent is of events. All others are entities. The key of an event
    to the largest table of entities leads to its actor. Details without a time are given that of their event:
    rows that are always there may not refer to later ones.
    """
    order = recipe.order()
    place = {recipe.tables[number].name: i for i, number in enumerate(order)}
    plans: list[TablePlan] = []
    for number in order:
        table = recipe.tables[number]
        parents = {key.name: plans[place[key.parent]] for key in table.keys if key.parent != table.name}
        events = [name for name, plan in parents.items() if plan.is_event]
        kind: Kind = "entity"
        if events:
            kind = "detail"
        elif table.keys and table.time_col and parents:
            kind = "event"
        first = events[0] if events else max(parents, key=lambda name: parents[name].n_rows, default=None)
        keys = sorted(table.keys, key=lambda key: key.name != first)
        plans.append(
            TablePlan(
                name=table.name,
                kind=kind,
                n_rows=table.rows or draw_rows(kind, config, style, rng=rng),
                keys=tuple(_key(key, kind, first, table, place, config, style, rng) for key in keys),
                n_columns=len(table.columns),
                columns=tuple(_column(column, config, style, rng) for column in table.columns),
                pkey=table.pkey,
                time_col=table.time_col or _borrowed_time(table, parents[events[0]] if events else None),
                whole_days=table.whole_days,
                spread=table.spread,
                correlations=table.correlations,
            )
        )
    return plans


def _borrowed_time(table: TableRecipe, event: TablePlan | None) -> str | None:
    if event is None or event.time_col is None:
        return None
    taken = {table.pkey, *(key.name for key in table.keys), *(column.name for column in table.columns)}
    return event.time_col if event.time_col not in taken else f"{event.time_col}_of_{event.name}"


def _key(
    key: KeyRecipe,
    kind: Kind,
    first: str | None,
    table: TableRecipe,
    place: dict[str, int],
    config: EventsConfig,
    style: Style,
    rng: np.random.Generator,
) -> KeyPlan:
    role: Role = "reference" if kind == "entity" else "partner"
    if key.name == first and kind != "entity":
        role = "spine" if kind == "detail" else "actor"
    if key.parent == table.name:
        role = "self"
    drawn = draw_null_share(config, style, rng=rng) if key.null_share is None else key.null_share
    return KeyPlan(
        name=key.name,
        parent=place[key.parent],
        role=role,
        null_share=0.0 if role in ("spine", "actor", "self") else drawn,
        root_share=key.null_share if role == "self" else None,
    )


def _column(column: ColumnRecipe, config: EventsConfig, style: Style, rng: np.random.Generator) -> ColumnPlan:
    law = _drawn_law(column, config, style, rng) if _is_open(column) else _stated_law(column)
    return ColumnPlan(name=column.name, law=law, missing_share=column.missing_share)


def _is_open(column: ColumnRecipe) -> bool:
    """Whether a recipe leaves the law of a column to the prior."""
    if column.kind == "text":
        return True
    if column.kind in ("number", "moment"):
        return not column.quantiles
    return not column.labels or None in column.labels.values()


def _stated_law(column: ColumnRecipe) -> Law:
    shares = np.array(list(column.labels.values()), float)
    match column.kind:
        case "number":
            decimals = 0 if column.whole else column.decimals
            return Law(kind="normal", quantiles=column.quantiles, decimals=decimals)
        case "moment":
            return Law(kind="moment", quantiles=column.quantiles)
        case "boolean":
            return Law(kind="boolean", shares=(float(shares[0]),))
    return Law(
        kind="category",
        labels=tuple((label,) for label in column.labels),
        shares=tuple((shares / shares.sum()).tolist()),
        exact=True,
    )


def _drawn_law(column: ColumnRecipe, config: EventsConfig, style: Style, rng: np.random.Generator) -> Law:
    """A law of the prior that suits what is known: of a column so named, or else any of its kind."""
    if column.kind == "label":
        entry: dict[str, Any] = {"law": "category", "labels": list(column.labels)}
        return law_of(entry, config, style, rng=rng, all_classes=True)
    if column.kind == "text":
        phrases = make_phrases(3 * INVENTED_CLASSES, None, rng=rng).tolist()
        return Law(
            kind="text",
            labels=tuple(tuple(phrases[3 * k : 3 * k + 3]) for k in range(INVENTED_CLASSES)),
            shares=(1 / INVENTED_CLASSES,) * INVENTED_CLASSES,
        )
    known = entry_named(column.name)
    if known is None or known["law"] not in LAWS_OF_KIND[column.kind]:
        known = plain_entry(draw_option(LAWS_OF_KIND[column.kind], rng=rng), config, rng=rng)
    if column.kind != "number":
        return law_of(known, config, style, rng=rng)
    low, high = column.low, column.high
    if column.limit is not None and column.limit < FEW_DIGITS:  # a wide law would lie beyond it
        low = -column.limit if low is None else low
        high = column.limit if high is None else high
    if low is None and high is None:
        law = law_of(known, config, style, rng=rng)
        law = replace(law, decimals=0 if column.whole else column.decimals or law.decimals or None)
    else:
        law = _between(low, high, rng)
        law = replace(law, decimals=0 if column.whole else column.decimals)
    if column.limit is None:
        return law
    ends = (-column.limit if law.low is None else law.low), (column.limit if law.high is None else law.high)
    return replace(law, low=max(ends[0], -column.limit), high=min(ends[1], column.limit))


def _between(low: float | None, high: float | None, rng: np.random.Generator) -> Law:
    """A law of numbers that keeps to declared ends: beta between two, lognormal from one on."""
    steps = np.linspace(0, 1, QUANTILES)
    if low is not None and high is not None:
        a, b = np.exp(rng.uniform(-1, 2, 2))
        inside = low + (high - low) * beta.ppf(steps, a, b)
        return Law(kind="normal", quantiles=tuple(inside.tolist()))
    location, scale = rng.uniform(-1, 8), rng.uniform(0.2, 1.5)
    away = lognorm.ppf(np.linspace(TAIL, 1 - TAIL, QUANTILES), s=scale, scale=np.exp(location))
    numbers = low + away if low is not None else (high or 0.0) - away[::-1]
    return Law(kind="normal", quantiles=tuple(numbers.tolist()))


def correlated(numbers: np.ndarray, correlations: Sequence[Sequence[float]]) -> np.ndarray:
    """Hidden numbers turned so that they have given rank correlations, each as near to itself as that allows.

    Parameters
    ----------
    numbers : float32 [k, rows], of variance 1.
    correlations : [k, k], of ranks; made positive definite first. For normal numbers a rank correlation r
        belongs to a correlation of 2 sin(pi r / 6) (Pearson 1907).
    """
    target = 2 * np.sin(np.pi / 6 * np.asarray(correlations, float))
    np.fill_diagonal(target, 1.0)
    values, vectors = np.linalg.eigh(target)
    target = (vectors * np.maximum(values, 1e-3)) @ vectors.T
    scale = np.sqrt(np.diag(target))
    wanted = np.linalg.cholesky(target / np.outer(scale, scale))
    centred = numbers - numbers.mean(axis=1, keepdims=True)
    own = np.linalg.cholesky(np.cov(centred, bias=True) + 1e-6 * np.eye(len(numbers)))
    return (wanted @ np.linalg.solve(own, centred)).astype(np.float32)
