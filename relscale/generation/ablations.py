"""Ablations of the prior: databases whose rows know nothing of their parents, and lone tables."""

from typing import Self

import numpy as np
from pydantic import model_validator

from relscale.generation.config import Count, GeneratorConfig, Range
from relscale.generation.database import Database, build_database


class SingleTableConfig(GeneratorConfig):
    """The prior over lone tables: as `GeneratorConfig`, with one activity table and no keys."""

    num_tables: Range[Count] = (1, 1)
    """Tables of a database; always one."""

    @model_validator(mode="after")
    def _one_table(self) -> Self:
        if self.num_tables != (1, 1):
            raise ValueError(
                f"num_tables is {list(self.num_tables)}; this prior makes one table, write [1, 1]"
            )
        if self.sql_schema:
            raise ValueError("this prior makes one random table; leave out sql_schema, or choose plurel")
        return self


def generate_independent(seed: int, config: GeneratorConfig) -> Database:
    """The database `independent-<seed>`: PluRel's schema prior and columns, without relations that mean any.

    Every foreign key is uniform over the parent's rows, and the columns of a table are drawn from its own
    causal model alone. What a model learns here beyond its own table is nothing.
    """
    return build_database(seed, config, prior="independent", link=uniform_parents, inherit=False)


def generate_single_table(seed: int, config: SingleTableConfig) -> Database:
    """The database `single-table-<seed>`: one activity table of PluRel, without foreign keys."""
    return build_database(seed, config, prior="single-table", link=uniform_parents, inherit=False)


def uniform_parents(n_parents: int, n_children: int, *, rng: np.random.Generator) -> np.ndarray:
    """A parent row for every child row, all equally likely; int64 [n_children]."""
    return rng.integers(n_parents, size=n_children)
