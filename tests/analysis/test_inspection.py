"""The page of a database: self-contained, honest about what it leaves out, and changing nothing."""

import re

import pandas as pd
import pytest

from relscale.analysis import inspection
from relscale.analysis.inspection import inspect_database
from relscale.analysis.inspection_page import number
from relscale.analysis.summaries import STATISTICS
from relscale.platform.errors import ConfigError
from relscale.platform.storage import digest_files


@pytest.fixture(scope="module")
def page(shop, tmp_path_factory) -> tuple[str, dict]:
    """The page's text, and the digests of the database before and after."""
    out = tmp_path_factory.mktemp("page")
    before = digest_files(shop.folder)
    written = inspect_database(shop.folder, out)
    assert written == out / "inspection.html"
    return written.read_text(), {"before": before, "after": digest_files(shop.folder), "out": out}


def test_nothing_of_the_database_changes(page):
    assert page[1]["before"] == page[1]["after"]


def test_the_page_loads_nothing_from_elsewhere(page):
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page[0])
    assert len(sources) >= 7
    assert all(source.startswith("data:image/") for source in sources)


def test_every_section_is_there_in_order(page):
    titles = re.findall(r"<h2>(.*?)</h2>", page[0])
    assert titles == [
        "Schema", "Foreign keys", "Columns", "Time", "Dependence on the parent row", "What the past tells",
        "Events", "Statistics", "How this was made",
    ]  # fmt: skip
    assert "<h1>shop: 4 tables, 690 rows</h1>" in page[0]
    assert "Validation begins at 2020-08-01, test begins at 2020-10-01." in page[0]


def test_figures_and_numbers_lie_beside_the_page(page):
    out = page[1]["out"]
    figures = {path.stem for path in (out / "figures").glob("*.png")}
    assert {"schema", "fan_out", "locality", "columns", "time", "dependence"} <= figures
    table = pd.read_parquet(out / "statistics.parquet")
    assert list(table.columns) == ["database", *STATISTICS] and table["rows"].tolist() == [690]


def test_what_is_left_out_is_said(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "MAX_LINKS", 2)
    monkeypatch.setattr(inspection, "MAX_TABLES", 1)
    monkeypatch.setattr(inspection, "MAX_COLUMNS", 3)
    text = inspect_database(shop.folder, tmp_path).read_text()
    assert "drawn are 2 of 4 foreign keys, those with most rows" in text
    assert "drawn are 1 of 4 tables, those with most values" in text


def test_a_database_without_keys_times_or_columns_has_a_page(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "one" / "db").mkdir(parents=True)
    pq.write_table(pa.table({"id": [0, 1]}), tmp_path / "one" / "db" / "only.parquet")
    (tmp_path / "one" / "manifest.yaml").write_text("tables: {only: {pkey: id}}")
    text = inspect_database(tmp_path / "one", tmp_path / "page").read_text()
    assert "<h1>one: 1 table, 2 rows</h1>" in text
    assert "no table refers to another" in text
    assert "<h2>Time</h2>" not in text and "<h2>Columns</h2>" not in text


def test_a_page_inside_the_database_is_refused(shop):
    with pytest.raises(ConfigError, match="lies inside"):
        inspect_database(shop.folder, shop.folder / "page")
    assert not (shop.folder / "page").exists()


@pytest.mark.parametrize(
    ("value", "text"),
    [(float("nan"), "–"), (0.12345, "0.123"), (1490.3, "1,490"), (99_999, "99,999"), (2.5e6, "2.5 M")],
)
def test_numbers_are_short(value, text):
    assert number(value) == text
