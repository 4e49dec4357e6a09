"""Ablations: foreign keys that mean nothing, columns that know no parent, tables that stand alone."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import chi2_contingency, chisquare, kstest, rankdata

from relscale.generation.ablations import (
    SingleTableConfig,
    generate_independent,
    generate_single_table,
    uniform_parents,
)
from relscale.generation.admission import admit
from relscale.generation.config import GeneratorConfig
from relscale.generation.database import Database, generate_database

CONFIG = GeneratorConfig(
    num_tables=(2, 3), rows_entity=(20, 30), rows_activity=(150, 200), num_columns=(3, 5)
)


@pytest.fixture(scope="module")
def independent() -> list[Database]:
    return [generate_independent(seed, CONFIG) for seed in range(30)]


@pytest.fixture(scope="module")
def plurel() -> list[Database]:
    return [generate_database(seed, CONFIG) for seed in range(30)]


def keys(databases: list[Database]) -> list[tuple[np.ndarray, int]]:
    """Parent rows, and how many the parent has, of every foreign key."""
    return [
        (table.data[key].to_numpy(), database.tables[parent].data.num_rows)
        for database in databases
        for table in database.tables.values()
        for key, parent in table.fkeys.items()
    ]


def block_pvalues(databases: list[Database]) -> np.ndarray:
    """For each foreign key the p-value of: early and late rows refer to early and late parents alike."""
    pvalues = []
    for rows, n_parents in keys(databases):
        late = np.arange(len(rows)) * 2 // len(rows)
        table = np.histogram2d(late, rows * 2 // n_parents, bins=2, range=((0, 2), (0, 2)))[0]
        pvalues.append(chi2_contingency(table).pvalue)
    return np.array(pvalues)


def between_parents(database: Database, rng: np.random.Generator) -> list[float]:
    """For each column of a child table: the place, in [0, 1], of the variance between the groups of equal
    parents among those of 100 permutations of the rows; uniform if parents do not matter."""
    places = []
    for table in database.tables.values():
        for key in table.fkeys:
            groups = table.data[key].to_numpy()
            counts = np.maximum(np.bincount(groups), 1)
            for name in table.features():
                values = rankdata(table.data[name].to_pandas().fillna(0).to_numpy(np.float64))
                if values.min() == values.max():
                    continue

                def spread(
                    values: np.ndarray, groups: np.ndarray = groups, counts: np.ndarray = counts
                ) -> float:
                    return float((np.bincount(groups, values) ** 2 / counts).sum())

                null = np.array([spread(rng.permutation(values)) for _ in range(100)])
                ours = spread(values)
                places.append(float((null < ours).mean() + (null == ours).mean() / 2))
    return places


def test_keys_are_uniform_over_the_parents(independent: list[Database], plurel: list[Database]) -> None:
    pvalues = [chisquare(np.bincount(rows, minlength=n)).pvalue for rows, n in keys(independent)]
    assert len(pvalues) > 30
    assert kstest(pvalues, "uniform").pvalue > 0.01
    assert (block_pvalues(independent) < 0.01).mean() < 0.06
    assert (block_pvalues(plurel) < 0.01).mean() > 0.15  # blocks of rows prefer each other there


def test_columns_are_independent_of_the_parents(independent: list[Database], plurel: list[Database]) -> None:
    rng = np.random.default_rng(0)
    places = np.concatenate([between_parents(database, rng) for database in independent])
    assert len(places) > 80
    assert chisquare(np.histogram(places, bins=5, range=(0, 1))[0]).pvalue > 0.01
    assert abs((places > 0.95).mean() - 0.05) < 0.05
    theirs = np.concatenate([between_parents(database, rng) for database in plurel])
    assert (theirs > 0.95).mean() > 0.25  # five times as many as by chance


def test_the_schema_is_that_of_plurel(independent: list[Database], plurel: list[Database]) -> None:
    for ours, theirs in zip(independent, plurel, strict=True):
        assert ours.name == theirs.name.replace("plurel", "independent")
        assert ours.val_timestamp == theirs.val_timestamp
        assert [(t.name, t.fkeys, t.data.num_rows) for t in ours.tables.values()] == [
            (t.name, t.fkeys, t.data.num_rows) for t in theirs.tables.values()
        ]
        assert admit(ours) is None


def test_uniform_parents_reach_both_ends() -> None:
    rows = uniform_parents(7, 7000, rng=np.random.default_rng(0))
    assert rows.dtype == np.int64
    assert chisquare(np.bincount(rows, minlength=7)).pvalue > 0.01


def test_a_single_table_has_no_keys() -> None:
    sizes = set()
    for seed in range(10):
        database = generate_single_table(seed, SingleTableConfig(rows_activity=(30, 50), num_columns=(3, 4)))
        (table,) = database.tables.values()
        assert (database.name, table.fkeys, table.time_col) == (f"single-table-{seed}", {}, "date")
        assert 30 <= table.data.num_rows <= 50
        sizes.add(table.data.num_rows)
    assert len(sizes) > 3


def test_a_single_table_is_one() -> None:
    with pytest.raises(ValidationError, match=r"num_tables is \[2, 3\]; this prior makes one table"):
        SingleTableConfig(num_tables=(2, 3))
    with pytest.raises(ValidationError, match="leave out sql_schema, or choose plurel"):
        SingleTableConfig(sql_schema="CREATE TABLE t (a int)")


def test_independent_reads_sql_too() -> None:
    text = (
        "CREATE TABLE p (id INT PRIMARY KEY);"
        "CREATE TABLE c (a INT NOT NULL REFERENCES p, b INT NOT NULL REFERENCES p, x REAL)"
    )
    database = generate_independent(0, CONFIG.replace(sql_schema=text))
    rows = database.tables["c"].data
    assert (rows["a"].to_numpy() == rows["b"].to_numpy()).mean() < 0.3
    assert database.tables["c"].fkeys == {"a": "p", "b": "p"}
