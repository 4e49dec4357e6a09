"""Reading a RelBench 3 folder: kinds, parents, sampling, and one sentence for every broken file."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from relscale.analysis.database import read_database
from relscale.platform.errors import DataError


def test_kinds_and_values(shop):
    orders = read_database(shop.folder).tables["orders"]
    columns = {column.name: column for column in orders.columns}
    assert {name: column.kind for name, column in columns.items()} == {
        "price": "number", "noise": "number", "paid": "boolean", "way": "category", "note": "text",
        "sent": "time", "empty": "number", "list": "other",
    }  # fmt: skip
    assert orders.time_col == "at" and orders.n_columns == 12
    assert columns["price"].missing_share == 0.05
    assert columns["empty"].missing_share == 1.0
    assert columns["way"].labels[0] == "post" and (columns["way"].values == 0).mean() == 0.5
    assert set(np.unique(columns["paid"].values)) == {0.0, 1.0}
    np.testing.assert_array_equal(columns["sent"].values - orders.times, 7 * 86_400)


def test_parents_by_strings_floats_and_nulls(shop):
    links = {link.key: link for link in read_database(shop.folder).links}
    with_null = np.where(np.arange(600) % 10 == 9, -1, shop.customer)
    np.testing.assert_array_equal(links["customer"].parents, with_null)
    np.testing.assert_array_equal(links["packer"].parents, np.repeat(np.arange(30), 20))
    assert links["boss"].parents[0] == -1 and links["boss"].parents[1:].max() < 5
    assert [link.n_broken for link in links.values()] == [0, 0, 0, 0]
    assert links["seller"].n_parents == 30


def test_a_key_without_its_row_is_counted(shop, tmp_path):
    folder = shutil.copytree(shop.folder, tmp_path / "shop")
    pq.write_table(pa.table({"id": np.arange(25), "boss": np.arange(25)}), folder / "db" / "staff.parquet")
    links = {link.key: link for link in read_database(folder).links}
    assert links["packer"].n_broken == 5 * 20
    assert (links["packer"].parents[-100:] == -1).all()


def test_values_of_long_tables_are_sampled_and_keys_are_not(shop):
    database = read_database(shop.folder, max_rows=100)
    orders = database.tables["orders"]
    assert len(orders.rows) == len(orders.times) == len(orders.columns[0].values) == 100
    assert (orders.rows[0], orders.rows[-1], orders.n_rows) == (0, 599, 600)
    assert len(database.links[1].parents) == 600
    whole = read_database(shop.folder).tables["orders"]
    np.testing.assert_array_equal(orders.times, whole.times[orders.rows])


def test_totals(shop):
    database = read_database(shop.folder)
    assert database.n_rows == 60 + 30 + 600
    assert database.n_cells == 60 * 3 + 30 * 3 + 600 * 12
    assert database.val_timestamp == np.datetime64("2020-08-01", "s").astype(float)


def test_a_real_database(rel_f1):
    database = read_database(rel_f1)
    assert (len(database.tables), database.n_rows, len(database.links)) == (9, 97_602, 13)
    assert all(link.n_broken == 0 for link in database.links)
    assert {column.name: column.kind for column in database.tables["drivers"].columns}["dob"] == "time"


def _cut(folder):
    path = folder / "db" / "orders.parquet"
    path.write_bytes(path.read_bytes()[:400])


def _change_manifest(**changes):
    def change(folder):
        manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
        (folder / "manifest.yaml").write_text(yaml.safe_dump({**manifest, **changes}))

    return change


ONE = {"pkey": "id", "time_col": None, "fkeys": {}}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "manifest.yaml").unlink(), "has no manifest.yaml"),
        (lambda folder: (folder / "manifest.yaml").write_text("tables: ["), "is not valid YAML"),
        (lambda folder: (folder / "manifest.yaml").write_text("- 1"), "names no tables"),
        (_change_manifest(tables={}), "an empty list of tables"),
        (_change_manifest(val_timestamp="soon"), "the timestamp 'soon', not an ISO date"),
        (_cut, r"orders.parquet' is not a readable Parquet file"),
        (lambda folder: (folder / "db" / "staff.parquet").unlink(), "staff.parquet' is missing"),
        (_change_manifest(tables={"staff": {**ONE, "pkey": "key"}}), "has no column 'key'"),
        (_change_manifest(tables={"staff": {**ONE, "fkeys": {"boss": "chiefs"}}}), "refers to 'chiefs'"),
        (
            _change_manifest(tables={"staff": ONE, "orders": {"fkeys": {"customer": "staff"}}}),
            "'orders.customer' is of type string, the primary key of 'staff' of type int64; store both",
        ),
    ],
)
def test_broken_folders(shop, tmp_path, damage, message):
    folder = shutil.copytree(shop.folder, tmp_path / "shop")
    damage(folder)
    with pytest.raises(DataError, match=message):
        read_database(folder)
