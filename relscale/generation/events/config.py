"""The prior relational-events as plain values: what is drawn for each database, table and column.

Six mechanisms can be switched off alone: traits, time, keys, columns, meaning and style, and the forecast
tasks as a seventh. What takes their place then is stated at each `enabled`.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from relscale.generation.config import Count, Options, Plural, Positive, Range, Share, check_splits
from relscale.platform.config import Config

Mechanism = Literal["linear", "network", "tree", "threshold", "fourier", "product"]
Aggregate = Literal["exists", "count", "sum", "mean", "max", "next", "churn"]
LawName = Literal[
    "normal", "lognormal", "pareto", "zero_inflated", "count", "percentage", "ordinal", "boolean", "category",
    "text", "moment", "identifier",
]  # fmt: skip
Naming = Literal["plain", "plural", "abbreviated", "camel", "upper", "meaningless"]


class TraitPrior(Config):
    """Hidden traits: a vector for each entity row that is never written and drives what is."""

    enabled: bool = True
    """Off: rows share nothing with their parents but what stands in the parents' columns."""
    dimensions: Range[Count] = (4, 8)
    """Numbers in a trait."""
    community_share: Range[Share] = (0.0, 0.5)
    """Share of a trait's variance that its community explains: homophily."""
    parent_share: Range[Share] = (0.1, 0.6)
    """Share that the traits of the parent rows explain."""
    event_share: Range[Share] = (0.5, 0.99)
    """Share of an event's hidden state that the traits of its entities explain; the rest is the event's own.
    The less it is, the more of an entity's past rows are needed to know its trait."""
    drift_share: Range[Share] = (0.0, 0.9)
    """Share of an entity's part in its events that changes from event to event; the rest is constant."""
    persistence: Range[Share] = (0.7, 0.98)
    """Correlation of the changing part from one event of an entity to its next."""
    interaction_share: Range[Share] = (0.0, 0.3)
    """Share of the entities' part that belongs to the pair: the product of both traits."""
    rate_spread: Range[Annotated[float, Field(ge=0, le=3)]] = (0.2, 1.2)
    """Standard deviation of the logarithm of an entity's event rate, half of which its trait explains."""


class TimePrior(Config):
    """Events in time: a point process for each entity."""

    enabled: bool = True
    """Off: the events of a table at equal gaps, their entities drawn at each; all entities there from the
    start; no column depends on the time."""
    span_days: Range[Positive] = (120.0, 5000.0)
    """Length of a database's period, log-uniform."""
    whole_days_prob: Share = 0.4
    """Probability that the times of a table are midnights."""
    entity_time_prob: Share = 0.4
    """Probability that an entity table shows when its rows came to be."""
    founders: Range[Share] = (0.3, 0.9)
    """Share of entities that are there from the start; the others come uniformly in time."""
    leaving: Range[Share] = (0.0, 0.5)
    """Share of entities that end before the period does."""
    trend: Range[Annotated[float, Field(ge=-2, le=2)]] = (-0.7, 0.7)
    """Change of the logarithm of the rate over the period."""
    rate_trend: Range[Annotated[float, Field(ge=0, le=5)]] = (0.0, 2.0)
    """Standard deviation of an entity's own such change while it lives: some rise and others fade."""
    cycle: Range[Share] = (0.0, 0.8)
    """Amplitude of the yearly, weekly and daily cycles of the rate, each drawn alone."""
    burst_share: Range[Annotated[float, Field(ge=0, le=0.8)]] = (0.0, 0.5)
    """Share of events that follow another one of the same entity after a short lag (self-excitation)."""
    burst_lag: Range[Positive] = (0.001, 0.02)
    """Mean of that lag, in periods."""
    regular_prob: Share = 0.25
    """Probability that the events of a table's entities come at even gaps, as payments do."""


