"""Stage 1, the schema: which tables, columns and foreign keys a database has."""

import graphlib
from dataclasses import dataclass

import numpy as np

from relscale.generation.config import GeneratorConfig
from relscale.generation.domains import Domain
from relscale.generation.draws import draw_count, draw_counts, draw_option, draw_options, draw_power_law
from relscale.generation.graphs import Dag, sample_dag


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSpec:
    """A feature column; n_categories is 0 for a number.

    domain : what a declared column may hold; None for a column of a random schema.
    """

    name: str
    n_categories: int
    domain: Domain | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A foreign-key column; `parent` is the number of the table that it refers to.

    nullable : some cells may be empty.
    unique : no two rows share a parent row.
    """

    name: str
    parent: int
    nullable: bool = False
    unique: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """A table, with the names of its columns.

    time_col : the time column of an activity table; entity tables have none.
    whole_days : its times are midnights.
    layout : all columns in the order of output; empty for keys, features in causal order, time.
    """

    name: str
    n_rows: int
    fkeys: tuple[ForeignKey, ...]
    columns: tuple[ColumnSpec, ...]
    is_activity: bool
    pkey: str = "row_idx"
    time_col: str = "date"
    whole_days: bool = False
    layout: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """All columns: keys, features, time."""
        names = [self.pkey, *(key.name for key in self.fkeys), *(column.name for column in self.columns)]
        return [*names, self.time_col] if self.is_activity else names


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The tables of a database; table i is `tables[i]`."""

    tables: tuple[TableSpec, ...]

    def __post_init__(self) -> None:
        referenced = {key.parent for table in self.tables for key in table.fkeys}
        assert len({table.name for table in self.tables}) == len(self.tables)
        for number, table in enumerate(self.tables):
            names = table.names()
            assert table.is_activity == (number not in referenced), f"{table.name}: wrong kind"
            assert len(set(names)) == len(names), f"{table.name}: a column twice"
            assert not table.layout or sorted(table.layout) == sorted(names), f"{table.name}: wrong layout"
            assert table.n_rows >= 1, f"{table.name}: no rows"
            for key in table.fkeys:
                enough = self.tables[key.parent].n_rows >= table.n_rows
                assert enough or not key.unique, f"{table.name}: too many rows for '{key.name}'"
        self.order()  # raises if foreign keys form a cycle

    def order(self) -> list[int]:
        """Table numbers, parents before children."""
        parents = {child: [key.parent for key in table.fkeys] for child, table in enumerate(self.tables)}
        return list(graphlib.TopologicalSorter(parents).static_order())


def sample_schema(config: GeneratorConfig, *, rng: np.random.Generator) -> Schema:
    """Draw the schema of a database.

    A graph over the tables gives the foreign keys: an edge leads from the referred table (parent) to the
    referring one (child). Tables without children are activity tables, all others entity tables.

    Source: PluRel (arXiv:2602.04029), schema generation.
    """
    n_tables = draw_count(config.num_tables, rng=rng)
    family = draw_option(config.table_layouts, rng=rng)
    dag = sample_dag(family, n_tables, prior=config.graphs, rng=rng)
    n_columns = draw_power_law(config.num_columns, config.num_columns_exponent, n_tables, rng=rng)
    return Schema(
        tables=tuple(_sample_table(t, dag, int(n_columns[t]), config, rng) for t in range(n_tables))
    )


def _sample_table(
    number: int, dag: Dag, n_columns: int, config: GeneratorConfig, rng: np.random.Generator
) -> TableSpec:
    is_activity = not (dag.tails == number).any()
    rows = config.rows_activity if is_activity else config.rows_entity
    parents = dag.tails[dag.heads == number].tolist()
    return TableSpec(
        name=f"table_{number}",
        n_rows=draw_count(rows, rng=rng),
        fkeys=tuple(ForeignKey(name=f"foreign_row_{j}", parent=p) for j, p in enumerate(parents)),
        columns=tuple(
            ColumnSpec(name=f"feature_{i}", n_categories=k)
            for i, k in enumerate(sample_types(n_columns, config, rng=rng))
        ),
        is_activity=is_activity,
    )


def sample_types(size: int, config: GeneratorConfig, *, rng: np.random.Generator) -> list[int]:
    """Numbers of categories of `size` columns or hidden nodes; 0 stands for a number."""
    types = draw_options(config.column_types, size, rng=rng)
    counts = draw_counts(config.num_categories, size, rng=rng).tolist()
    return [k if kind == "categorical" else 0 for kind, k in zip(types, counts, strict=True)]
