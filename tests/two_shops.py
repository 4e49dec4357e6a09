"""Two small RelBench 3 databases with time splits, a text encoder without a model, a tiny checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from relbench.manifest import DatasetManifest, TableSpec, TaskManifest

from relscale.model.checkpoint import save_model
from relscale.model.config import ModelConfig, SamplerConfig, TextConfig
from relscale.model.network import RelationalTransformer
from relscale.platform.seeds import Purpose, stream

SIZES = ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=16, d_text=8)
SAMPLER = SamplerConfig(context_length=48, bfs_width=16)
DAYS = {"train": range(60, 271, 30), "val": range(300, 331, 30), "test": range(360, 421, 30)}
N_CUSTOMERS = 12


class LetterEncoder:
    """A text encoder without a model; its vectors hold the first letters."""

    def __init__(self, config: TextConfig) -> None:
        self.name, self.fingerprint = config.encoder, f"letters-{config.encoder}"

    def encode(self, strings: Sequence[str], **_: Any) -> np.ndarray:
        codes = [[ord(letter) / 128 for letter in text[:8].ljust(8)] for text in strings]
        return np.array(codes, np.float16).reshape(-1, 8)


def write_shop(folder: Path, name: str, seed: int) -> Path:
    """Customers who differ in how much they buy; tasks "visits" and "returns" follow the customer."""
    rng = stream(seed, Purpose.EVALUATION)
    n_orders = 200
    habit = rng.normal(size=N_CUSTOMERS)
    orders = pd.DataFrame(
        {
            "order_id": np.arange(n_orders),
            "customer_id": rng.integers(0, N_CUSTOMERS, n_orders),
            "time": _day(np.sort(rng.integers(0, 500, n_orders))),
        }
    )
    orders["amount"] = habit[orders["customer_id"]] + rng.normal(0, 0.1, n_orders)
    (folder / "db").mkdir(parents=True)
    orders.to_parquet(folder / "db" / "orders.parquet")
    customers = pd.DataFrame({"customer_id": np.arange(N_CUSTOMERS), "age": rng.normal(40, 9, N_CUSTOMERS)})
    customers.to_parquet(folder / "db" / "customers.parquet")
    DatasetManifest(
        name=name,
        val_timestamp="2020-10-27",
        test_timestamp="2020-12-26",
        tables={
            "customers": TableSpec(pkey="customer_id"),
            "orders": TableSpec(pkey="order_id", time_col="time", fkeys={"customer_id": "customers"}),
        },
    ).save(folder / "manifest.yaml")
    _labels(folder, "visits", "regression", lambda who: habit[who] + rng.normal(0, 0.1, len(who)))
    _labels(folder, "returns", "binary_classification", lambda who: (habit[who] > 0).astype(np.int64))
    return folder


def write_checkpoint(folder: Path) -> Path:
    """A tiny network with random weights."""
    text = {"name": "packaged-minilm", "fingerprint": "letters-packaged-minilm"}
    about = {"model": SIZES.model_dump(), "sampler": SAMPLER.model_dump(), "text_encoder": text}
    save_model(folder, RelationalTransformer(SIZES, seed=0), about)
    return folder


def _day(number: Any) -> np.ndarray:
    return np.datetime64("2020-01-01T00:00:00", "us") + np.asarray(number).astype("timedelta64[D]")


def _labels(folder: Path, name: str, task_type: str, draw: Any) -> None:
    columns = {"entity_table": "customers", "entity_col": "customer_id", "target_col": "label"}
    task = TaskManifest(name, "external", task_type, **columns, time_col="time", timedelta="30 days")
    task.validate()
    task.save(folder / "tasks" / name / "manifest.yaml")
    for split, days in DAYS.items():
        rows = [(d, c) for d in days for c in range(N_CUSTOMERS)]
        frame = pd.DataFrame(rows, columns=["time", "customer_id"])
        frame["label"] = draw(frame["customer_id"].to_numpy())
        frame.assign(time=_day(frame["time"])).to_parquet(folder / "tasks" / name / f"{split}.parquet")
