"""Tasks of an imported database: RelBench derives the same labels, and no label leaks."""

import pandas as pd
import pytest
import relbench
import yaml

from relscale.platform.errors import ConfigError, DataError

SALES = """
SELECT s.code, COUNT(x.id) AS sales FROM staff s
LEFT JOIN sale x ON x.clerk = s.code AND x.sold > :timestamp AND x.sold <= :end GROUP BY s.code
"""
RELBENCH_FORM = """
SELECT t.timestamp, x.clerk, COUNT(*) AS sales FROM timestamps t
JOIN sale x ON x.sold > t.timestamp AND x.sold <= t.timestamp + INTERVAL '{timedelta}'
GROUP BY t.timestamp, x.clerk
"""


def with_task(imported, shop, **task):
    return imported(shop, time_cols=["sold"], tasks={"ask": task})


def by_query(sql, **more):
    return {"sql": sql, "entity": "staff", "window": "7 days", **more}


def labels(folder, split):
    return relbench.load_dataset(folder).load_task("ask").get_table(split, False).df


def test_labels_are_what_a_loop_over_moments_counts(shop, imported):
    folder, report = with_task(imported, shop, **by_query(SALES, num_eval_timestamps=3))
    sale = relbench.load_dataset(folder).get_db(False).table_dict["sale"].df
    for split in ("train", "val", "test"):
        found = labels(folder, split)
        for moment, code, n_sales in found.itertuples(index=False):
            inside = (sale["sold"] > moment) & (sale["sold"] <= moment + pd.Timedelta("7 days"))
            assert n_sales == (inside & (sale["clerk"] == code)).sum()
        assert len(found) == 3 * found["timestamp"].nunique()
    assert report["tasks"][0]["task_type"] == "regression"
    assert labels(folder, "val")["timestamp"].min() == pd.Timestamp(report["val_timestamp"])
    assert labels(folder, "test")["timestamp"].min() == pd.Timestamp(report["test_timestamp"])


@pytest.mark.parametrize("sql", [SALES, RELBENCH_FORM])
def test_relbench_regenerates_them_from_the_manifest(shop, imported, sql):
    folder, _ = with_task(imported, shop, **by_query(sql))
    task = relbench.load_dataset(folder).load_task("ask", regenerate=True)
    for split in ("train", "val", "test"):
        found = task.get_table(split, False).df
        pd.testing.assert_frame_equal(found, labels(folder, split), check_dtype=False)


def test_a_truth_is_a_binary_label(shop, imported):
    sql = SALES.replace("COUNT(x.id)", "COUNT(x.id) > 2")
    folder, report = with_task(imported, shop, **by_query(sql))
    assert report["tasks"][0]["task_type"] == "binary_classification"
    assert set(labels(folder, "train")["sales"]) == {0, 1}


def test_entities_have_no_label_before_they_came_to_be(shop, imported):
    task = {
        "entity": "sale",
        "window": "7 days",
        "sql": "SELECT id, total FROM sale WHERE :timestamp IS NOT NULL",
    }
    folder, report = with_task(imported, shop, **task)
    sold = relbench.load_dataset(folder).get_db(False).table_dict["sale"].df["sold"]
    found = labels(folder, "train")
    assert (sold[found["id"]].to_numpy() <= found["timestamp"]).all()
    assert any("nothing is forecast" in remark for remark in report["tasks"][0]["remarks"])


def test_a_query_that_looks_past_its_window_is_refused(shop, imported):
    with pytest.raises(DataError, match="change with rows later than"):
        with_task(imported, shop, **by_query(SALES.replace(" AND x.sold <= :end", "")))


def test_what_gives_a_column_away_is_hidden(shop, imported):
    folder, report = with_task(imported, shop, complete="sale.total")
    manifest = yaml.safe_load((folder / "tasks" / "ask" / "manifest.yaml").read_text())
    assert manifest["remove_columns"] == [["sale", "shipped"], ["sale", "cents"]]
    seen = relbench.load_dataset(folder).load_task("ask").get_db().table_dict["sale"].df.columns
    assert not {"total", "cents", "shipped"} & set(seen)
    assert report["tasks"][0]["task_type"] == "regression"


def test_a_time_known_ahead_is_not_hidden(shop, imported):
    _, report = imported(
        shop,
        tables={"sale": {"time_col": "sold", "known_ahead": "shipped"}},
        tasks={"ask": {"complete": "sale.total"}},
    )
    assert report["tasks"][0]["hidden"] == ["sale.cents"]


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (by_query("SELECT nothing FROM staff WHERE :end IS NULL"), "the query fails"),
        (by_query(SALES.replace("GROUP BY s.code", "GROUP BY s.code, x.id")), "gives two labels for row"),
        (by_query("SELECT code FROM staff WHERE :end IS NULL"), "gives 1 columns"),
        (by_query(SALES, entity="staf"), "did you mean 'staff'?"),
        (by_query(SALES, window="a week"), "is no length of time"),
        (by_query(SALES, window="300 days"), "the rows lie between"),
        ({"complete": "sale.totl"}, "did you mean 'total'?"),
        ({"complete": "track.price"}, "its table has no time"),
        ({"complete": "sale.sold"}, "it is a key or the time of the row"),
        ({"complete": "sale.total", "hide": "sale.nothing"}, "no column 'nothing'"),
    ],
)
def test_a_wrong_task_is_one_sentence(shop, imported, task, sentence):
    with pytest.raises((ConfigError, DataError)) as refused:
        with_task(imported, shop, **task)
    assert (sentence in str(refused.value) and "task 'ask'" in str(refused.value)) or "rows lie" in sentence
    assert "\n" not in str(refused.value)