class KeyPrior(Config):
    """Foreign keys: communities, popularity, loyalty, and keys of several kinds."""

    enabled: bool = True
    """Off: communities alone, one for all of time, no nulls, no self-references, no junctions, one key for
    each pair of tables."""
    levels: Range[Count] = (1, 3)
    """Levels of the hierarchy of communities, which all tables of a database share."""
    splits: Range[Plural] = (2, 3)
    """Communities into which one splits at each level."""
    diagonal: Range[Share] = (0.2, 0.95)
    """Share of links that stay in the community that matches."""
    coupling: Range[Share] = (0.3, 1.0)
    """Probability that a further key of a row follows the row's own community, not one drawn for it alone."""
    moving_prob: Share = 0.2
    """Probability that the communities which match a key's change over time."""
    popularity: Range[Annotated[float, Field(ge=0, le=3)]] = (0.0, 1.5)
    """Standard deviation of the logarithm of an entity's weight within its community."""
    loyalty: Range[Annotated[float, Field(ge=0, lt=1)]] = (0.0, 0.7)
    """Probability that an event has the same partner as the entity's event before."""
    nullable_prob: Share = 0.25
    """Probability that a key, which is not the first, has empty cells."""
    null_share: Range[Share] = (0.02, 0.3)
    """Share of those."""
    self_prob: Share = 0.2
    """Probability that an entity table refers to itself, as a forest that grows in time."""
    root_share: Range[Share] = (0.05, 0.4)
    """Share of roots of such a forest."""
    attachment: Range[Share] = (0.0, 0.8)
    """Probability that a row takes the parent of an earlier row, and so prefers parents with many
    children."""
    link_prob: Share = 0.5
    """Probability of a table of pairs without repetition between two entities."""
    twin_prob: Share = 0.15
    """Probability that an event refers twice to one table, in different roles."""


class ColumnPrior(Config):
    """Columns: how they depend on what, how much is noise, and what their values look like."""

    enabled: bool = True
    """Off: networks alone, normal numbers, booleans and even classes, cells missing completely at random."""
    mechanisms: Options[Mechanism] = ("linear", "network", "tree", "threshold", "fourier", "product")
    """Families of functions of what drives a column."""
    linear_share: Range[Share] = (0.0, 1.0)
    """Share of a function's variance that is linear in what it reads; the rest is of a mechanism."""
    drivers: Range[Count] = (1, 4)
    """What one function reads: hidden numbers, columns, phases of the time."""
    signal_share: Range[Share] = (0.4, 0.99)
    """Share of a column's variance that is signal."""
    parent_share: Range[Share] = (0.0, 0.9)
    """Share of the signal that comes from parent rows, besides what the hidden state carries."""
    history_prob: Share = 0.15
    """Probability that a column of an event tells of its entity's earlier events, of its own table or another
    one: their number, or the sum, mean or last of a number."""
    slow_prob: Share = 0.1
    """Probability that a column of an event is a property of its entity that seldom changes."""
    slow_change: Range[Share] = (0.01, 0.2)
    """Probability of such a change from one event of an entity to its next."""
    laws: Options[LawName] = (
        "normal", "lognormal", "pareto", "zero_inflated", "count", "percentage", "ordinal", "boolean",
        "category", "text", "moment", "identifier",
    )  # fmt: skip
    """What columns hold where no meaning is given to them."""
    classes: Range[Plural] = (2, 10)
    """Classes of a category or ordinal."""
    missing_prob: Share = 0.3
    """Probability that a column has missing cells."""
    missing_share: Range[Share] = (0.01, 0.3)
    """Share of those."""


class MeaningPrior(Config):
    """Meaning: names, units, ranges and labels, drawn together from concepts that belong to one domain."""

    enabled: bool = True
    """Off: table_3 and feature_2, labels and texts of invented words; structure and dependence are the
    same."""
    namings: Options[Naming] = ("plain", "plural", "abbreviated", "camel", "upper", "meaningless")
    """How a database writes its names."""


