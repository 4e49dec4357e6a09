"""Forecasts of rows without labels: nothing later than their moment, rows named as the user names them."""

import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from relscale.analysis.forecasts import forecast
from relscale.model.checkpoint import save_model
from relscale.model.config import ModelConfig, SamplerConfig
from relscale.model.network import RelationalTransformer
from relscale.platform.errors import DataError

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SIZES = ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=16)
MOMENT = "2023-09-20"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The imported market of docs/import.md beside a checkpoint of random weights."""
    from relscale.imports.build import import_database
    from relscale.imports.config import ImportConfig
    from relscale.platform.config import parse_config

    folder = tmp_path_factory.mktemp("market")
    connection = sqlite3.connect(folder / "market.db")
    connection.executescript((EXAMPLES / "market.sql").read_text())
    connection.close()
    settings = yaml.safe_load((EXAMPLES / "market.yaml").read_text())
    config = parse_config(ImportConfig, settings, source="the test")
    import_database(str(folder / "market.db"), folder / "database", config)
    about = {"model": SIZES.model_dump(), "sampler": SamplerConfig(context_length=64).model_dump()}
    save_model(folder / "checkpoint", RelationalTransformer(SIZES, seed=0), about)
    return folder


def ask(market: Path, database: Path | None = None, task: str = "buys-soon", **options) -> pd.DataFrame:
    return forecast(market / "checkpoint", database or market / "database", task, **options)


def with_another_future(source: Path, folder: Path) -> Path:
    """A copy in which purchases after the moment differ, and so do the labels not known by then."""
    shutil.copytree(source, folder)
    path = folder / "db" / "purchase.parquet"
    table = pq.read_table(path)
    later = pc.greater(table["day"], pa.scalar(pd.Timestamp(MOMENT), table["day"].type))
    assert 0 < pc.sum(later).as_py() < table.num_rows
    paid = pc.if_else(later, pc.multiply(table["paid"], 100.0), table["paid"])
    table = table.set_column(table.column_names.index("paid"), "paid", paid)
    customer = pc.if_else(later, pa.scalar(3, table["customer"].type), table["customer"])
    pq.write_table(table.set_column(table.column_names.index("customer"), "customer", customer), path)
    changed = 0
    for path in (folder / "tasks" / "buys-soon").glob("*.parquet"):
        labels = pd.read_parquet(path)
        unknown = labels["timestamp"] + pd.Timedelta("14 days") > pd.Timestamp(MOMENT)
        labels["buys"] = labels["buys"].where(~unknown, 1 - labels["buys"])
        changed += int((unknown & (labels["timestamp"] < pd.Timestamp(MOMENT))).sum())
        labels.to_parquet(path)
    assert changed, "a label of before the moment whose window ends after it"
    return folder


def test_nothing_after_the_moment_counts(market, tmp_path):
    found = ask(market, at=MOMENT)
    changed = with_another_future(market / "database", tmp_path / "changed")
    pd.testing.assert_frame_equal(found, ask(market, changed, at=MOMENT))
    later = ask(market, at="2023-12-20")
    assert (later["prediction"] != ask(market, changed, at="2023-12-20")["prediction"]).any()
    assert found["code"].tolist() == [f"C{i:03}" for i in range(40)]
    assert found["prediction"].between(0, 1).all() and found["prediction"].nunique() > 1


def test_a_file_names_rows_by_the_keys_of_the_source(market, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("code,timestamp\nC007,2023-09-20\nC001,2023-12-31\nC002,2023-09-20\n")
    found = ask(market, rows=rows)
    assert found["code"].tolist() == ["C007", "C001", "C002"] and found["entity"].tolist() == [7, 1, 2]
    newest = ask(market, rows=rows, at="2023-12-31")
    assert newest["prediction"][1] == pytest.approx(found["prediction"][1], abs=0.2)
    assert newest["time"].nunique() == 1


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("code\nC001\nC7\n", {}, "row 2: table 'customer' has no row code 'C7'"),
        ("entity\n1\n40\n", {}, "row 2: table 'customer' has no row number '40'"),
        ("code,timestamp\nC001,soon\n", {}, "row 1: 'soon' is no moment"),
        ("code\nC001\n", {}, "has no column 'timestamp'"),
        ("name,timestamp\nAnn,2023-09-20\n", {}, "has no column 'code' that names rows of 'customer'"),
        ("code,timestamp\n", {}, "has no rows"),
        (None, {"at": "soon"}, "--at: 'soon' is no moment"),
        (None, {"at": "2020-01-01"}, "no label of task 'buys-soon' was known at 2020-01-01"),
        (None, {"task": "paid"}, "task 'paid' completes a column"),
        (None, {"task": "buys"}, "has no task 'buys'; its forecasts: buys-soon"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_sentence(market, tmp_path, text, options, sentence):
    if text is not None:
        (tmp_path / "rows.csv").write_text(text)
        options = {"rows": tmp_path / "rows.csv"}
    with pytest.raises(DataError) as refused:
        ask(market, **options)
    assert sentence in str(refused.value)
