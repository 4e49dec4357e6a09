"""Items: which cells are predicted, and that their numbering is arithmetic."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from relscale.model.context import SemType
from relscale.model.items import (
    Items,
    check_task_context,
    check_training_context,
    evaluation_items,
    task_items,
    training_items,
)
from relscale.model.store import TokenStore
from relscale.platform.dataflow import map_keys_here
from relscale.platform.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def two(make_shop, tokenize_fake, tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    root = tmp_path_factory.mktemp("two")
    folders = [make_shop(root / name, name) for name in ("a", "b")]
    return tokenize_fake(folders, root / "store", run=map_keys_here)


def _triples(items: Items) -> list[tuple[int, int, int]]:
    return list(zip(items.database.tolist(), items.column.tolist(), items.node.tolist(), strict=True))


def _has_cell(store: TokenStore, name: str, column: int, node: int) -> bool:
    arrays = store.database(name).arrays
    return column in arrays.cell_column[arrays.cell_ptr[node] : arrays.cell_ptr[node + 1]]


def test_a_range_is_the_same_in_any_pieces(two: TokenStore):
    items = training_items(two, two.names, seed=3)
    whole = _triples(items.locate(1000, 64))
    assert whole == _triples(items.locate(1000, 10)) + _triples(items.locate(1010, 54))
    assert whole == _triples(items.locate(900, 264))[100:164]
    assert whole == _triples(training_items(two, two.names, seed=3).locate(1000, 64))
    assert whole != _triples(training_items(two, two.names, seed=4).locate(1000, 64))


def test_a_share_of_the_items_are_labels_of_train_splits(two: TokenStore):
    items = training_items(two, two.names, seed=3, label_share=0.3)
    whole = _triples(items.locate(0, 6000))
    assert whole[1000:1064] == _triples(items.locate(1000, 64))
    database = two.database("a")
    asked = [(task, task_items(database, task, "train").node) for task in ("churn", "spend")]
    labels = {
        (index, database.column_index(task, database.task(task).target_col), node)
        for index in range(2)
        for task, nodes in asked
        for node in nodes.tolist()
    }
    drawn = [item for item in whole if item in labels]
    assert set(drawn) == labels and abs(len(drawn) / 6000 - 0.3) < 0.03
    plain = training_items(two, two.names, seed=3)
    others = [
        item for item, other in zip(whole, _triples(plain.locate(0, 6000)), strict=True) if item == other
    ]
    assert len(others) == len(whole) - len(drawn), "what is no label is as without labels"
    assert items.cells_per_database().tolist() == (plain.cells_per_database() + len(labels) // 2).tolist()


def test_every_cell_of_a_trainable_column_is_equally_likely(two: TokenStore):
    items = training_items(two, two.names, seed=0)
    cells = {
        (index, number, node)
        for index, name in enumerate(two.names)
        for number, column in enumerate(two.database(name).columns)
        for node in range(two.database(name).n_nodes)
        if column.trainable and _has_cell(two, name, number, node)
    }
    assert items.n_cells == len(cells) == 2 * (2 + 3 + 12 + 11 + 12 + 3)
    n = 400 * len(cells)
    drawn, counts = np.unique(np.array(_triples(items.locate(0, n))), axis=0, return_counts=True)
    assert set(map(tuple, drawn.tolist())) == cells
    assert np.abs(counts - 400).max() < 5 * 20  # five standard deviations of a Poisson count


def test_a_database_alone_is_indexed_in_the_given_names(two: TokenStore):
    items = training_items(two, ["b"], seed=0).locate(0, 50)
    assert set(items.database) == {0}


def test_nothing_to_train_on_is_said(two: TokenStore):
    with pytest.raises(DataError, match="none of the 0 databases has a number or boolean column"):
        training_items(two, [], seed=0)


def test_evaluation_items_are_few_distinct_and_independent_of_other_databases(two: TokenStore):
    items = evaluation_items(two, two.names, columns_per_type=2, rows_per_column=5, seed=1)
    triples = _triples(items)
    assert len(set(triples)) == len(triples)
    columns = two.database("a").columns
    for index, name in enumerate(two.names):
        for sem_type in (SemType.BOOLEAN, SemType.NUMBER):
            chosen = {c for i, c, _ in triples if i == index and columns[c].sem_type == sem_type}
            assert len(chosen) == 2
            for column in chosen:
                rows = [node for i, c, node in triples if (i, c) == (index, column)]
                assert len(rows) == min(5, columns[column].n_cells)
                assert all(_has_cell(two, name, column, node) for node in rows)
    alone = evaluation_items(two, ["b"], columns_per_type=2, rows_per_column=5, seed=1)
    assert _triples(alone) == [(0, column, node) for index, column, node in triples if index == 1]
    assert len(evaluation_items(two, [], columns_per_type=2, rows_per_column=5, seed=1)) == 0


def test_task_items_follow_the_label_files(handmade: Path, handmade_store: TokenStore):
    shop = handmade_store.database("shop")
    gone = shop.columns[shop.column_index("churn", "gone")]
    for split in ("train", "val", "test"):
        items = task_items(shop, "churn", split)
        labels = pq.read_table(handmade / "tasks" / "churn" / f"{split}.parquet")["gone"].to_pylist()
        stored = []
        for _, column, node in _triples(items):
            cells = slice(*shop.arrays.cell_ptr[[node, node + 1]])
            (bits,) = shop.arrays.cell_bits[cells][shop.arrays.cell_column[cells] == column]
            stored.append(round(float(bits.view(np.float32)) * gone.std + gone.mean))
        assert stored == labels
    assert _triples(items.slice(1, 3)) == _triples(items)[1:3]


def test_autocomplete_items_are_split_by_time(handmade_store: TokenStore):
    shop = handmade_store.database("shop")
    nodes = {split: task_items(shop, "status", split).node.tolist() for split in ("train", "val", "test")}
    assert nodes == {"train": [*range(3, 12)], "val": [12], "test": [13, 14]}


def test_an_unknown_task_is_named(handmade_store: TokenStore):
    with pytest.raises(DataError, match="has no task 'churns'"):
        task_items(handmade_store.database("shop"), "churns", "test")


def test_a_context_shorter_than_the_widest_target_row_is_refused(two: TokenStore):
    check_training_context(two, two.names, 4)
    message = "context_length is 3, but a row of table 'customers' of database 'b' has 4 cells.* at least 4"
    with pytest.raises(ConfigError, match=message):
        check_training_context(two, ["b"], 3)
    shop = two.database("a")
    for task, width in (("churn", 2), ("status", 4)):
        check_task_context(shop, task, width)
        with pytest.raises(ConfigError, match=f"has {width} cells"):
            check_task_context(shop, task, width - 1)


def test_the_order_of_the_names_is_that_of_the_items(two: TokenStore):
    forward, backward = (training_items(two, names, seed=0) for names in (["a", "b"], ["b", "a"]))
    assert _triples(forward.locate(0, 99)) == _triples(backward.locate(0, 99)), "equal databases"
    with pytest.raises(DataError, match="no database 'c'"):
        training_items(two, ["a", "c"], seed=0)
