"""A database in numbers, and the tests that compare two corpora."""

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.database import read_database
from relscale.analysis.summaries import STATISTICS, compare, database_statistics


def test_numbers_of_a_known_database(shop):
    found = database_statistics(read_database(shop.folder))
    assert list(found) == list(STATISTICS)
    exact = {
        "tables": 4, "depth": 2, "links_per_table": 1, "max_links": 3, "timed_share": 0.25, "rows": 690,
        "rows_timed": 600, "rows_untimed": 30, "max_features": 8, "cells": 60 * 3 + 30 * 3 + 600 * 12,
    }  # fmt: skip
    assert {name: found[name] for name in exact} == exact
    assert found["window_years"] == pytest.approx(599 / 2 / 365.25)
    assert found["boolean_share"] == pytest.approx(1 / 12)
    assert found["true_share"] == pytest.approx(0.9, abs=0.04)
    assert found["missing_share"] == pytest.approx((0.05 + 1) / 6)  # of age, level, pay, price, noise, empty
    assert 0.4 < found["eta_numbers"] / (1 / 4) < 2.5  # price by its customer alone, of four or so
    assert found["unreferenced_share"] > 10 / 60 / 4


def test_a_database_without_keys_or_columns_has_gaps_and_no_warning(shop, tmp_path, recwarn):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "db").mkdir()
    pq.write_table(pa.table({"id": [0, 1]}), tmp_path / "db" / "only.parquet")
    (tmp_path / "manifest.yaml").write_text("tables: {only: {pkey: id, time_col: null, fkeys: {}}}")
    found = database_statistics(read_database(tmp_path))
    assert (found["tables"], found["depth"], found["rows"], found["cells"]) == (1, 1, 2, 2)
    assert np.isnan(found["fan_out_gini"]) and np.isnan(found["skewness"]) and np.isnan(found["true_share"])
    assert not recwarn.list


def frame(rng: np.random.Generator, n: int = 60, **shifts: float) -> pd.DataFrame:
    return pd.DataFrame({name: rng.normal(shifts.get(name, 0), 1, n) for name in STATISTICS})


def test_what_differs_is_found_and_nothing_else():
    rng = np.random.default_rng(0)
    tests = compare(frame(rng), frame(rng, jump=1.5, depth=-2))
    assert {test.statistic for test in tests if test.p_value < 0.01} == {"jump", "depth"}
    assert [test.statistic for test in tests] == list(STATISTICS)


def test_equal_tables_do_not_differ():
    table = frame(np.random.default_rng(1))
    assert all(test.distance == 0 and test.p_value == 1 for test in compare(table, table))


def test_p_values_are_corrected_by_holm():
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(2)
    first, second = frame(rng), frame(rng, jump=0.6, depth=0.7, rows=0.5)
    raw = sorted(ks_2samp(first[name], second[name]).pvalue for name in STATISTICS)
    expected = np.minimum(1, np.maximum.accumulate([p * (len(raw) - i) for i, p in enumerate(raw)]))
    corrected = sorted(test.p_value for test in compare(first, second))
    np.testing.assert_allclose(corrected, expected)


def test_a_statistic_that_a_side_lacks_is_left_out():
    rng = np.random.default_rng(3)
    first, second = frame(rng), frame(rng).drop(columns="jump")
    second["depth"] = np.nan
    assert set(STATISTICS) - {test.statistic for test in compare(first, second)} == {"jump", "depth"}
