"""The token store on disk: layout, checks, bounded number of open files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from relscale.model import store as store_module
from relscale.model.context import SemType
from relscale.model.items import check_training_context, training_items
from relscale.model.store import NO_TIME, TokenStore
from relscale.platform.dataflow import map_keys_here
from relscale.platform.errors import DataError, ResumeError


@pytest.fixture
def copied(handmade_store: TokenStore, tmp_path: Path) -> Path:
    return Path(shutil.copytree(handmade_store.path, tmp_path / "store"))


def test_shape_of_the_hand_made_database(handmade_store: TokenStore):
    shop = handmade_store.database("shop")
    assert (shop.n_nodes, shop.n_cells) == (34, 9 + 46 + 8 + 2 + 20 + 8)
    assert [(t.name, t.kind, t.offset, t.n_rows) for t in shop.tables[3:7]] == [
        ("regions", "db", 18, 2),
        ("churn", "train", 20, 5),
        ("churn", "val", 25, 2),
        ("churn", "test", 27, 3),
    ]
    assert shop.arrays.node_time[15 + 1] == NO_TIME
    assert list(shop.skipped_tasks) == ["next-product"]


def test_stored_values_give_back_the_raw_ones(handmade_store: TokenStore):
    shop = handmade_store.database("shop")
    arrays = shop.arrays
    raw: dict[tuple[str, str], list] = {}
    for table in shop.tables:
        for node in range(table.offset, table.offset + table.n_rows):
            for cell in range(arrays.cell_ptr[node], arrays.cell_ptr[node + 1]):
                column = shop.columns[arrays.cell_column[cell]]
                assert column.table == table.name
                bits = arrays.cell_bits[cell]
                if column.sem_type == SemType.TEXT:
                    value = handmade_store.strings[shop.text_rows[bits]]
                else:
                    value = float(bits.view(np.float32)) * column.std + column.mean
                raw.setdefault((column.table, column.name), []).append(value)
    assert raw["orders", "amount"] == pytest.approx([1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 200, 250], rel=1e-5)
    assert np.round(raw["orders", "late"]).tolist() == [1, 0, 0, 1, 0, 1, 0, 1, 1, 0, 1]
    assert np.round(raw["orders", "status"]).tolist() == [0, 1, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0]
    assert raw["customers", "note"] == ["kind", ""]
    assert raw["products", "colour"] == ["red", "blue", "red"]
    days = np.array(raw["churn", "day"]) / 86400e6 - 18261.5  # 2020-01-01 is day 18262 since 1970
    assert days == pytest.approx([3, 3, 5, 7, 7, 11, 11, 16, 16, 19], abs=0.01)
    assert raw["spend", "total"] == pytest.approx([3, 5, 20, 30])


def test_columns_know_their_name_in_the_text_table(handmade_store: TokenStore):
    for column in handmade_store.database("shop").columns:
        assert handmade_store.strings[column.text_row] == f"{column.name} of {column.table}"
    assert handmade_store.strings == sorted(set(handmade_store.strings))
    assert handmade_store.embeddings.shape == (len(handmade_store.strings), 384)
    assert handmade_store.embeddings.dtype == np.float16


def test_trainable_columns(handmade_store: TokenStore):
    columns = handmade_store.database("shop").columns
    assert [f"{c.table}.{c.name}" for c in columns if c.trainable] == [
        "customers.age",
        "customers.vip",
        "orders.amount",
        "orders.late",
        "orders.status",
        "products.price",
    ]


def test_counts_of_the_real_database(rel_f1_store: TokenStore):
    database = rel_f1_store.database("rel-f1")
    assert (database.n_nodes, database.n_cells) == (121_660, 522_363)
    assert len({table.name for table in database.tables if table.kind == "db"}) == 9
    sizes = {(t.name, t.kind): t.n_rows for t in database.tables if t.kind != "db"}
    assert [sizes["driver-dnf", split] for split in ("train", "val", "test")] == [11_411, 566, 702]
    position = database.columns[database.column_index("driver-position", "position")]
    assert position.std == pytest.approx(7.026, abs=5e-4)


def test_arrays_are_read_only_and_few_are_open(
    make_shop, tokenize_fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = ["a", "b", "c"]
    folders = [make_shop(tmp_path / name, name) for name in names]
    store = tokenize_fake(folders, tmp_path / "store", run=map_keys_here)
    monkeypatch.setattr(store_module, "MAX_OPEN", 2)
    first = store.database("a").arrays
    assert store.database("a").arrays is first
    with pytest.raises(ValueError, match="read-only"):
        first.node_time[0] = 0
    for name in names:
        assert len(store.database(name).arrays.node_time) == 34
    assert list(store._open) == ["b", "c"]
    assert np.array_equal(store.database("a").arrays.parents, first.parents)


def test_what_is_not_a_finished_store_is_refused(tmp_path: Path, copied: Path):
    with pytest.raises(DataError, match=r"no store\.json.*relscale tokenize"):
        TokenStore.open(tmp_path)
    manifest = json.loads((copied / "store.json").read_text())
    (copied / "store.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ResumeError, match=r"format 99.*reads 3"):
        TokenStore.open(copied)


def test_a_cut_file_is_refused(copied: Path):
    path = copied / "databases" / "shop" / "arrays.bin"
    path.write_bytes(path.read_bytes()[:-40])
    shop = TokenStore.open(copied).database("shop")
    with pytest.raises(DataError, match=r"arrays\.bin' is missing or cut short"):
        shop.map_arrays()


def test_other_damaged_files_are_refused(copied: Path):
    (shared,) = (copied / "shared").iterdir()
    (shared / "embeddings.npy").write_bytes((shared / "embeddings.npy").read_bytes()[:-40])
    with pytest.raises(DataError, match=r"embeddings\.npy' is missing or cut short"):
        _ = TokenStore.open(copied).embeddings
    (copied / "databases" / "shop" / "meta.json").write_text("{")
    with pytest.raises(DataError, match=r"meta\.json' is missing or broken; delete the folder"):
        TokenStore.open(copied).database("shop")


def test_trainable_columns_of_all_databases_are_in_one_index(
    make_shop, tokenize_fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folders = [make_shop(tmp_path / name, name) for name in ("a", "b")]
    store = tokenize_fake(folders, tmp_path / "store", run=map_keys_here)
    expected = []
    for place, name in enumerate(store.names):
        database = store.database(name)
        width = {"customers": 4, "orders": 4, "products": 3}
        expected += [
            (place, number, column.n_cells, width[column.table], -1)
            for number, column in enumerate(database.columns)
            if column.trainable
        ]
        train = {table.name: table for table in database.tables if table.kind == "train"}
        labels = sorted(
            (database.column_index(t, database.task(t).target_col), t) for t in ("churn", "spend")
        )
        expected += [
            (place, number, train[t].n_rows, train[t].row_width, train[t].offset) for number, t in labels
        ]
    assert store.trainable.tolist() == expected
    monkeypatch.setattr(TokenStore, "database", None)  # nothing else is read to start training
    opened = TokenStore.open(store.path)
    assert training_items(opened, opened.names, seed=0).n_cells == 2 * 43
    check_training_context(opened, opened.names, 4)


def test_row_widths_are_those_of_the_widest_rows(handmade_store: TokenStore):
    shop = handmade_store.database("shop")
    for table in shop.tables:
        counts = np.diff(shop.arrays.cell_ptr[table.offset : table.offset + table.n_rows + 1])
        assert table.row_width == counts.max()


def test_wrong_names_list_the_right_ones(handmade_store: TokenStore):
    shop = handmade_store.database("shop")
    with pytest.raises(DataError, match=r"no database 'mall'; .* are: shop\."):
        handmade_store.database("mall")
    with pytest.raises(DataError, match=r"no task 'chrn'; it has: churn, spend, status\."):
        shop.task("chrn")
    with pytest.raises(DataError, match=r"task 'next-product' .*recommendation"):
        shop.task("next-product")
    with pytest.raises(DataError, match="no table 'churn' \\(db\\)"):
        shop.table("churn")
    with pytest.raises(DataError, match="no cells of column 'id' of 'orders'"):
        shop.column_index("orders", "id")
