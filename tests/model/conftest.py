"""A hand-made shop with every kind of cell; random contexts without a store; three toy databases.

The shop is in RelBench 3 format: four tables, four tasks.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from relscale.model.context import MAX_PARENTS, ContextBatch, SemType
from relscale.model.store import TokenStore
from relscale.platform.dataflow import map_keys_here
from relscale.platform.seeds import Purpose, stream


def day(n: int) -> datetime:
    """The n-th day of January 2020, at noon."""
    return datetime(2020, 1, n, 12)


MANIFEST = {
    "name": "shop",
    "manifest_version": 1,
    "val_timestamp": "2020-01-11",
    "test_timestamp": "2020-01-16",
    "tables": {
        "regions": {"pkey": "id", "time_col": None, "fkeys": {}},
        "customers": {"pkey": "id", "time_col": None, "fkeys": {"region": "regions"}},
        "products": {"pkey": "id", "time_col": "added", "fkeys": {}},
        "orders": {
            "pkey": "id",
            "time_col": "placed",
            "fkeys": {"customer": "customers", "product": "products"},
        },
    },
}

TABLES = {
    "regions": {"id": [0, 1], "name": ["north", "south"]},
    "customers": {
        "id": [0, 1, 2],
        "region": pa.array([0, 1, None], pa.int64()),
        "age": pa.array([20.0, None, 60.0]),
        "vip": [True, False, False],
        "born": pa.array([datetime(1999, 5, 1), None, datetime(1960, 1, 1)], pa.timestamp("ns")),
        "note": pa.array(["kind", "", None]),
    },
    "products": {  # no foreign key, but a time; product 2 appears after some orders of it
        "id": [0, 1, 2],
        "added": pa.array([day(1), None, day(9)], pa.timestamp("us")),
        "price": [1.0, 2.0, 4.0],
        "colour": pa.array(["red", "blue", "red"]).dictionary_encode(),
    },
    "orders": {
        "id": list(range(12)),
        "customer": pa.array([0, 0, 1, 1, 0, 2, 1, 0, None, 2, 1, 0], pa.int64()),
        "product": pa.array([0, 1, 0, 1, 2, 0, 2, 1, 0, 2, None, 0], pa.int64()),
        "placed": pa.array(
            [day(n) for n in (2, 3, 4, 5, 6, 7, 8, 9)] + [None, day(12), day(17), day(18)],
            pa.timestamp("us"),
        ),
        "amount": pa.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 200, 250], pa.int64()),
        "late": pa.array([True, False, None, False, True, False, True, False, True, True, False, True]),
        "status": [3, 7, 7, 3, 3, 7, 7, 3, 7, 3, 7, 3],
    },
}

FORECAST = {
    "kind": "forecast",
    "entity_table": "customers",
    "entity_col": "customer",
    "time_col": "day",
    "timedelta": "3 days",
    "sql": "SELECT 1",
}

TASKS = {
    "churn": {
        **FORECAST,
        "task_type": "binary_classification",
        "target_col": "gone",
        "remove_columns": [["orders", "late"], ["customers", "vip"]],
    },
    "spend": {**FORECAST, "task_type": "regression", "target_col": "total"},
    "status": {
        "kind": "autocomplete",
        "task_type": "binary_classification",
        "entity_table": "orders",
        "target_col": "status",
        "remove_columns": [["orders", "amount"]],
    },
    "next-product": {
        "kind": "forecast",
        "task_type": "recommendation",
        "src_entity_table": "customers",
        "src_entity_col": "customer",
        "dst_entity_table": "products",
        "dst_entity_col": "product",
        "eval_k": 2,
        "timedelta": "3 days",
        "sql": "SELECT 1",
    },
}

LABELS = {  # (days, customers, values) per split
    "churn": {
        "train": ([3, 3, 5, 7, 7], [0, 1, 0, 0, 1], [0, 1, 0, 1, 1]),
        "val": ([11, 11], [0, 2], [1, 0]),
        "test": ([16, 16, 19], [0, 1, 0], [0, 1, 1]),
    },
    "spend": {
        "train": ([4, 8], [0, 1], [3.0, 5.0]),
        "val": ([12], [1], [20.0]),
        "test": ([17], [0], [30.0]),
    },
}


def write_shop(folder: Path, name: str = "shop") -> Path:
    """Write the hand-made database into `folder`; returns `folder`."""
    (folder / "db").mkdir(parents=True)
    (folder / "manifest.yaml").write_text(yaml.safe_dump({**MANIFEST, "name": name}))
    for table, columns in TABLES.items():
        pq.write_table(pa.table(columns), folder / "db" / f"{table}.parquet")
    for task, manifest in TASKS.items():
        place = folder / "tasks" / task
        place.mkdir(parents=True)
        (place / "manifest.yaml").write_text(yaml.safe_dump({"name": task, **manifest}))
        for split, (days, customers, values) in LABELS.get(task, {}).items():
            label = {
                "day": pa.array([day(n) for n in days], pa.timestamp("us")),
                "customer": customers,
                manifest["target_col"]: values,
            }
            pq.write_table(pa.table(label), place / f"{split}.parquet")
    return folder


class FakeEncoder:
    """A text encoder without a model: vectors from the characters."""

    def __init__(self, config) -> None:
        self.name = config.encoder
        self.fingerprint = f"fake-{config.encoder}"

    def encode(self, strings, *, on_batch=None):
        """float16 [n, 384], a function of each string alone."""
        vectors = np.zeros((len(strings), 384), np.float16)
        for place, string in enumerate(strings):
            for position, byte in enumerate(string.encode()):
                vectors[place, (position * 31 + byte) % 384] += 0.25
        if on_batch is not None:
            on_batch(len(strings))
        return vectors


@pytest.fixture(scope="session")
def fake_encoder() -> type:
    """Stands in for `relscale.model.tokenize.TextEncoder` where vectors do not matter."""
    return FakeEncoder


def tokenize_with_fake_text(folders: list[Path], out: Path, **options) -> TokenStore:
    """`tokenize_folders` with `FakeEncoder`."""
    from relscale.model.config import TextConfig
    from relscale.model.tokenize import tokenize_folders

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("relscale.model.tokenize.TextEncoder", FakeEncoder)
        return tokenize_folders(folders, out, options.pop("text", TextConfig()), **options)


@pytest.fixture(scope="session")
def tokenize_fake():
    """The function `tokenize_with_fake_text`."""
    return tokenize_with_fake_text


@pytest.fixture(scope="session")
def make_shop():
    """The function `write_shop(folder, name="shop")`, for tests that change the folder."""
    return write_shop


@pytest.fixture(scope="session")
def handmade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the hand-made database; do not change it."""
    return write_shop(tmp_path_factory.mktemp("handmade") / "shop")


