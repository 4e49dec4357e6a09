"""Schemas: the laws of their parts, and what they may not be."""

import graphlib
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from relscale.generation.config import GeneratorConfig
from relscale.generation.schema import ForeignKey, Schema, TableSpec, sample_schema


def table(name: str, parents: tuple[int, ...], is_activity: bool, **changes: Any) -> TableSpec:
    fkeys = tuple(ForeignKey(name=f"key_{j}", parent=p) for j, p in enumerate(parents))
    fields = {"name": name, "n_rows": 3, "fkeys": fkeys, "columns": (), "is_activity": is_activity}
    return TableSpec(**{**fields, **changes})


def schemas(count: int, config: GeneratorConfig) -> list[Schema]:
    return [sample_schema(config, rng=np.random.default_rng(seed)) for seed in range(count)]


def test_column_counts_follow_the_power_law() -> None:
    drawn = [len(t.columns) for s in schemas(400, GeneratorConfig()) for t in s.tables]
    weights = 1 / np.arange(3, 41)
    expected = weights / weights.sum() * len(drawn)
    observed = np.bincount(drawn, minlength=41)[3:]
    assert chisquare(observed, expected).pvalue > 0.01
    assert abs(np.mean(drawn) - 13.68) < 0.7


def test_types_and_categories_are_uniform() -> None:
    classes = [c.n_categories for s in schemas(60, GeneratorConfig()) for t in s.tables for c in t.columns]
    counts = np.bincount(classes, minlength=11)
    assert counts[1] == 0
    assert chisquare(counts[[0, *range(2, 11)]], np.array([9] + [1] * 9) / 18 * len(classes)).pvalue > 0.01


def test_tables_lie_in_their_ranges_and_kinds() -> None:
    config = GeneratorConfig(num_tables=(4, 6), rows_entity=(10, 20), rows_activity=(30, 40))
    sizes = set()
    for schema in schemas(50, config):
        sizes.add(len(schema.tables))
        referenced = {key.parent for t in schema.tables for key in t.fkeys}
        for number, t in enumerate(schema.tables):
            assert t.is_activity == (number not in referenced)
            assert 30 <= t.n_rows <= 40 if t.is_activity else 10 <= t.n_rows <= 20
            assert [key.name for key in t.fkeys] == [f"foreign_row_{j}" for j in range(len(t.fkeys))]
            parents = [key.parent for key in t.fkeys]
            assert parents == sorted(set(parents))  # a random schema has one key at most to each table
    assert sizes == {4, 5, 6}


def test_sink_share_per_family_is_that_of_the_reference() -> None:
    for family, share in (("BarabasiAlbert", 0.48), ("WattsStrogatz", 0.15), ("ReverseRandomTree", 0.12)):
        shares = [
            np.mean([t.is_activity for t in s.tables])
            for s in schemas(300, GeneratorConfig(table_layouts=(family,), num_columns=(1, 1)))
        ]
        assert abs(np.mean(shares) - share) < 0.025, family


def test_one_table_alone_is_an_activity_table() -> None:
    (only,) = schemas(1, GeneratorConfig(num_tables=(1, 1)))[0].tables
    assert only.is_activity
    assert only.fkeys == ()


def test_broken_schemas_are_refused() -> None:
    with pytest.raises(graphlib.CycleError):
        Schema(tables=(table("a", (1,), False), table("b", (0,), False)))
    with pytest.raises(AssertionError, match="wrong kind"):
        Schema(tables=(table("a", (), True), table("b", (0,), True)))
    a = table("a", (), False)
    with pytest.raises(AssertionError, match="a column twice"):
        Schema(tables=(a, table("b", (0,), True, pkey="key_0")))
    with pytest.raises(AssertionError, match="wrong layout"):
        Schema(tables=(a, table("b", (0,), True, layout=("row_idx", "key_0"))))
    one_to_one = (ForeignKey(name="key", parent=0, unique=True),)
    with pytest.raises(AssertionError, match="too many rows for 'key'"):
        Schema(tables=(a, table("b", (), True, fkeys=one_to_one, n_rows=4)))


def test_a_table_may_have_several_keys_to_one_parent() -> None:
    schema = Schema(tables=(table("b", (1, 1, 2), True), table("a", (2,), False), table("c", (), False)))
    assert schema.order() == [2, 1, 0]
    assert schema.tables[0].names() == ["row_idx", "key_0", "key_1", "key_2", "date"]
