"""The page of a corpus: sampling, rejected seeds, costs, and the comparison with a second one."""

import re
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from relscale.analysis.inspection_corpus import corpus_statistics, inspect_corpus, inspect_path
from relscale.analysis.summaries import STATISTICS
from relscale.platform.errors import ConfigError, DataError
from relscale.platform.storage import digest_files


@pytest.fixture(scope="module")
def inspected(shop_corpus, tmp_path_factory):
    """Folder of the page of the corpus, and the progress that was reported."""
    out, seen = tmp_path_factory.mktemp("page"), []
    before = digest_files(shop_corpus)
    inspect_path(shop_corpus, out, limit=200, progress=lambda *step: seen.append(step))
    assert digest_files(shop_corpus) == before
    return out, seen


def test_every_admitted_database_has_a_row(inspected):
    out, seen = inspected
    table = pd.read_parquet(out / "statistics.parquet")
    assert table["database"].tolist() == [f"shop-{seed}" for seed in (0, 1, 3, 4, 6, 7)]
    assert list(table.columns[1:]) == list(STATISTICS)
    assert [(done, total) for _, done, total in seen] == [(done, 6) for done in range(1, 7)]


def test_the_page_tells_sizes_costs_and_rejections(inspected):
    text = (inspected[0] / "inspection.html").read_text()
    assert "<h1>shops: a corpus of 6 databases</h1>" in text
    assert "6 databases of 8 tried seeds, 2 rejected." in text
    assert "Together 4,140 rows and 44.6 K cells." in text
    assert "<td>table &#39;orders&#39; is &lt;empty&gt;</td><td>2</td><td>shop-2, shop-5</td>" in text
    for name in ("schemas", "schema_and_size", "columns", "foreign_keys", "costs"):
        assert (inspected[0] / "figures" / f"{name}.svg").is_file()


def test_a_second_corpus_is_read_and_samples_are_evenly_spread(shop_corpus, new_shop, tmp_path):
    other = tmp_path / "large"
    for seed in range(3):
        new_shop(other / "databases" / f"shop-{seed}", 100 + seed, 1000.0)
    rows = [{"name": f"shop-{seed}", "admitted": True} for seed in range(3)]
    pd.DataFrame(rows).to_parquet(other / "index.parquet")
    page = inspect_corpus(shop_corpus, tmp_path / "page", limit=3, against=other).read_text()
    names = pd.read_parquet(tmp_path / "page" / "statistics.parquet")["database"].tolist()
    assert names == ["shop-0", "shop-3", "shop-7"]
    assert "3 of them, evenly spread, are read" in page
    assert "Different from large (3 databases) at Holm p &lt; 0.01: 0 of" in page
    (line,) = re.findall(r"<tr><td>max_links</td>.*", page)
    assert line.endswith("<td>3</td><td>0</td><td>1</td></tr>")  # mean of the other, D, p


def test_what_differs_is_named(shop_corpus, inspected, tmp_path):
    table = pd.concat([pd.read_parquet(inspected[0] / "statistics.parquet")] * 5)
    table.assign(depth=9.0).to_parquet(tmp_path / "deep.parquet")
    page = inspect_corpus(shop_corpus, tmp_path / "page", limit=200, against=tmp_path / "deep.parquet")
    assert "0.01: 1 of 35 statistics, most of all: tables on the longest chain." in page.read_text()


def test_statistics_do_not_depend_on_the_others(shop_corpus):
    both = corpus_statistics(shop_corpus, ["shop-0", "shop-1"])
    alone = corpus_statistics(shop_corpus, ["shop-1"])
    np.testing.assert_array_equal(both.iloc[1, 1:].astype(float), alone.iloc[0, 1:].astype(float))


def test_what_is_neither(shop, shop_corpus, tmp_path):
    with pytest.raises(DataError, match=r"neither a corpus \(no index.parquet\) nor a RelBench 3 folder"):
        inspect_path(tmp_path, tmp_path / "out", limit=9)
    with pytest.raises(ConfigError, match="compares corpora"):
        inspect_path(shop.folder, tmp_path / "out", limit=9, against=shop_corpus)
    with pytest.raises(DataError, match=r"neither a corpus .* nor a readable statistics.parquet"):
        inspect_path(shop_corpus, tmp_path / "out", limit=9, against=tmp_path / "none")
    with pytest.raises(DataError, match=r"has no column of a statistics.parquet"):
        inspect_path(
            shop_corpus, tmp_path / "out", limit=9,
            against=shop.folder / "db" / "staff.parquet",
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_broken_and_empty_corpora(shop_corpus, tmp_path):
    index = pq.read_table(shop_corpus / "index.parquet").to_pandas()
    empty, cut, lost = (tmp_path / name for name in ("empty", "cut", "lost"))
    for folder in (empty, cut, lost):
        folder.mkdir()
    index[~index["admitted"]].to_parquet(empty / "index.parquet")
    (cut / "index.parquet").write_bytes((shop_corpus / "index.parquet").read_bytes()[:200])
    shutil.copytree(shop_corpus, lost, dirs_exist_ok=True)
    (lost / "databases" / "shop-3" / "db" / "orders.parquet").unlink()
    for folder, message in (
        (empty, "has no admitted database"),
        (cut, "is not a readable Parquet file"),
        (lost, "shop-3/db/orders.parquet' is missing"),
    ):
        with pytest.raises(DataError, match=message):
            inspect_path(folder, tmp_path / "out", limit=9)
    assert not (tmp_path / "out").exists()