class ForecastPrior(Config):
    """Forecast tasks: what an entity will do next, with labels by RelBench's rules."""

    enabled: bool = True
    """Off: only columns to complete."""
    num_tasks: Range[Annotated[int, Field(ge=0)]] = (1, 4)
    """Tasks that a database is meant to have; those that fail the checks are left out."""
    aggregates: Options[Aggregate] = ("exists", "count", "sum", "mean", "max", "next", "churn")
    """What a label says of the events in the window."""
    train_windows: Range[Annotated[int, Field(ge=3)]] = (5, 40)
    """Windows before the validation time, which gives their length."""
    filter_prob: Share = 0.4
    """Probability that only events count which meet a condition on one of their columns."""
    minority: Annotated[float, Field(gt=0, lt=0.5)] = 0.03
    """Least share of the rarer answer in the train and in the val labels."""
    max_labels: Count = 4000
    """Labels of a task that windows are made long enough for; no longer than val and test allow."""


class StylePrior(Config):
    """A prior over priors: each database has its own part of every range."""

    enabled: bool = True
    """Off: every table and column draws uniformly from the whole range."""
    concentration: Range[Positive] = (1.5, 15.0)
    """How close tables and columns of a database keep to its place in a range: the sum of a beta law's
    parameters."""


class EventsConfig(Config):
    """The whole prior: a database is a function of (seed, EventsConfig).

    By default those mechanisms are on that made networks better; the others are there for databases as they
    make them.
    """

    num_tables: Range[Plural] = (4, 14)
    """Tables of a database."""
    rows_entity: Range[Count] = (100, 1000)
    """Rows of an entity table, log-uniform; lookup tables have 4 to 40."""
    rows_activity: Range[Count] = (1000, 5000)
    """Rows of a table of events or pairs, log-uniform; fewer where entities leave or pairs repeat."""
    num_columns: Range[Count] = (2, 20)
    """Columns of a table that are neither keys nor its time."""
    num_columns_exponent: Annotated[float, Field(ge=0)] = 0.7
    """Exponent of the power law of num_columns: P(k) is proportional to k ** -exponent."""
    time_window: Range[date] = (date(1990, 1, 1), date(2025, 1, 1))
    """First day and day after the last between which a database's own period lies."""
    val_split: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Position of the validation timestamp in the database's period."""
    test_split: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Position of the test timestamp; above val_split."""
    recipe: str = ""
    """Aggregates of a real database or a schema (`relscale generate --recipe`), as JSON text: its tables,
    keys, names and laws take the place of random ones. num_tables, num_columns* and meaning are not read
    then; rows_* and time.span_days are where the recipe leaves them open."""
    traits: TraitPrior = TraitPrior()
    """Hidden traits."""
    time: TimePrior = TimePrior(enabled=False)
    """Events in time."""
    keys: KeyPrior = KeyPrior(enabled=False)
    """Foreign keys."""
    columns: ColumnPrior = ColumnPrior()
    """Columns."""
    meaning: MeaningPrior = MeaningPrior(enabled=False)
    """Names."""
    forecasts: ForecastPrior = ForecastPrior()
    """Forecast tasks."""
    style: StylePrior = StylePrior(enabled=False)
    """Differences between databases."""

    @field_validator("recipe")
    @classmethod
    def _recipe_is_understood(cls, text: str) -> str:
        if text:
            from relscale.generation.events.recipe import parse_recipe

            parse_recipe(text)  # a ConfigError goes through pydantic unchanged
        return text

    @model_validator(mode="after")
    def _times_fit(self) -> "EventsConfig":
        check_splits(self.val_split, self.test_split)
        if (self.time_window[1] - self.time_window[0]).days <= self.time.span_days[1]:
            raise ValueError(f"time_window is shorter than span_days {self.time.span_days[1]}; widen it")
        return self


WHOLE = EventsConfig.model_validate(
    {mechanism: {"enabled": True} for mechanism in ("time", "keys", "meaning", "style")}
)
"""Every mechanism on."""


def _without(mechanism: str) -> EventsConfig:
    return WHOLE.replace(**{mechanism: getattr(WHOLE, mechanism).replace(enabled=False)})


EVENTS_PRESETS: Mapping[str, EventsConfig] = {
    "events-2": EventsConfig(),
    "events-1": WHOLE,
    **{
        f"events-1-no-{mechanism}": _without(mechanism)
        for mechanism in ("traits", "time", "forecasts", "keys", "columns", "meaning", "style")
    },
}
"""Frozen settings: the mechanisms that earned their place (docs/results/prior-study.md), all of them, and all
less one."""
