"""Schemas from SQL: names, keys and rows, and databases that keep to what is declared."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from numpy.typing import ArrayLike

from relscale.cli import main
from relscale.generation.admission import admit
from relscale.generation.config import GeneratorConfig
from relscale.generation.database import Database, generate_database
from relscale.generation.schema import ForeignKey, Schema
from relscale.generation.sql_schema import declared_schema, with_sql_schema
from relscale.platform import dataflow
from relscale.platform.errors import ConfigError

DATA = Path(__file__).parent / "data"
SHOP = Path(__file__).parents[2] / "docs" / "examples" / "shop.sql"
ROWS = {"rows_entity": (30, 40), "rows_activity": (60, 90)}
P = "CREATE TABLE p (id INT PRIMARY KEY, x REAL);"


def schema_of(text: str, seed: int = 0) -> Schema:
    return declared_schema(GeneratorConfig(sql_schema=text, **ROWS), rng=np.random.default_rng(seed))


def database_of(text: str, seed: int = 0, **settings: object) -> Database:
    return generate_database(seed, GeneratorConfig(sql_schema=text, **ROWS, **settings))


@pytest.fixture(scope="module")
def shop() -> list[Database]:
    return [database_of(SHOP.read_text(), seed) for seed in range(8)]


def test_tables_have_their_names_keys_and_kinds() -> None:
    customer, address, product, order, line, review = schema_of(SHOP.read_text()).tables
    assert [t.is_activity for t in (customer, address, product, order, line, review)] == [False] * 4 + [
        True
    ] * 2
    assert order.fkeys == (
        ForeignKey(name="customer_id", parent=0),
        ForeignKey(name="shipping_address_id", parent=1),
        ForeignKey(name="billing_address_id", parent=1, nullable=True),
    )
    assert order.pkey == "order_id"
    assert order.layout == tuple(order.names())
    assert [c.name for c in order.columns] == ["state", "ordered_at"]  # an entity table has no time column
    assert (line.pkey, line.time_col) == ("row_idx", "date")
    assert line.layout == ("row_idx", "order_id", "product_id", "quantity", "discount", "date")
    assert (review.time_col, review.whole_days) == ("written_on", True)
    assert [c.n_categories for c in order.columns] == [4, 0]


def test_row_counts_and_text_classes_are_drawn() -> None:
    schemas = [schema_of(SHOP.read_text(), seed) for seed in range(60)]
    assert {s.tables[0].n_rows for s in schemas} == set(range(30, 41))
    assert {s.tables[5].n_rows for s in schemas} <= set(range(60, 91))
    assert {s.tables[2].columns[0].n_categories for s in schemas} == set(range(2, 11))


def test_added_names_clash_with_none() -> None:
    (table,) = schema_of("CREATE TABLE t (Row_Idx INT, date NUMERIC(5,1), DATE_1 INT)").tables
    assert (table.pkey, table.time_col) == ("row_idx_1", "date_2")
    data = database_of("CREATE TABLE t (Row_Idx INT, date NUMERIC(5,1), DATE_1 INT)").tables["t"].data
    assert data.column_names == ["row_idx_1", "Row_Idx", "date", "DATE_1", "date_2"]
    assert data["date"].type == pa.float64()
    assert data["date_2"].type == pa.timestamp("us")


def test_a_primary_key_that_is_a_foreign_key_links_one_to_one() -> None:
    text = (
        P
        + "CREATE TABLE c (p_id INT PRIMARY KEY REFERENCES p, y REAL); CREATE TABLE d (c_id INT REFERENCES c)"
    )
    for seed in range(5):
        database = database_of(text, seed)
        child, parent = database.tables["c"], database.tables["p"]
        assert (child.pkey, child.fkeys) == ("row_idx", {"p_id": "p"})
        rows = child.data["p_id"].to_pylist()
        assert len(set(rows)) == len(rows) <= parent.data.num_rows
        assert max(rows) < parent.data.num_rows
        assert rows != list(range(len(rows)))
        assert admit(database) is None


def test_a_unique_key_caps_the_rows_through_a_chain() -> None:
    text = P + "CREATE TABLE b (id INT PRIMARY KEY, p INT UNIQUE REFERENCES p);"
    text += "CREATE TABLE c (b INT UNIQUE REFERENCES b)"
    for seed in range(20):
        p, b, c = schema_of(text, seed).tables
        assert p.n_rows >= b.n_rows >= c.n_rows
        assert b.fkeys[0].unique and c.fkeys[0].unique


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "CREATE TABLE t (a INT REFERENCES nobody)",
            "'t.a' refers to the table 'nobody', which",
        ),
        (
            P + "CREATE TABLE t (a INT REFERENCES p (z))",
            "'t.a' refers to 'p.z', which is not declared; 'p'",
        ),
        (
            "CREATE TABLE t (id INT PRIMARY KEY,\n boss INT REFERENCES t (id))",
            "line 2: column 't.boss' refers to its own table",
        ),
        (
            "CREATE TABLE a (id INT PRIMARY KEY, c_id INT);"
            "CREATE TABLE b (id INT PRIMARY KEY, a_id INT REFERENCES a);"
            "CREATE TABLE c (id INT PRIMARY KEY, b_id INT REFERENCES b);"
            "ALTER TABLE a ADD CONSTRAINT k FOREIGN KEY (c_id) REFERENCES c (id);",
            "form a cycle (a.c_id -> c, c.b_id -> b, b.a_id -> a)",
        ),
    ],
)
def test_keys_that_lead_nowhere(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GeneratorConfig(sql_schema=text)
    found = str(caught.value)
    if "cycle" in message:  # it may be told from any of its tables
        found = found + found.partition("(")[2].partition(")")[0]
        assert "form a cycle" in found
        for step in ("a.c_id -> c", "c.b_id -> b", "b.a_id -> a"):
            assert step in found
    else:
        assert message in found


def test_the_text_is_part_of_the_fingerprint() -> None:
    assert GeneratorConfig(sql_schema=P).fingerprint() != GeneratorConfig().fingerprint()
    assert GeneratorConfig(sql_schema=P).fingerprint() != GeneratorConfig(sql_schema=P + " ").fingerprint()


def test_a_shop_keeps_to_its_declaration(shop: list[Database]) -> None:
    words = set()
    for database in shop:
        assert admit(database) is None
        for t in schema_of(SHOP.read_text()).tables:
            table = database.tables[t.name]
            assert table.data.column_names == list(t.layout)
            for key in t.fkeys:
                assert bool(table.data[key.name].null_count) <= key.nullable
            for c in t.columns:
                assert c.domain is not None
                assert bool(table.data[c.name].null_count) <= c.domain.nullable
                if c.domain.labels:
                    assert set(table.data[c.name].drop_null().to_pylist()) <= set(c.domain.labels)
                if c.domain.high is not None:
                    bounds = pc.min_max(table.data[c.name]).as_py()
                    assert c.domain.low <= bounds["min"] < bounds["max"] <= c.domain.high
        assert table.name == "review"
        assert table.data["written_on"].to_pylist() == sorted(table.data["written_on"].to_pylist())
        prices = database.tables["product"].data["price"].to_numpy()
        np.testing.assert_array_equal(prices, np.round(prices, 2))
        last = database.tables["order_line"].data["date"].to_pylist()[-1]
        assert pc.max(database.tables["order"].data["ordered_at"]).as_py() <= last
        words |= set(database.tables["product"].data["title"].to_pylist())
    assert len(words) > 20
    assert all(word.replace(" ", "").isalpha() for word in words)


def test_every_label_is_possible_and_few_columns_are_constant(shop: list[Database]) -> None:
    states = {x for d in shop for x in d.tables["order"].data["state"].to_pylist()}
    assert states == {"New", "Paid", "Shipped", "Returned"}
    columns = [table.data[c] for d in shop for table in d.tables.values() for c in table.features()]
    constant = sum(len(column.drop_null().unique()) < 2 for column in columns)
    assert constant < 0.06 * len(columns)


def test_two_keys_to_one_parent_are_drawn_apart(shop: list[Database]) -> None:
    """The reference implementation gives both the same rows."""
    orders = [database.tables["order"].data.to_pandas() for database in shop]
    assert sum(order.billing_address_id.isna().sum() for order in orders) > 0
    for order in orders:
        assert (order.shipping_address_id == order.billing_address_id).mean() < 0.3


def test_texts_tell_of_other_columns() -> None:
    """Words explain more of another column's variance than shuffled words do, on average."""
    text = "CREATE TABLE t (words TEXT NOT NULL, x REAL NOT NULL, y REAL, z INT, b BOOLEAN)"
    shares: list[tuple[float, float]] = []
    for seed in range(30):
        config = GeneratorConfig(sql_schema=text, rows_activity=(300, 300))
        frame = generate_database(seed, config).tables["t"].data.to_pandas()
        shuffled = frame.words.sample(frac=1, random_state=seed).to_numpy()
        shares.append((explained(frame.x, frame.words), explained(frame.x, shuffled)))
    ours, chance = np.mean(shares, axis=0)
    assert ours > 2.5 * chance


