"""A PostgreSQL database, served for the test where it is installed, imports by its catalogue."""

import contextlib
from collections.abc import Iterator

import pytest
import relbench
from servers import Absent, postgresql

SCHEMA = """
CREATE SCHEMA side;
CREATE TABLE "Customer" ("Id" uuid PRIMARY KEY, name text, vip boolean, tags text[], born date);
CREATE TABLE "order" (region char(2), no int, customer uuid REFERENCES "Customer",
    placed timestamptz NOT NULL, total numeric(8, 2), extra jsonb, PRIMARY KEY (region, no), UNIQUE (no));
CREATE TABLE line (region char(2), no int, item text, FOREIGN KEY (region, no) REFERENCES "order");
INSERT INTO "Customer" SELECT md5(i::text)::uuid, 'Name ' || i, i % 2 = 0, ARRAY['a'], '1980-01-01'
    FROM generate_series(1, 5) i;
INSERT INTO "order" SELECT 'EU', i, md5((1 + i % 5)::text)::uuid,
    timestamptz '2020-01-01 01:00+02' + i * interval '1 day', i * 1.5, '{"a": 1}'
    FROM generate_series(1, 50) i;
INSERT INTO line SELECT 'EU', 51 - i, 'item' FROM generate_series(1, 50) i;
"""


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a server that lives for the test; skips where there is none to start."""
    psycopg = pytest.importorskip("psycopg", reason="the extra relscale[sql] is not installed")
    with contextlib.ExitStack() as running:
        try:
            url = running.enter_context(postgresql())
        except Absent as absent:
            pytest.skip(str(absent))
        with psycopg.connect(url) as connection:
            connection.execute(SCHEMA)
        yield url


def test_keys_and_types_come_from_the_catalogue(server, imported):
    folder, report = imported(server)
    database = relbench.load_dataset(folder).get_db(False).table_dict
    assert {name: table.fkey_col_to_pkey_table for name, table in database.items()} == {
        "Customer": {},
        "line": {"region_no": "order"},
        "order": {"customer": "Customer"},
    }
    order = database["order"].df
    assert order["placed"].iloc[0].isoformat() == "2020-01-01T23:00:00"
    assert order["total"].tolist() == [1.5 * i for i in range(1, 51)]
    assert database["Customer"].df["vip"].sum() == 2
    assert database["line"].df["region_no"].tolist() == list(range(50))
    password = server.split(":")[2].split("@")[0]
    assert password not in str(report) and report["source"].startswith("postgresql+psycopg://ann:***@")
