"""The results contract: what is read, what is refused, in which words."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.results import AnalysisError, check_results, load_results
from relscale.platform.errors import DataError


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [(n, s, seed, 0.4) for n in (8, 16) for s in (10**9, 2 * 10**9) for seed in (0, 1)]
    return pd.DataFrame(rows, columns=["n_databases", "tokens", "seed", "loss"])


def refusal(table: pd.DataFrame) -> tuple[str, str]:
    with pytest.raises(DataError) as caught:
        check_results(table)
    assert isinstance(caught.value, AnalysisError)
    return caught.value.code, str(caught.value)


def test_csv_and_parquet_hold_the_same_table(table: pd.DataFrame, tmp_path: Path) -> None:
    table["note"] = "kept"
    table.to_csv(tmp_path / "r.csv", index=False)
    table.to_parquet(tmp_path / "r.parquet")
    from_csv, from_parquet = load_results(tmp_path / "r.csv"), load_results(tmp_path / "r.parquet")
    pd.testing.assert_frame_equal(from_csv, from_parquet, check_dtype=False)
    assert list(from_csv.columns) == [*table.columns]


def test_rows_come_sorted_and_counted_and_the_input_stays(table: pd.DataFrame) -> None:
    shuffled = table.sample(frac=1, random_state=3)
    before = shuffled.copy()
    used, rows = check_results(shuffled)
    pd.testing.assert_frame_equal(used, table.astype({"tokens": "float64"}))
    pd.testing.assert_frame_equal(shuffled, before)
    assert (rows.read, rows.used, rows.dropped, rows.reasons) == (8, 8, 0, {})


def test_failed_trials_are_dropped_with_their_reasons(table: pd.DataFrame) -> None:
    table["status"] = ["ok", "failed", "failed", None, *["ok"] * 4]
    table["reason"] = [None, "out of memory", "out of memory", None, *[None] * 4]
    table.loc[1, "loss"] = np.nan
    used, rows = check_results(table)
    assert len(used) == rows.used == 5
    assert rows.dropped == 3
    assert rows.reasons == {"failed: out of memory": 2, "no status": 1}


@pytest.mark.parametrize("loss", [np.nan, np.inf, 0.0, -0.1])
def test_a_loss_that_is_none_stops_unless_dropped(table: pd.DataFrame, loss: float) -> None:
    table.loc[5, "loss"] = loss
    code, message = refusal(table)
    assert code == "non_finite_loss"
    assert message.startswith(
        f"row 6 (n_databases=16, tokens=1000000000, seed=1): loss is {loss:g}; fix the run"
    )
    used, rows = check_results(table, drop_nonfinite=True)
    assert (len(used), rows.dropped, rows.reasons) == (7, 1, {"non-finite loss": 1})


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("n_databases", 8.5, "row 3: n_databases must be a positive integer, got 8.5; mend it."),
        ("n_databases", 0, "row 3: n_databases must be a positive integer, got 0; mend it."),
        ("tokens", -5.0, "row 3: tokens must be a positive number, got -5; mend it."),
        ("tokens", np.nan, "row 3: tokens must be a positive number, got nan; mend it."),
        ("seed", np.nan, "row 3: seed is missing; give one."),
    ],
)
def test_impossible_places_on_the_grid(table: pd.DataFrame, column: str, value: float, message: str) -> None:
    table[column] = table[column].astype("float64")
    table.loc[2, column] = value
    assert refusal(table) == ("invalid_axis", message)


def test_duplicated_runs_are_named(table: pd.DataFrame) -> None:
    twice = pd.concat([table, table.iloc[[2, 4]]])
    code, message = refusal(twice)
    assert code == "duplicate_run"
    assert message.startswith("2 duplicated runs, first (n_databases=8, tokens=2000000000, seed=0)")


def test_a_loss_from_the_middle_of_a_schedule(table: pd.DataFrame) -> None:
    table["schedule_total_tokens"] = table["tokens"] * 1.005
    assert check_results(table)[1].used == 8
    table.loc[3, "schedule_total_tokens"] = 8e9
    code, message = refusal(table)
    assert code == "schedule_mismatch"
    assert message.startswith("row 4: schedule ends at 8000000000 tokens but loss is from 2000000000; inter")


def test_mixed_recipes(table: pd.DataFrame) -> None:
    table["recipe"] = ["wsd"] * 4 + ["cosine"] * 4
    code, message = refusal(table)
    assert (code, message) == ("mixed_recipe", "rows mix 2 recipes: cosine, wsd; fit one recipe at a time.")
    table["status"] = ["ok"] * 4 + ["failed"] * 4
    assert check_results(table)[1].used == 4


def test_branches_of_a_trunk(table: pd.DataFrame) -> None:
    table["trunk"] = ["a", "b"] * 4
    assert check_results(table)[1].used == 8
    table.loc[1, "trunk"] = "a"
    code, message = refusal(table)
    assert code == "duplicate_run"
    assert "trunk a has two branches at one point, the second (n_databases=8, tokens=1000000000" in message
    table.loc[1, "trunk"] = None
    assert refusal(table) == ("invalid_axis", "row 2: trunk is missing; fill the column.")


def test_text_is_not_a_number(table: pd.DataFrame) -> None:
    table["loss"] = table["loss"].astype(object)
    table.loc[3, "loss"] = "diverged"
    code, message = refusal(table)
    assert (code, message) == ("not_a_number", "row 4: loss is 'diverged', not a number; mend that row.")


def test_nothing_left(table: pd.DataFrame) -> None:
    table["status"] = "failed"
    assert refusal(table)[0] == "no_rows"


def test_files_that_are_no_tables(table: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "r.parquet").write_bytes(b"not parquet")
    (tmp_path / "empty.csv").write_bytes(b"")
    table.drop(columns="seed").to_csv(tmp_path / "short.csv", index=False)
    cases = {
        "none.csv": ("missing_file", "is not a file; give a CSV or Parquet table."),
        "r.parquet": ("unreadable_file", "cannot be read as .parquet ("),
        "empty.csv": ("unreadable_file", "cannot be read as .csv (No columns to parse from file)"),
        "short.csv": (
            "missing_column",
            "results have no column 'seed'; needed are n_databases, tokens, seed, loss",
        ),
    }
    for name, (code, part) in cases.items():
        with pytest.raises(AnalysisError) as caught:
            load_results(tmp_path / name)
        assert caught.value.code == code
        assert part in str(caught.value)
    (tmp_path / "r.xlsx").write_bytes(b"")
    with pytest.raises(AnalysisError, match=r"ends in '\.xlsx'; results are read from \.csv or \.parquet"):
        load_results(tmp_path / "r.xlsx")