def explained(values: pd.Series, groups: ArrayLike) -> float:
    """Share of the variance of ranks that lies between groups."""
    ranks = values.rank()
    return ranks.groupby(np.asarray(groups)).transform("mean").var() / max(ranks.var(), 1e-9)


@pytest.mark.parametrize("name", ["clinic.sql", "music.sql"])
@pytest.mark.parametrize("seed", [0, 1])
def test_other_dialects_become_databases(name: str, seed: int) -> None:
    database = database_of((DATA / name).read_text(), seed)
    assert admit(database) is None
    if name == "clinic.sql":
        visit = database.tables["visit"]
        assert visit.time_col == "admitted"
        assert visit.data["date"].type == pa.float64()
        assert visit.fkeys == {"patient_id": "patient", "ward_in": "ward", "ward_out": "ward"}
        beds = database.tables["ward"].data["beds"].to_pylist()
        assert 0 <= min(beds) < max(beds) <= 255
    else:
        assert database.tables["PlaylistTrack"].features() == []
        assert database.tables["Artist"].data.column_names == ["ArtistId", "Name"]


def test_tables_without_features_have_children() -> None:
    text = "CREATE TABLE p (id INT PRIMARY KEY); CREATE TABLE c (p INT NOT NULL REFERENCES p, x REAL)"
    database = database_of(text)
    assert database.tables["p"].data.column_names == ["id"]
    assert database.tables["c"].data.column_names == ["row_idx", "p", "x", "date"]


