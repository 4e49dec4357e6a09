"""Admission: each way to be refused, and real data passing."""

import dataclasses
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from relbench.manifest import DatasetManifest

from relscale.generation.admission import admit
from relscale.generation.config import GeneratorConfig
from relscale.generation.database import Database, Table, generate_database


def table(name: str, fkeys: dict[str, str] | None = None, **columns) -> Table:
    data = pa.table({"id": pa.array(range(4)), "x": pa.array([0.5, None, 1.0, 2.0])} | columns)
    return Table(name=name, data=data, pkey="id", fkeys=fkeys or {}, time_col="t" if "t" in columns else None)


def database(*tables: Table, **changes) -> Database:
    times = {"val_timestamp": datetime(2020, 1, 1), "test_timestamp": datetime(2021, 1, 1)} | changes
    return Database(name="d", tables={t.name: t for t in tables}, description="", **times)


def empty(name: str) -> Table:
    full = table(name)
    return dataclasses.replace(full, data=full.data.slice(0, 0))


PARENT = table("parent")
TIMES = pa.array([datetime(2019, 1, 1), datetime(2020, 1, 1), datetime(2020, 5, 1), datetime(2021, 5, 1)])
"""Two rows of train, one of validation, one of test."""


def test_sound_databases_are_admitted() -> None:
    child = table("child", {"p": "parent"}, p=pa.array([0, None, 3, 3]), t=TIMES)
    assert admit(database(PARENT, child)) is None
    for seed in range(3):
        config = GeneratorConfig(
            num_tables=(3, 4), rows_entity=(20, 30), rows_activity=(30, 40), num_columns=(3, 5)
        )
        assert admit(generate_database(seed, config)) is None


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ([table("a", id=pa.array([0, 1, 3, 2]))], "primary key 'id' is not 0..n-1"),
        ([table("a", id=pa.array([0, 1, None, 3]))], "primary key 'id' is not 0..n-1"),
        ([table("a", {"p": "b"}, p=pa.array([0, 1, 2, 3]))], "unknown table 'b'"),
        ([PARENT, table("a", {"p": "parent"}, p=pa.array([0, 1, 2, 4]))], "outside the 4 rows of 'parent'"),
        ([PARENT, table("a", {"p": "parent"}, p=pa.array([-1, 1, 2, 3]))], "outside the 4 rows of 'parent'"),
        ([PARENT, table("a", {"p": "parent"}, p=pa.array(["0", "1", "2", "3"]))], "not a column of integers"),
        ([table("a", t=TIMES[::-1])], "not in order of 't'"),
        ([table("a", t=pa.array([None, *TIMES.to_pylist()[1:]]))], "'t' has empty cells"),
        ([table("a", y=pa.array([1.0, np.inf, 2.0, 3.0]))], "column 'y' holds a value that is not finite"),
        ([table("a", y=pa.array([1.0, np.nan, 2.0, 3.0]))], "column 'y' holds a value that is not finite"),
        (
            [table("a", x=pa.array([1.0, None, 1.0, 1.0]), z=pa.array([True] * 4), s=pa.array(list("abcd")))],
            "no table has a boolean or number that varies",
        ),
        (
            [PARENT, table("a", x=pa.array([1.0, None, 1.0, 1.0]), z=pa.array([True] * 4))],
            "table 'a': every feature column is constant",
        ),
        ([PARENT, table("a", x=pa.array([None] * 4, pa.float64()))], "every feature column is constant"),
        ([PARENT, empty("a")], "table 'a': no rows"),
        ([table("a", t=TIMES.take([0, 0, 1, 2]))], "no row has a time in the test window"),
        ([table("a", t=TIMES.take([0, 1, 3, 3]))], "no row has a time in the validation window"),
        ([table("a", t=TIMES.take([2, 2, 3, 3]))], "no row has a time in the train window"),
        (
            [table("p", t=TIMES), table("a", {"p": "p"}, p=pa.array([0, 0, 3, 0]), t=TIMES)],
            "table 'a': foreign key 'p' of a row before the test time refers to a later row of 'p'",
        ),
        ([table("p", t=TIMES), table("a", {"p": "p"}, p=pa.array([0, 0, 0, 3]))], "refers to a later row"),
    ],
)
def test_faults_are_named(tables: list[Table], reason: str) -> None:
    answer = admit(database(*tables))
    assert answer is not None
    assert reason in answer


def test_a_key_to_a_row_of_its_own_time_is_admitted() -> None:
    keys = pa.array([0, None, 2, 3])
    assert admit(database(table("p", t=TIMES), table("a", {"p": "p"}, p=keys, t=TIMES))) is None


def test_a_table_of_keys_alone_is_admitted() -> None:
    junction = Table(
        name="j", data=pa.table({"p": [0, 1, 2, 3]}), pkey=None, fkeys={"p": "parent"}, time_col=None
    )
    assert admit(database(PARENT, junction)) is None


def test_at_most_five_foreign_keys() -> None:
    five = {f"p{i}": "parent" for i in range(5)}
    columns = {f"p{i}": pa.array([0, 1, 2, 3]) for i in range(6)}
    assert admit(database(PARENT, table("a", five, **columns))) is None
    answer = admit(database(PARENT, table("a", five | {"p5": "parent"}, **columns)))
    assert answer == "table 'a': 6 foreign keys, more than 5"


def test_equal_split_times_are_refused() -> None:
    answer = admit(database(PARENT, val_timestamp=datetime(2021, 1, 1)))
    assert answer is not None
    assert "not before test time" in answer


def test_tables_without_primary_key_are_admitted() -> None:
    keyless = dataclasses.replace(table("a"), pkey=None)
    assert admit(database(keyless)) is None


def test_the_real_database_is_admitted(rel_f1: Path) -> None:
    manifest = DatasetManifest.load(rel_f1 / "manifest.yaml")
    tables = [
        Table(
            name=name,
            data=pq.read_table(rel_f1 / "db" / f"{name}.parquet"),
            pkey=spec.pkey,
            fkeys=spec.fkeys,
            time_col=spec.time_col,
        )
        for name, spec in manifest.tables.items()
    ]
    times = {
        f"{split}_timestamp": datetime.fromisoformat(getattr(manifest, f"{split}_timestamp"))
        for split in ("val", "test")
    }
    assert admit(database(*tables, **times)) is None
