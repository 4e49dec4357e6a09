"""The file that describes an import: keys, times and types that the source does not state, and the tasks."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from relscale.platform.config import Config

AUTO = "auto"

Kind = Literal["number", "boolean", "datetime", "category", "text"]
"""What a column can be read as."""


def _listed(value: object) -> object:
    """Names separated by commas as a list of them; all else as it is."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class TableConfig(Config):
    """One table of the source; columns go by their names there."""

    primary_key: Names | None = None
    """Column, or columns, that tell rows apart; default: the catalogue's; `[]`: rows are numbered."""
    foreign_keys: dict[str, str | None] = Field(default={})
    """Column (or "a, b") to the table it refers to, by that table's primary key, or to "table.column"; null
    takes back a key of the catalogue."""
    time_col: str | None = AUTO
    """When a row came to be: a time column, or a foreign key for the time of the row it refers to; null:
    rows were always there. "auto" takes the one plausible column, else the latest time among parents."""
    types: dict[str, Kind] = Field(default={})
    """Columns whose type is not to be guessed: number, boolean, datetime, category or text."""
    day_first: bool | None = None
    """Whether 03/04/2020 is the third of April; null: other values of the column must tell."""
    known_ahead: Names = ()
    """Times that may lie after a row's own and were known all the same, such as a due date; others are
    hidden from every task."""
    drop: Names = ()
    """Columns to leave out."""


class SplitConfig(Config):
    """Where training, validation and test part: shares of the rows in order of time, or two moments."""

    val: float | datetime = 0.8
    """Rows up to here are for training."""
    test: float | datetime = 0.9
    """Rows after this are for test."""

    @property
    def stated(self) -> bool:
        """Whether these are moments."""
        return isinstance(self.val, datetime)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.val, datetime) != isinstance(self.test, datetime):
            raise ValueError("val and test must both be shares or both be moments")
        if not self.val < self.test:  # type: ignore[operator]
            raise ValueError("val must come before test")
        if isinstance(self.val, float) and not 0 < self.val < self.test < 1:  # type: ignore[operator]
            raise ValueError("shares must lie between 0 and 1")
        return self


class TaskConfig(Config):
    """What to predict: a column to complete, or a label that a query finds in the future of an entity."""

    complete: str | None = None
    """"table.column" whose values are to be filled in."""
    sql: str | None = None
    """DuckDB query over the imported tables that gives, for the moment :timestamp, an entity's key and its
    label from rows later than :timestamp and not later than :end. A query without them is taken as RelBench's
    own form: moment, key, label, over the relation `timestamps` with {timedelta}."""
    entity: str | None = None
    """Table of the entities of `sql`."""
    window: str | None = None
    """From :timestamp to :end, such as "30 days"."""
    num_eval_timestamps: Annotated[int, Field(ge=1)] = 1
    """Moments, a window apart, at which validation and test ask."""
    type: Literal["regression", "binary_classification", "multiclass_classification"] | None = None
    """Default: by the labels."""
    hide: Names = ()
    """"table.column" that would give the label away; an exact function of the column itself is found
    without this."""
    description: str = ""
    """A sentence for the reader."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.complete is None) == (self.sql is None):
            raise ValueError("a task needs either 'complete' (table.column) or 'sql'")
        if self.sql is not None and (self.entity is None or self.window is None):
            raise ValueError("a task by 'sql' also needs 'entity' (a table) and 'window', such as 30 days")
        return self


class ImportConfig(Config):
    """An import. Names are those of the source, except in SQL."""

    name: Annotated[str, Field(pattern=r"^(\w[\w.-]*)?$")] = ""
    """Name of the database; empty: that of the source."""
    description: str = ""
    """A sentence for the reader."""
    tables: dict[str, TableConfig] = Field(default={})
    """What the source does not state, by table."""
    leave_out: Names = ()
    """Tables that are not imported."""
    time_cols: Names = ()
    """Names of time columns to take, the first that fits, where a table has several plausible ones."""
    split: SplitConfig = SplitConfig()
    tasks: dict[str, TaskConfig] = Field(default={})
    """What to predict, by the task's name."""


def with_columns_to_complete(config: ImportConfig, columns: Sequence[str]) -> ImportConfig:
    """The settings with a task for each "table.column", named `<table>-<column>`."""
    tasks = {re.sub(r"\W+", "-", column): {"complete": column} for column in columns}
    return config.replace(tasks={**config.model_dump()["tasks"], **tasks})
