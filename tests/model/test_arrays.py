"""A database's arrays: nothing after the val timestamp shapes the normalization."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from relscale.model.arrays import DatabaseContent, database_content
from relscale.model.context import SemType
from relscale.model.source import read_database
from relscale.platform.errors import DataError


def _content(folder: Path) -> DatabaseContent:
    return database_content(read_database(folder))


def _scales(content: DatabaseContent) -> list[tuple]:
    return [(c["table"], c["name"], c["mean"], c["std"]) for c in content.meta["columns"]]


def test_later_rows_do_not_shape_means_and_deviations(tmp_path: Path, make_shop, handmade: Path):
    folder = make_shop(tmp_path / "shop")
    path = folder / "db" / "orders.parquet"
    orders = pq.read_table(path)
    amount = pa.array([1, 2, 3, 4, 5, 6, 7, 8, 9, -5, 10**9, 17])
    late = pa.array([True, False, None, False, True, False, True, False, True, None, None, None])
    shifted = pc.if_else(
        pc.greater(orders["placed"], pa.scalar(1578700800_000000, pa.timestamp("us"))),  # 2020-01-11
        pc.add(orders["placed"], pa.scalar(10**12, pa.duration("us"))),
        orders["placed"],
    )
    orders = orders.set_column(4, "amount", amount).set_column(5, "late", late)
    pq.write_table(orders.set_column(3, "placed", shifted), path)
    for split in ("val", "test"):
        path = folder / "tasks" / "spend" / f"{split}.parquet"
        labels = pq.read_table(path)
        pq.write_table(labels.set_column(2, "total", pa.array([1e6])), path)
    assert _scales(_content(folder)) == _scales(_content(handmade))


def test_a_change_before_the_val_timestamp_does(tmp_path: Path, make_shop, handmade: Path):
    folder = make_shop(tmp_path / "shop")
    path = folder / "db" / "orders.parquet"
    orders = pq.read_table(path)
    pq.write_table(orders.set_column(4, "amount", pa.array([50, *range(2, 13)])), path)
    assert _scales(_content(folder)) != _scales(_content(handmade))


def test_values_far_outside_the_known_range_stay_finite(tmp_path: Path, make_shop):
    folder = make_shop(tmp_path / "shop")
    path = folder / "db" / "orders.parquet"
    orders = pq.read_table(path)
    pq.write_table(orders.set_column(4, "amount", pa.array([1.0] * 10 + [1e300, -1e300])), path)
    content = _content(folder)
    column = next(i for i, c in enumerate(content.meta["columns"]) if c["name"] == "amount")
    scores = content.arrays.cell_bits[content.arrays.cell_column == column].view("float32")
    assert scores.tolist() == [0.0] * 10 + [100.0, -100.0]


@pytest.mark.parametrize(
    ("task_type", "target", "message"),
    [
        ("regression", "placed", "'status' is a regression, but 'placed' is datetime"),
        ("regression", "id", "its target 'id' is a key"),
        ("binary_classification", "amount", "'amount' has 12 values"),
    ],
)
def test_a_target_that_contradicts_its_task(
    tmp_path: Path, make_shop, task_type: str, target: str, message: str
):
    manifest = make_shop(tmp_path / "shop") / "tasks" / "status" / "manifest.yaml"
    text = manifest.read_text().replace("target_col: status", f"target_col: {target}")
    manifest.write_text(text.replace("binary_classification", task_type))
    with pytest.raises(DataError, match=message):
        _content(tmp_path / "shop")


def test_a_label_that_is_no_number(tmp_path: Path, make_shop):
    path = make_shop(tmp_path / "shop") / "tasks" / "spend" / "val.parquet"
    labels = pq.read_table(path)
    pq.write_table(labels.set_column(2, "total", pa.array([float("nan")])), path)
    with pytest.raises(DataError, match="task 'spend': the label 'total' is no number in row 2"):
        _content(tmp_path / "shop")


def test_two_columns_of_one_title(tmp_path: Path, make_shop):
    folder = make_shop(tmp_path / "shop")
    (folder / "tasks" / "churn").rename(folder / "tasks" / "orders")
    manifest = folder / "tasks" / "orders" / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("target_col: gone", "target_col: late"))
    for split in ("train", "val", "test"):
        path = folder / "tasks" / "orders" / f"{split}.parquet"
        pq.write_table(pq.read_table(path).rename_columns(["day", "customer", "late"]), path)
    with pytest.raises(DataError, match="database 'shop' has two columns 'late of orders'; rename"):
        _content(folder)


def test_empty_tables_splits_and_columns_are_tokenized(tmp_path: Path, make_shop, tokenize_fake):
    folder = make_shop(tmp_path / "shop")
    products = pq.read_table(folder / "db" / "products.parquet")
    pq.write_table(products.slice(0, 0), folder / "db" / "products.parquet")
    orders = pq.read_table(folder / "db" / "orders.parquet")
    orders = orders.set_column(2, "product", pa.nulls(12, pa.int64()))
    orders = orders.set_column(4, "amount", pa.nulls(12)).set_column(5, "late", pa.nulls(12, pa.string()))
    pq.write_table(orders, folder / "db" / "orders.parquet")
    labels = pq.read_table(folder / "tasks" / "spend" / "val.parquet")
    pq.write_table(labels.slice(0, 0), folder / "tasks" / "spend" / "val.parquet")
    shop = tokenize_fake([folder], tmp_path / "store").database("shop")
    empty = [c.name for c in shop.columns if c.n_cells == 0]
    assert empty == ["amount", "late", "added", "price", "colour"]
    assert (shop.n_nodes, shop.n_cells) == (34 - 3 - 1, 93 - 12 - 11 - 8 - 2)
    assert shop.table("spend", "test").offset == 29


def test_labels_of_more_classes_are_rows_of_text(tmp_path: Path, make_shop, tokenize_fake):
    folder = make_shop(tmp_path / "shop")
    manifest = folder / "tasks" / "churn" / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("binary_classification", "multiclass_classification"))
    store = tokenize_fake([folder], tmp_path / "store")
    shop = store.database("shop")
    gone = shop.column_index("churn", "gone")
    assert shop.columns[gone].sem_type == SemType.TEXT
    texts = shop.arrays.cell_bits[shop.arrays.cell_column == gone]
    assert [store.strings[shop.text_rows[text]] for text in texts] == list("0101110011")
    assert [task.name for task in shop.tasks] == ["churn", "spend", "status"]
    assert [task.name for task in shop.predictable_tasks] == ["spend", "status"]
    with pytest.raises(DataError, match="task 'churn' of database 'shop': task type multiclass"):
        shop.task("churn")


def test_tasks_that_contradict_each_other_about_a_column(tmp_path: Path, make_shop):
    tasks = make_shop(tmp_path / "shop") / "tasks"
    text = (tasks / "status" / "manifest.yaml").read_text()
    for name, task_type in (("again", "regression"), ("more", "multiclass_classification")):
        (tasks / name).mkdir()
        (tasks / name / "manifest.yaml").write_text(text.replace("binary_classification", task_type))
    message = "tasks 'again' and 'status' predict 'status' as regression and binary_classification; remove"
    with pytest.raises(DataError, match=message):
        _content(tmp_path / "shop")
    (tasks / "again" / "manifest.yaml").unlink()
    columns = _content(tmp_path / "shop").meta["columns"]  # what can be predicted decides the type
    (status,) = [column for column in columns if column["name"] == "status"]
    assert status["sem_type"] == SemType.BOOLEAN


def test_a_table_without_rows_before_the_val_timestamp_has_no_statistics(tmp_path: Path, make_shop):
    folder = make_shop(tmp_path / "shop")
    path = folder / "db" / "products.parquet"
    products = pq.read_table(path)
    later = pa.array([datetime(2020, 1, n) for n in (12, 13, 20)], pa.timestamp("us"))
    pq.write_table(products.set_column(1, "added", later), path)
    assert ("products", "price", 0.0, 1.0) in _scales(_content(folder))