@pytest.fixture(scope="session")
def handmade_store(handmade: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """Token store of the hand-made database, with vectors made from characters."""
    return tokenize_with_fake_text([handmade], tmp_path_factory.mktemp("store") / "store")


@pytest.fixture(scope="session")
def rel_f1_store(rel_f1: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """Token store of the real rel-f1, with vectors made from characters."""
    return tokenize_with_fake_text([rel_f1], tmp_path_factory.mktemp("store") / "rel-f1")


N_TEXTS = 40


def random_context(rng: np.random.Generator, context_length: int, mask_prob: float) -> dict[str, np.ndarray]:
    """One context: rows of four tables, each with up to three earlier rows as parents."""
    n_columns = 6
    column_type = rng.integers(0, 4, size=(4, n_columns))
    column_type[:, 0] = rng.choice([SemType.NUMBER, SemType.BOOLEAN], size=4)
    node, parents, column, sem_type = [], [], [], []
    for row in range(context_length):
        table = int(rng.integers(4))
        known = rng.choice(row, size=min(row, int(rng.integers(4))), replace=False) if row else []
        places = [*(int(parent) for parent in known), *[-1] * MAX_PARENTS][:MAX_PARENTS]
        for place in range(int(rng.integers(2, n_columns + 1))):
            node.append(row)
            parents.append(places)
            column.append(table * n_columns + place)
            sem_type.append(column_type[table, place])
    n_cells = int(rng.integers(context_length // 2, context_length + 1))
    order = np.argsort(column[:n_cells], kind="stable")
    fields = {
        "node": np.full(context_length, -1, np.int32),
        "parents": np.full((context_length, MAX_PARENTS), -1, np.int32),
        "column": np.zeros(context_length, np.int32),
        "sem_type": np.zeros(context_length, np.int8),
    }
    for name, values in zip(fields, (node, parents, column, sem_type), strict=True):
        fields[name][:n_cells] = np.asarray(values)[:n_cells][order]
    is_cell, types = fields["node"] >= 0, fields["sem_type"]
    is_text = is_cell & (types == SemType.TEXT)
    fields["value"] = np.where(is_cell & ~is_text, rng.normal(size=context_length), 0).astype(np.float32)
    fields["text"] = np.where(is_text, rng.integers(N_TEXTS, size=context_length), 0).astype(np.int32)
    maskable = is_cell & np.isin(types, [SemType.NUMBER, SemType.BOOLEAN])
    target = int(np.flatnonzero(maskable & (fields["node"] == 0))[0])
    masked = maskable & (rng.random(context_length) < mask_prob)
    masked[target] = True
    return {**fields, "masked": masked, "target": np.int32(target)}


@pytest.fixture(scope="session")
def random_contexts() -> Callable[..., ContextBatch]:
    """A function (n_contexts, context_length, *, mask_prob, seed) -> ContextBatch."""

    def make(
        n_contexts: int = 3, context_length: int = 24, *, mask_prob: float = 0.0, seed: int = 0
    ) -> ContextBatch:
        contexts = [
            random_context(stream(seed, Purpose.CONTEXT, i), context_length, mask_prob)
            for i in range(n_contexts)
        ]
        return ContextBatch(**{name: np.stack([c[name] for c in contexts]) for name in contexts[0]})

    return make


@pytest.fixture(scope="session")
def random_embeddings() -> np.ndarray:
    """float16 [N_TEXTS, 384]: vectors of length 1, as the text encoder gives."""
    vectors = stream(0, Purpose.CONTEXT).normal(size=(N_TEXTS, 384))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def write_toy(folder: Path, rng: np.random.Generator, n_customers: int) -> Path:
    """Customers and their orders: `amount` follows the customer's `income`, `large` the amount."""
    n_orders = 8 * n_customers
    income = rng.normal(size=n_customers)
    customer = rng.integers(n_customers, size=n_orders)
    amount = 50 * income[customer] + 5 * rng.normal(size=n_orders)
    tables = {
        "customers": {"id": np.arange(n_customers), "income": income, "vip": income > 0.5},
        "orders": {
            "id": np.arange(n_orders),
            "customer": customer,
            "amount": amount,
            "large": amount > 10,
            "channel": rng.choice(["web", "shop", "phone"], size=n_orders),
        },
    }
    fkeys: dict[str, dict[str, str]] = {"customers": {}, "orders": {"customer": "customers"}}
    manifest = {
        "name": folder.name,
        "manifest_version": 1,
        "val_timestamp": "2020-01-01",
        "test_timestamp": "2021-01-01",
        "tables": {name: {"pkey": "id", "time_col": None, "fkeys": fkeys[name]} for name in tables},
    }
    (folder / "db").mkdir(parents=True)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / "db" / f"{name}.parquet")
    return folder


@pytest.fixture(scope="session")
def toy_store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    """A store of three learnable databases, `toy-0` to `toy-2`."""
    base = tmp_path_factory.mktemp("toy")
    folders = [write_toy(base / f"toy-{i}", stream(i, Purpose.CONTEXT), n_customers=20 + i) for i in range(3)]
    return tokenize_with_fake_text(folders, base / "store", run=map_keys_here)
