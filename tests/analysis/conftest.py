"""Results tables from surfaces whose laws are known; databases and a corpus to look at."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from scipy.optimize import brentq

Surface = Callable[[float, float], float]
TableMaker = Callable[..., pd.DataFrame]

N_DATABASES = [8 * 2**i for i in range(8)]
TOKENS = [131_072_000 * 2**i for i in range(10)]


class Bowl:
    """The scale-homogeneous surface: both frontiers are exact power laws with one offset.

    L = E + A N^-a g(x), x = ln(S / (k N^m)), g(x) = (q e^(p x) + p e^(-q x)) / (p + q); S in billions.
    """

    E, A, alpha, k, m, p, q = 0.36, 0.07, 0.38, 0.117, 0.79, 0.5, 1.0

    def __init__(self, k: float = 0.117) -> None:
        self.k = k

    def __call__(self, n: float, s: float) -> float:
        return self.E + self.A * n**-self.alpha * self._g(np.log(s / 1e9 / (self.k * n**self.m)))

    def _g(self, x: float) -> float:
        return (self.q * np.exp(self.p * x) + self.p * np.exp(-self.q * x)) / (self.p + self.q)

    @property
    def beta(self) -> float:
        return self.alpha / self.m

    @property
    def B(self) -> float:
        """Coefficient of the frontier over N, from the root x* of b g(x) + g'(x) = 0."""
        slope = self.p * self.q / (self.p + self.q)
        x = brentq(
            lambda x: self.beta * self._g(x) + slope * (np.exp(self.p * x) - np.exp(-self.q * x)), -9, 0
        )
        return float(self.A * self.k**self.beta * np.exp(self.beta * x) * self._g(x))


def additive(n: float, s: float) -> float:
    """Monotone in both axes: no optimum anywhere."""
    return 0.36 + 0.1 * n**-0.38 + 0.03 * (s / 1e9) ** -0.48


@pytest.fixture(scope="session")
def bowl() -> Bowl:
    return Bowl()


@pytest.fixture(scope="session")
def bowl_at() -> Callable[[float], Bowl]:
    """A bowl whose optimum lies at S = k N^0.79 billion tokens."""
    return Bowl


@pytest.fixture(scope="session")
def monotone() -> Surface:
    return additive


@pytest.fixture(scope="session")
def make_table() -> TableMaker:
    """Results table of a surface: normal noise of SD `sigma`, `seeds` runs for each grid point."""

    def make(
        surface: Surface,
        *,
        sigma: float = 0.0,
        seeds: int = 1,
        rng: np.random.Generator | None = None,
        n_databases: Sequence[int] = N_DATABASES,
        tokens: Sequence[int] = TOKENS,
    ) -> pd.DataFrame:
        rng = rng or np.random.default_rng(0)
        rows = [
            (n, s, seed, surface(n, s) + sigma * rng.normal())
            for n in n_databases
            for s in tokens
            for seed in range(seeds)
        ]
        return pd.DataFrame(rows, columns=["n_databases", "tokens", "seed", "loss"])

    return make


class Shop:
    """A small RelBench 3 folder with everything a page must bear; what is known of it by construction."""

    n_customers, n_orders = 60, 600
    specs: ClassVar[dict[str, Any]] = {
        "customers": {"pkey": "id", "time_col": None, "fkeys": {}},
        "staff": {"pkey": "id", "time_col": None, "fkeys": {"boss": "staff"}},
        "orders": {
            "pkey": None,
            "time_col": "at",
            "fkeys": {"customer": "customers", "seller": "staff", "packer": "staff"},
        },
        "notes": {"pkey": "id", "time_col": None, "fkeys": {}},
    }

    def __init__(self, folder: Path, seed: int = 0, scale: float = 1.0) -> None:
        """Write the folder; the price has no other cause than its customer, noise none at all."""
        rng = np.random.default_rng(seed)
        self.folder = folder
        names = np.array([f"c{i:03d}" for i in range(self.n_customers)])
        self.customer = rng.integers(0, 50, self.n_orders)  # the last ten buy nothing
        level = rng.permutation(self.n_customers).astype(float)
        price = scale * level[self.customer]
        price[::20] = np.nan
        at = np.datetime64("2020-01-01", "s") + np.arange(self.n_orders) * np.timedelta64(43_200, "s")
        boss = np.array([None, *rng.integers(0, 5, 29)], dtype=object)
        tables = {
            "customers": {"id": names, "age": rng.normal(40, 9, 60), "level": level},
            "staff": {"id": np.arange(30), "boss": pa.array(boss.tolist(), pa.int32()), "pay": np.ones(30)},
            "orders": {
                "customer": pa.array(names[self.customer].tolist(), mask=np.arange(self.n_orders) % 10 == 9),
                "seller": rng.integers(0, 30, self.n_orders).astype(float),
                "packer": np.repeat(np.arange(30), 20),
                "at": at,
                "price": price,
                "noise": rng.normal(size=self.n_orders),
                "paid": rng.random(self.n_orders) < 0.9,
                "way": np.array(["post", "post", "van", "bike"])[np.arange(self.n_orders) % 4],
                "note": np.array([f"order {i}" for i in range(self.n_orders)]),
                "sent": at + np.timedelta64(7, "D"),
                "empty": pa.nulls(self.n_orders, pa.float64()),
                "list": pa.array([[1, 2]] * self.n_orders),
            },
            "notes": {"id": pa.array([], pa.int64()), "text": pa.array([], pa.string())},
        }
        (folder / "db").mkdir(parents=True)
        for name, columns in tables.items():
            pq.write_table(pa.table(columns), folder / "db" / f"{name}.parquet")
        manifest = {
            "name": folder.name,
            "manifest_version": 1,
            "val_timestamp": "2020-08-01",
            "test_timestamp": "2020-10-01T00:00:00",
            "tables": self.specs,
        }
        (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """One shop for tests that only read."""
    return Shop(tmp_path_factory.mktemp("database") / "shop")


@pytest.fixture(scope="session")
def new_shop() -> Callable[..., Shop]:
    """`new_shop(folder, seed, scale)`: a shop of one's own."""
    return Shop


@pytest.fixture(scope="session")
def shop_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of six shops and two rejected seeds, with an index as `relscale generate` writes it."""
    corpus = tmp_path_factory.mktemp("corpus") / "shops"
    rows = []
    for seed in range(8):
        row = {"name": f"shop-{seed}", "seed": seed, "admitted": seed not in (2, 5), "rows": None,
               "cells": None, "bytes": None, "seconds": 0.5, "reason": None}  # fmt: skip
        if row["admitted"]:
            Shop(corpus / "databases" / f"shop-{seed}", seed)
            row |= {"rows": 690, "cells": 7440, "bytes": 30_000}
        else:
            row["reason"] = "table 'orders' is <empty>"
        rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows), corpus / "index.parquet")
    return corpus
