"""Contexts: what they must never show, what they always hold, and that they depend on nothing else."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from relscale.model.config import SamplerConfig
from relscale.model.context import ContextBatch, SemType
from relscale.model.items import Items, task_items, training_items
from relscale.model.sampler import sample_contexts
from relscale.model.store import NO_TIME, TokenStore

FIELDS = ContextBatch.__slots__


def _all_items(store: TokenStore, name: str) -> Items:
    database = store.database(name)
    parts = [task_items(database, task.name, split) for task in database.tasks for split in ("train", "test")]
    parts.append(training_items(store, [name], seed=0).locate(0, 100))
    return Items(**{f: np.concatenate([getattr(p, f)[:150] for p in parts]) for f in Items.__slots__})


def _check(store: TokenStore, name: str, items: Items, batch: ContextBatch, length: int) -> None:
    """Every property of a context that is a promise."""
    database = store.database(name)
    arrays = database.arrays
    text_row = np.array([column.text_row for column in database.columns])
    label_of = np.full(database.n_nodes, -1)  # column index of the label that a row holds
    for table in database.tables:
        if table.kind != "db":
            task = database.task(table.name)
            label_of[table.offset : table.offset + table.n_rows] = database.column_index(
                task.name, task.target_col
            )
    for i in range(len(items)):
        seed, column = int(items.node[i]), int(items.column[i])
        n = int((batch.node[i] >= 0).sum())
        assert 0 < n <= length
        node, time = batch.node[i, :n], arrays.node_time[batch.node[i, :n]]
        assert (batch.node[i, n:] == -1).all()
        assert (batch.parents[i, n:] == -1).all()
        for field in ("column", "sem_type", "value", "text", "masked"):
            assert not getattr(batch, field)[i, n:].any()
        # The target is there, once, and is what is hidden.
        place = int(batch.target[i])
        assert batch.masked[i].sum() == 1
        assert batch.masked[i, place]
        assert (node[place], batch.column[i, place]) == (seed, text_row[column])
        assert len(set(zip(node.tolist(), batch.column[i, :n].tolist(), strict=True))) == n
        # Nothing later than the seed; a seed without time sees no child with one.
        limit = arrays.node_time[seed]
        if limit != NO_TIME:
            assert time.max() <= limit
        # Label rows: of the seed's own task alone, strictly earlier.
        labels = (label_of[node] >= 0) & (node != seed)
        assert (label_of[node[labels]] == column).all()
        assert (time[labels] < limit).all()
        # Parents are the row's own.
        width = arrays.parents.shape[1]
        assert np.array_equal(batch.parents[i, :n, :width], arrays.parents[node])
        # Sorted by column, in whole cells of the store.
        order = [int(np.flatnonzero(text_row == row)[0]) for row in batch.column[i, :n]]
        assert order == sorted(order)


@pytest.mark.parametrize("length", [2, 5, 16, 64])
@pytest.mark.parametrize("width", [1, 128])
def test_promises_on_the_hand_made_database(handmade_store: TokenStore, length: int, width: int):
    items = _all_items(handmade_store, "shop")
    config = SamplerConfig(context_length=length, bfs_width=width)
    _check(
        handmade_store,
        "shop",
        items,
        sample_contexts(handmade_store, ["shop"], items, config, seed=1),
        length,
    )


def test_promises_on_the_real_database(rel_f1_store: TokenStore):
    items = _all_items(rel_f1_store, "rel-f1")
    batch = sample_contexts(rel_f1_store, ["rel-f1"], items, SamplerConfig(context_length=256), seed=2)
    _check(rel_f1_store, "rel-f1", items, batch, 256)


def test_the_values_are_those_of_the_store(handmade_store: TokenStore):
    shop = handmade_store.database("shop")
    batch = sample_contexts(
        handmade_store, ["shop"], _all_items(handmade_store, "shop"), SamplerConfig(), seed=0
    )
    cells = {
        (node, shop.columns[shop.arrays.cell_column[cell]].text_row): cell
        for node in range(shop.n_nodes)
        for cell in range(shop.arrays.cell_ptr[node], shop.arrays.cell_ptr[node + 1])
    }
    kind_of = {column.text_row: column.sem_type for column in shop.columns}
    for i, place in zip(*np.nonzero(batch.node >= 0), strict=True):
        column = int(batch.column[i, place])
        bits = shop.arrays.cell_bits[cells[int(batch.node[i, place]), column]]
        assert batch.sem_type[i, place] == kind_of[column]
        if kind_of[column] == SemType.TEXT:
            assert (batch.text[i, place], batch.value[i, place]) == (shop.text_rows[bits], 0)
        else:
            assert (batch.text[i, place], batch.value[i, place]) == (0, bits.view(np.float32))


def test_a_context_depends_on_its_number_alone(rel_f1_store: TokenStore):
    names, config = ["rel-f1"], SamplerConfig(context_length=128, bfs_width=4, mask_prob=0.5)
    items = training_items(rel_f1_store, names, seed=0).locate(500, 60)
    whole = sample_contexts(rel_f1_store, names, items, config, seed=9, first_index=500)
    first = sample_contexts(rel_f1_store, names, items.slice(0, 23), config, seed=9, first_index=500)
    rest = sample_contexts(rel_f1_store, names, items.slice(23, 60), config, seed=9, first_index=523)
    other = sample_contexts(rel_f1_store, names, items, config, seed=10, first_index=500)
    for field in FIELDS:
        parts = np.concatenate([getattr(first, field), getattr(rest, field)])
        assert np.array_equal(getattr(whole, field), parts)
    assert not np.array_equal(whole.node, other.node)


def test_databases_may_be_mixed_in_a_batch(make_shop, tokenize_fake, tmp_path: Path):
    from relscale.platform.dataflow import map_keys_here

    folders = [make_shop(tmp_path / name, name) for name in ("a", "b", "c")]
    store = tokenize_fake(folders, tmp_path / "store", run=map_keys_here)
    items = training_items(store, store.names, seed=0).locate(0, 30)
    config = SamplerConfig(context_length=32)
    mixed = sample_contexts(store, store.names, items, config, seed=0)
    for i in range(30):
        one = sample_contexts(store, store.names, items.slice(i, i + 1), config, seed=0, first_index=i)
        assert all(np.array_equal(getattr(mixed, f)[i], getattr(one, f)[0]) for f in FIELDS)


@pytest.mark.parametrize(
    ("length", "share", "labels"), [(256, 0.92, 4.6), (1024, 0.97, 23.0)], ids=["256", "1024"]
)
def test_own_labels_reach_the_context_as_often_as_published(
    rel_f1_store: TokenStore, length: int, share: float, labels: float
):
    """The published procedure gives these figures on the test rows of driver-dnf at width 128."""
    database = rel_f1_store.database("rel-f1")
    items = task_items(database, "driver-dnf", "test")
    batch = sample_contexts(rel_f1_store, ["rel-f1"], items, SamplerConfig(context_length=length), seed=0)
    label = database.columns[int(items.column[0])].text_row
    entity = batch.parents[np.arange(len(items)), batch.target, 0]
    own = (batch.column == label) & (batch.node >= 0) & (batch.parents[:, :, 0] == entity[:, None])
    n_own = own.sum(axis=1) - 1
    assert (n_own > 0).mean() == pytest.approx(share, abs=0.015)
    assert n_own.mean() == pytest.approx(labels, rel=0.05)


def test_masking_hides_a_share_of_number_and_boolean_cells(rel_f1_store: TokenStore):
    items = training_items(rel_f1_store, ["rel-f1"], seed=0).locate(0, 400)
    config = SamplerConfig(context_length=256, mask_prob=0.6)
    batch = sample_contexts(rel_f1_store, ["rel-f1"], items, config, seed=0)
    plain = sample_contexts(rel_f1_store, ["rel-f1"], items, config.replace(mask_prob=0.0), seed=0)
    for field in FIELDS:
        if field != "masked":
            assert np.array_equal(getattr(batch, field), getattr(plain, field))
    assert batch.masked[np.arange(400), batch.target].all()
    scalar = np.isin(batch.sem_type, [SemType.NUMBER, SemType.BOOLEAN]) & (batch.node >= 0)
    assert not (batch.masked & ~scalar).any()
    shares = batch.masked.sum(axis=1) / scalar.sum(axis=1)
    # A uniform share in [0, 0.6]: mean 0.3 with standard deviation 0.6 / sqrt(12).
    assert shares.mean() == pytest.approx(0.3, abs=5 * 0.1732 / 20)
    assert shares.std() == pytest.approx(0.1732, abs=0.04)


def test_columns_that_give_the_label_away_are_hidden(handmade_store: TokenStore):
    shop = handmade_store.database("shop")
    row_of = {(c.table, c.name): c.text_row for c in shop.columns}
    config = SamplerConfig(context_length=128)

    def cells(batch: ContextBatch, i: int, column: tuple[str, str]) -> set[int]:
        return set(batch.node[i][(batch.column[i] == row_of[column]) & (batch.node[i] >= 0)].tolist())

    # churn must not see customers.vip of its entity, though the entity has no time.
    items = task_items(shop, "churn", "test")
    batch = sample_contexts(handmade_store, ["shop"], items, config, seed=0)
    assert 0 in batch.node[0]
    assert 0 not in cells(batch, 0, ("customers", "vip"))
    assert 0 in cells(batch, 0, ("customers", "age"))
    # status must not see orders.amount in its own row; other rows' amounts and statuses stay.
    items = task_items(shop, "status", "test")
    batch = sample_contexts(handmade_store, ["shop"], items, config, seed=0)
    assert int(items.node[1]) not in cells(batch, 1, ("orders", "amount"))
    assert len(cells(batch, 1, ("orders", "amount"))) > 3
    assert len(cells(batch, 1, ("orders", "status"))) > 3
    # A column that no task predicts hides nothing.
    late = shop.column_index("orders", "late")
    items = Items(database=np.zeros(1, np.int32), column=np.array([late], np.int32), node=np.array([14]))
    batch = sample_contexts(handmade_store, ["shop"], items, config, seed=0)
    assert 14 in cells(batch, 0, ("orders", "amount"))


def test_rows_of_the_seeds_instant_hide_the_given_away_columns(make_shop, tokenize_fake, tmp_path: Path):
    folder = make_shop(tmp_path / "shop")
    path = folder / "db" / "orders.parquet"
    orders = pq.read_table(path)
    placed = orders["placed"].to_pylist()
    placed[10] = placed[11]  # orders 10 and 11 at one instant, joined by one product
    product = pa.array([0, 1, 0, 1, 2, 0, 2, 1, 0, 2, 0, 0])
    orders = orders.set_column(3, "placed", pa.array(placed, pa.timestamp("us")))
    pq.write_table(orders.set_column(2, "product", product), path)
    store = tokenize_fake([folder], tmp_path / "store")
    shop = store.database("shop")
    items = task_items(shop, "status", "test")
    assert items.node.tolist() == [13, 14]
    batch = sample_contexts(store, ["shop"], items, SamplerConfig(context_length=128), seed=0)
    amount = shop.columns[shop.column_index("orders", "amount")].text_row
    with_amount = set(batch.node[1][batch.column[1] == amount].tolist())
    assert {3, 5} <= with_amount
    assert 13 in batch.node[1]
    assert not {13, 14} & with_amount


def test_labels_without_time_show_those_of_the_train_split_alone(make_shop, tokenize_fake, tmp_path: Path):
    folder = make_shop(tmp_path / "shop")
    task = folder / "tasks" / "churn"
    manifest = yaml.safe_load((task / "manifest.yaml").read_text())
    for key in ("time_col", "timedelta", "sql"):
        del manifest[key]
    (task / "manifest.yaml").write_text(yaml.safe_dump({**manifest, "kind": "external"}))
    for split in ("train", "val", "test"):
        labels = pq.read_table(task / f"{split}.parquet")
        pq.write_table(labels.drop_columns(["day"]), task / f"{split}.parquet")
    store = tokenize_fake([folder], tmp_path / "store")
    shop = store.database("shop")
    train = shop.table("churn", "train")
    items = task_items(shop, "churn", "test")
    batch = sample_contexts(store, ["shop"], items, SamplerConfig(context_length=256), seed=0)
    for i, seed in enumerate(items.node):
        labels = {node for node in batch.node[i].tolist() if node >= train.offset and node != seed}
        assert labels
        assert max(labels) < train.offset + train.n_rows
        orders = {node for node in batch.node[i].tolist() if 3 <= node < 15}
        assert orders <= {11}  # the only order without a time


def _star(folder: Path, n_children: int, n_labels: int) -> Path:
    """One parent row, many children, and as many labels of that parent at one a day."""
    (folder / "db").mkdir(parents=True)
    pq.write_table(pa.table({"id": [0, 1], "size": [1.0, 2.0]}), folder / "db" / "hub.parquet")
    spokes = pa.table({"hub": [0] * n_children, "length": np.arange(n_children, dtype=float)})
    pq.write_table(spokes, folder / "db" / "spoke.parquet")
    tables = {"hub": {"pkey": "id"}, "spoke": {"fkeys": {"hub": "hub"}}}
    manifest = {
        "name": "star",
        "val_timestamp": "2030-01-01",
        "test_timestamp": "2031-01-01",
        "tables": tables,
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    task = folder / "tasks" / "t"
    task.mkdir(parents=True)
    about = {"name": "t", "kind": "forecast", "task_type": "regression", "entity_table": "hub", "sql": "-"}
    about |= {"entity_col": "hub", "target_col": "y", "time_col": "day", "timedelta": "1 days"}
    (task / "manifest.yaml").write_text(yaml.safe_dump(about))
    days = np.datetime64("2020-01-01", "us") + np.arange(n_labels + 1) * np.timedelta64(1, "D")
    for split, part in (("train", days[:-1]), ("val", days[:0]), ("test", days[-1:])):
        n = len(part)
        label = {"day": part, "hub": np.zeros(n, np.int64), "y": np.arange(n, dtype=float)}
        pq.write_table(pa.table(label), task / f"{split}.parquet")
    return folder


def test_children_are_a_uniform_sample_of_the_width(tokenize_fake, tmp_path: Path):
    store = tokenize_fake([_star(tmp_path / "star", 40, 1)], tmp_path / "store")
    size = store.database("star").column_index("hub", "size")
    n = 2000
    items = Items(
        database=np.zeros(n, np.int32), column=np.full(n, size, np.int32), node=np.zeros(n, np.int64)
    )
    config = SamplerConfig(context_length=64, bfs_width=10)
    batch = sample_contexts(store, ["star"], items, config, seed=0)
    assert (batch.node >= 0).sum(axis=1).tolist() == [11] * n
    counts = Counter(batch.node[batch.node >= 2].tolist())
    assert len(counts) == 40
    expected, deviation = n * 0.25, (n * 0.25 * 0.75) ** 0.5
    assert max(abs(count - expected) for count in counts.values()) < 5 * deviation


def test_own_labels_are_not_limited_by_the_width_but_by_the_context(tokenize_fake, tmp_path: Path):
    store = tokenize_fake([_star(tmp_path / "star", 40, 3000)], tmp_path / "store")
    items = task_items(store.database("star"), "t", "test")
    config = SamplerConfig(context_length=256, bfs_width=1)
    batch = sample_contexts(store, ["star"], items, config, seed=0)
    table = store.database("star").table("t", "train")
    assert len(set(batch.node[0][batch.node[0] >= table.offset].tolist())) > 120  # two cells each
