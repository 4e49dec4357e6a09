"""Reading a RelBench 3 folder: what is refused, and with which words."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from relscale.model.source import read_database, source_digest
from relscale.model.store import NO_TIME
from relscale.platform.errors import DataError


def _replace(folder: Path, table: str, column: str, values: pa.Array) -> None:
    path = folder / "db" / f"{table}.parquet"
    data = pq.read_table(path)
    pq.write_table(data.set_column(data.column_names.index(column), column, values), path)


def _edit(folder: Path, edit) -> None:
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    edit(manifest)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))


def test_tables_keys_and_times(handmade: Path):
    database = read_database(handmade)
    tables = {table.name: table for table in database.tables}
    assert list(tables) == ["customers", "orders", "products", "regions", "churn", "spend"]
    orders = tables["orders"]
    assert orders.data.column_names == ["placed", "amount", "late", "status"]
    parent, rows = orders.fkeys["customer"]
    assert (parent, rows.tolist()) == ("customers", [0, 0, 1, 1, 0, 2, 1, 0, -1, 2, 1, 0])
    assert orders.time[8] == NO_TIME
    assert np.datetime64(int(orders.time[0]), "us") == np.datetime64("2020-01-02T12:00")
    assert np.datetime64(database.val_timestamp, "us") == np.datetime64("2020-01-11")
    assert tables["churn"].split_rows == (5, 2, 3)
    assert (tables["customers"].time == NO_TIME).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [0, 0, 1, 1, 0, 2, 1, 3, None, 2, 1, 0],
            r"'customer' is 3 in row 7, but 'customers' has rows 0\.\.2",
        ),
        ([0, -1, 1, 1, 0, 2, 1, 0, None, 2, 1, 0], r"'customer' is -1 in row 1"),
        ([0.5, 0, 1, 1, 0, 2, 1, 0, None, 2, 1, 0], r"'customer' is 0\.5 in row 0"),
        (["a"] * 12, "'customer' is string, expected row numbers"),
    ],
)
def test_a_bad_foreign_key_is_named(tmp_path: Path, make_shop, values: list, message: str):
    folder = make_shop(tmp_path / "shop")
    _replace(folder, "orders", "customer", pa.array(values))
    with pytest.raises(DataError, match=r"orders\.parquet.*" + message):
        read_database(folder)


def test_a_foreign_key_kept_as_float_is_read(tmp_path: Path, make_shop):
    folder = make_shop(tmp_path / "shop")
    before = read_database(folder).tables[1].fkeys["customer"][1]
    _replace(folder, "orders", "customer", pa.array(np.where(before < 0, np.nan, before)))
    assert np.array_equal(read_database(folder).tables[1].fkeys["customer"][1], before)


def test_a_primary_key_must_count_rows(tmp_path: Path, make_shop):
    folder = make_shop(tmp_path / "shop")
    _replace(folder, "regions", "id", pa.array([0, 7]))
    with pytest.raises(DataError, match=r"regions\.parquet.*primary key 'id' is 7 in row 1.*renumber"):
        read_database(folder)


def test_a_time_column_must_be_a_time(tmp_path: Path, make_shop):
    folder = make_shop(tmp_path / "shop")
    _replace(folder, "products", "added", pa.array([1, 2, 3]))
    with pytest.raises(DataError, match="time column 'added' is int64; store it as a timestamp"):
        read_database(folder)


def test_more_foreign_keys_than_the_model_sees(tmp_path: Path, make_shop):
    folder = make_shop(tmp_path / "shop")
    keys = {f"k{i}": "regions" for i in range(6)}
    _edit(folder, lambda manifest: manifest["tables"]["orders"].update(fkeys=keys))
    with pytest.raises(DataError, match=r"table 'orders' .* has 6 foreign keys.* at most 5"):
        read_database(folder)


def test_what_the_manifests_name_must_be_there(tmp_path: Path, make_shop):
    folder = make_shop(tmp_path / "shop")
    with pytest.raises(DataError, match=r"no manifest\.yaml"):
        read_database(tmp_path)
    _edit(folder, lambda manifest: manifest["tables"]["orders"].update(time_col="shipped"))
    with pytest.raises(DataError, match=r"has no column 'shipped'.* it has: id, customer"):
        read_database(folder)
    _edit(folder, lambda manifest: manifest["tables"]["orders"].update(time_col="placed"))
    _edit(folder, lambda manifest: manifest["tables"]["customers"].update(fkeys={"region": "areas"}))
    with pytest.raises(DataError, match="refers to table 'areas'"):
        read_database(folder)
    _edit(folder, lambda manifest: manifest["tables"]["customers"].update(fkeys={"region": "regions"}))
    (folder / "tasks" / "churn" / "val.parquet").unlink()
    with pytest.raises(DataError, match=r"churn/val\.parquet' does not exist"):
        read_database(folder)


@pytest.mark.parametrize("column", ["day", "customer", "gone"])
def test_a_label_without_time_entity_or_value_is_named(tmp_path: Path, make_shop, column: str):
    path = make_shop(tmp_path / "shop") / "tasks" / "churn" / "test.parquet"
    data = pq.read_table(path)
    holed = pa.concat_arrays([data[column].combine_chunks()[:2], pa.nulls(1, data[column].type)])
    pq.write_table(data.set_column(data.column_names.index(column), column, holed), path)
    with pytest.raises(DataError, match=rf"churn/test\.parquet': column '{column}' is null in row 2"):
        read_database(tmp_path / "shop")


def test_a_task_that_names_a_missing_column(tmp_path: Path, make_shop):
    manifest = make_shop(tmp_path / "shop") / "tasks" / "status" / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("- amount", "- weight"))
    with pytest.raises(DataError, match="task 'status' names column 'weight', which table 'orders' lacks"):
        read_database(tmp_path / "shop")


def test_the_digest_follows_the_content_alone(tmp_path: Path, make_shop, handmade: Path):
    folder = make_shop(tmp_path / "elsewhere")
    (folder / "README.md").write_text("not data")
    assert source_digest(folder) == source_digest(handmade)
    _replace(folder, "regions", "name", pa.array(["north", "west"]))
    assert source_digest(folder) != source_digest(handmade)


@pytest.mark.parametrize(
    "kind", [pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("ns"), pa.timestamp("us", "Europe/Berlin")]
)
def test_times_of_any_unit_and_zone_are_moments(tmp_path: Path, make_shop, kind: pa.DataType):
    folder = make_shop(tmp_path / "shop")
    before = read_database(folder).tables[1].time
    placed = pq.read_table(folder / "db" / "orders.parquet")["placed"]
    _replace(folder, "orders", "placed", pc.cast(placed, kind))
    assert np.array_equal(read_database(folder).tables[1].time, before)


def test_seconds_kept_as_integers_are_no_time(tmp_path: Path, make_shop):
    folder = make_shop(tmp_path / "shop")
    placed = pq.read_table(folder / "db" / "orders.parquet")["placed"]
    _replace(folder, "orders", "placed", pc.cast(pc.cast(placed, pa.timestamp("s")), pa.int64()))
    with pytest.raises(DataError, match=r"time column 'placed' is int64; store it as a timestamp"):
        read_database(folder)