def test_missing_cells_are_where_they_may_be() -> None:
    text = P + (
        "CREATE TABLE c (p INT REFERENCES p, q INT NOT NULL REFERENCES p, a INT, b INT NOT NULL,"
        " d DATE NOT NULL, e DATE, f TEXT, g BOOLEAN, h TEXT CHECK (h IN ('x', 'y')))"
    )
    columns = {"missing_share": (0.2, 0.2)}
    table = database_of(text, columns=columns).tables["c"].data
    empty = int(0.2 * table.num_rows)
    assert {n: table[n].null_count for n in table.column_names} == {
        "row_idx": 0, "p": empty, "q": 0, "a": empty, "b": 0, "d": 0,
        "e": empty, "f": empty, "g": empty, "h": empty,
    }  # fmt: skip


def test_the_command_reads_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataflow, "on_cluster", lambda cluster: nullcontext(dataflow.map_keys_here))
    out = tmp_path / "corpus"
    small = [f"corpus.generator.{key}={list(value)}" for key, value in ROWS.items()]
    arguments = ["generate", "--out", str(out), "-n", "2", "--sql-schema", str(SHOP)]
    assert run([*arguments, *(word for setting in small for word in ("--set", setting))]) == 0
    manifest = yaml.safe_load((out / "databases" / "plurel-0" / "manifest.yaml").read_text())
    assert manifest["tables"]["order"]["fkeys"]["billing_address_id"] == "address"
    settings = yaml.safe_load((out / "generation.json").read_text())
    assert settings["config"]["sql_schema"] == SHOP.read_text()


def run(arguments: list[str]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["relscale", *arguments])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


def test_the_command_refuses_before_it_makes_anything(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.sql"
    file.write_text("CREATE TABLE t (a int,\n b int,\n PRIMARY KEY (a, b))")
    for path, message in (
        (file, "line 3: table 't' has the composite"),
        (tmp_path / "no.sql", "cannot be read"),
    ):
        assert run(["generate", "--out", str(tmp_path / "out"), "-n", "1", "--sql-schema", str(path)]) == 2
        shown = " ".join(capfd.readouterr().err.split())
        assert message in shown
        assert "Traceback" not in shown
    assert not (tmp_path / "out").exists()


def test_other_faults_are_told_with_the_file(tmp_path: Path) -> None:
    from relscale.generation.ablations import SingleTableConfig

    (tmp_path / "t.sql").write_text(P)
    assert with_sql_schema(GeneratorConfig(), tmp_path / "t.sql").sql_schema == P
    with pytest.raises(ConfigError, match=r"t\.sql': this prior makes one random table; leave out"):
        with_sql_schema(SingleTableConfig(), tmp_path / "t.sql")
