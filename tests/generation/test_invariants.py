"""What holds for every database of every configuration: keys, links, times, declared values."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relscale.generation.admission import admit
from relscale.generation.config import GeneratorConfig
from relscale.generation.database import Database, generate_database
from relscale.generation.priors import find_prior
from relscale.generation.schema import Schema
from relscale.generation.sql_schema import declared_schema
from relscale.platform.seeds import Purpose, stream

DATA = Path(__file__).parent / "data"
SHOP = Path(__file__).parents[2] / "docs" / "examples" / "shop.sql"
EXAMPLES = [SHOP.read_text(), (DATA / "clinic.sql").read_text(), (DATA / "music.sql").read_text()]

QUICK = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
SEEDS = st.integers(0, 2**63)


def ranges(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda pair: (min(pair), max(pair)))


def options(field: type, name: str) -> st.SearchStrategy[tuple]:
    """Non-empty choices among those that a setting has by default."""
    return st.lists(st.sampled_from(field.model_fields[name].default), min_size=1, unique=True).map(tuple)  # type: ignore[attr-defined]


@st.composite
def configs(draw: st.DrawFn, **fixed: Any) -> GeneratorConfig:
    """Small databases of all kinds, down to single rows and two days."""
    start = date(1995, 1, 1) + timedelta(days=draw(st.integers(0, 5000)))
    split = draw(st.floats(0.1, 0.8))
    fields = {
        "table_layouts": draw(options(GeneratorConfig, "table_layouts")),
        "num_tables": draw(ranges(1, 5)),
        "rows_entity": draw(ranges(1, 25)),
        "rows_activity": draw(ranges(1, 60)),
        "num_columns": draw(ranges(1, 5)),
        "num_columns_exponent": draw(st.sampled_from([0.0, 1.0, 3.0])),
        "column_types": draw(options(GeneratorConfig, "column_types")),
        "num_categories": draw(ranges(2, 12)),
        "time_window": (start, start + timedelta(days=draw(st.integers(2, 4000)))),
        "val_split": split,
        "test_split": draw(st.floats(split + 0.05, 0.95)),
        "connectivity": {"levels": draw(ranges(1, 3)), "clusters_per_level": draw(ranges(1, 3))},
        "columns": {"missing_share": draw(st.sampled_from([(0.0, 0.0), (0.01, 0.1), (0.5, 1.0)]))},
    }
    return GeneratorConfig(**{**fields, **fixed})


def check_keys_and_times(database: Database, config: GeneratorConfig) -> None:
    first, after = (np.datetime64(day, "us") for day in config.time_window)
    referenced = {parent for table in database.tables.values() for parent in table.fkeys.values()}
    assert first <= np.datetime64(database.val_timestamp) <= np.datetime64(database.test_timestamp) < after
    for table in database.tables.values():
        assert table.data[table.pkey].to_pylist() == list(range(table.data.num_rows))
        for column, parent in table.fkeys.items():
            assert table.data[column].type == pa.int64()
            rows = table.data[column].drop_null().to_numpy()
            assert ((rows >= 0) & (rows < database.tables[parent].data.num_rows)).all()
        assert (table.time_col is None) == (table.name in referenced)
        if table.time_col is not None:
            times = table.data[table.time_col].to_numpy()
            assert (np.diff(times) >= np.timedelta64(0)).all()
            assert first <= times[0] <= times[-1] < after
        for column in table.features():
            values = table.data[column]
            if pa.types.is_floating(values.type):
                assert np.isfinite(values.drop_null().to_numpy()).all()


@QUICK
@given(config=configs(), seed=SEEDS, prior=st.sampled_from(["plurel", "independent"]))
def test_random_schemas(config: GeneratorConfig, seed: int, prior: str) -> None:
    database = find_prior(prior).generate(seed, config)
    check_keys_and_times(database, config)
    assert config.num_tables[0] <= len(database.tables) <= config.num_tables[1]
    for table in database.tables.values():
        low, high = config.rows_entity if table.time_col is None else config.rows_activity
        assert low <= table.data.num_rows <= high
        assert len(table.features()) <= config.num_columns[1]
        for column in table.features():
            kind = table.data[column].type
            assert kind in (pa.bool_(), pa.float64())
            if kind == pa.bool_():
                assert set(table.data[column].to_pylist()) == {False, True}


@QUICK
@given(seed=SEEDS, config=configs())
def test_a_database_is_a_function_of_seed_and_configuration(seed: int, config: GeneratorConfig) -> None:
    once, again = generate_database(seed, config), generate_database(seed, config)
    assert once.test_timestamp == again.test_timestamp
    for name, table in once.tables.items():
        assert table.data.equals(again.tables[name].data)
    assert admit(once) == admit(again)


def schema_of(seed: int, config: GeneratorConfig) -> Schema:
    return declared_schema(config, rng=stream(seed, Purpose.SCHEMA))


def check_declaration(database: Database, schema: Schema) -> None:
    assert list(database.tables) == [table.name for table in schema.tables]
    for spec in schema.tables:
        table = database.tables[spec.name]
        assert table.data.column_names == list(spec.layout)
        assert table.data.num_rows == spec.n_rows
        for key in spec.fkeys:
            column = table.data[key.name]
            assert key.nullable or not column.null_count
            assert not key.unique or len(column.drop_null().unique()) == len(column.drop_null())
        for column_spec in spec.columns:
            column, domain = table.data[column_spec.name], column_spec.domain
            assert domain is not None
            assert domain.nullable or not column.null_count
            present = column.drop_null()
            if domain.kind == "label":
                assert set(present.to_pylist()) <= set(domain.labels)
            if domain.kind in ("integer", "real") and len(present):
                low, high = pc.min_max(present).as_py().values()
                assert low >= (-np.inf if domain.low is None else domain.low)
                assert high <= (np.inf if domain.high is None else domain.high)
            if domain.length is not None:
                assert all(len(text) <= domain.length for text in present.to_pylist())


@QUICK
@given(seed=SEEDS, data=st.data(), prior=st.sampled_from(["plurel", "independent"]))
def test_example_schemas(seed: int, data: st.DataObject, prior: str) -> None:
    config = data.draw(configs(sql_schema=data.draw(st.sampled_from(EXAMPLES))))
    database = find_prior(prior).generate(seed, config)
    check_keys_and_times(database, config)
    check_declaration(database, schema_of(seed, config))


NAMES = st.text("abcxyzABC_ in;'\"-é", min_size=1, max_size=8).map(lambda name: name.strip() or "n")
TYPES = st.sampled_from(
    [
        "INT",
        "SMALLINT NOT NULL",
        "REAL",
        "NUMERIC(4, 1) NOT NULL",
        "BOOLEAN",
        "DATE",
        "TIMESTAMP NOT NULL",
        "TEXT",
        "VARCHAR(3) NOT NULL",
        "UUID",
    ]
)
CHECKS = st.sampled_from(["", "{} BETWEEN -3 AND 9", "{} > 0", "{} IN (1, 2)", "{} IN ('a', 'B;', 'it''s')"])


@st.composite
def sql_texts(draw: st.DrawFn) -> str:
    """Tables with hostile column names, and keys to any earlier table, several to one parent too."""
    statements = ["DROP TABLE t0"]
    for t in range(draw(st.integers(1, 4))):
        names = draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.lower))
        lines = [f"key_{t} INT PRIMARY KEY"] if draw(st.booleans()) else []
        for name in names:
            quoted = '"' + name.replace('"', '""') + '"'
            check = draw(CHECKS).format(quoted)
            lines.append(f"{quoted} {draw(TYPES)}" + (f" CHECK ({check})" if check else ""))
        if t:
            parents = draw(st.lists(st.integers(0, t - 1), max_size=3))
            suffixes = st.sampled_from(["", " NOT NULL", " UNIQUE"])
            lines += [f"fk_{j} INT{draw(suffixes)} REFERENCES t{p}" for j, p in enumerate(parents)]
        statements.append(f"CREATE TABLE t{t} (" + ",\n  ".join(lines) + ")")
    return "; -- a comment; with 'quotes\n".join(statements)


@QUICK
@given(seed=SEEDS, data=st.data())
def test_made_up_schemas(seed: int, data: st.DataObject) -> None:
    config = data.draw(configs(sql_schema=data.draw(sql_texts())))
    database = generate_database(seed, config)
    check_keys_and_times(database, config)
    check_declaration(database, schema_of(seed, config))
