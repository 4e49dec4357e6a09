"""Stage 1, the schema: which tables, columns and foreign keys a database has."""

from dataclasses import dataclass

import numpy as np

from relscale.generation.config import GeneratorConfig
from relscale.generation.graphs import Dag, sample_dag
from relscale.generation.draws import draw_count, draw_counts, draw_option, draw_options, draw_power_law


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSpec:
    """A feature column; n_categories is 0 for a number."""

    name: str
    n_categories: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """A table: `parents` holds the number of the table that each foreign key refers to, ascending."""

    name: str
    n_rows: int
    parents: tuple[int, ...]
    columns: tuple[ColumnSpec, ...]
    is_activity: bool

    @property
    def fkeys(self) -> tuple[str, ...]:
        """Names of the foreign-key columns, aligned with `parents`."""
        return tuple(f"foreign_row_{j}" for j in range(len(self.parents)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The tables of a database; table i is `tables[i]`."""

    tables: tuple[TableSpec, ...]

    def __post_init__(self) -> None:
        referenced = {parent for table in self.tables for parent in table.parents}
        assert len({table.name for table in self.tables}) == len(self.tables)
        for number, table in enumerate(self.tables):
            assert table.is_activity == (number not in referenced), f"{table.name}: wrong kind"
            assert list(table.parents) == sorted(set(table.parents)), f"{table.name}: a parent twice"
            assert table.n_rows >= 1, f"{table.name}: no rows"
        self.order()  # raises if foreign keys form a cycle

    def order(self) -> list[int]:
        """Table numbers, parents before children."""
        links = [(p, child) for child, table in enumerate(self.tables) for p in table.parents]
        tails, heads = np.array(links, dtype=np.int64).reshape(-1, 2).T
        return Dag(n_nodes=len(self.tables), tails=tails, heads=heads).order()


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
    return TableSpec(
        name=f"table_{number}",
        n_rows=draw_count(rows, rng=rng),
        parents=tuple(dag.tails[dag.heads == number].tolist()),
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
