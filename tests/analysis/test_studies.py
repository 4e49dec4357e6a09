"""Studies to be compared: how they are named and told apart, and which are refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.results import AnalysisError
from relscale.analysis.studies import load_studies


@pytest.fixture
def table(monotone, make_table) -> pd.DataFrame:
    return make_table(monotone, sigma=1e-3, seeds=2, n_databases=[8, 16], tokens=[10**9, 2 * 10**9])


def refusal(paths: list[Path]) -> tuple[str, str]:
    with pytest.raises(AnalysisError) as raised:
        load_studies(paths)
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")
    return raised.value.code, str(raised.value)


def write(folder: Path, table: pd.DataFrame, name: str = "results.parquet") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    table.to_csv(file, index=False) if name.endswith("csv") else table.to_parquet(file, index=False)
    return file


def test_a_folder_and_its_table_are_the_same_study(tmp_path: Path, table) -> None:
    write(tmp_path / "one", table)
    copy = write(tmp_path / "two", table.sample(frac=1, random_state=0), "results.csv")
    code, message = refusal([tmp_path / "one", copy])
    assert code == "same_study" and "hold the same runs" in message


def test_names_are_those_of_folders_unless_alike(tmp_path: Path, table) -> None:
    shifted = [table.assign(loss=table["loss"] + k / 100) for k in range(4)]
    paths = [
        write(tmp_path / "x" / "first", shifted[0]).parent,
        write(tmp_path / "second", shifted[1], "results.csv"),
        write(tmp_path, shifted[2], "third.csv"),
    ]
    assert [study.name for study in load_studies(paths)] == ["first", "second", "third"]
    twin = write(tmp_path / "y" / "first", shifted[3]).parent
    assert [study.name for study in load_studies([paths[0], twin])] == [str(paths[0]), str(twin)]


def test_what_cannot_be_compared_is_refused(tmp_path: Path, table) -> None:
    one = write(tmp_path / "one", table)
    assert refusal([one])[0] == "too_few_studies"
    (tmp_path / "empty").mkdir()
    assert refusal([one, tmp_path / "empty"]) == (
        "missing_file",
        f"'{tmp_path / 'empty'}' holds no results.parquet; give the folder of a finished sweep, or a table.",
    )
    billions = write(tmp_path / "b", table.assign(tokens=table["tokens"] / 1e9))
    code, message = refusal([one, billions])
    assert code == "different_units" and "tokens of" in message and "from 1 to 2" in message
    scores = write(tmp_path / "c", table.assign(loss=100 * table["loss"]))
    assert "loss of" in refusal([scores, one])[1]
    broken = table.copy()
    broken.loc[3, "loss"] = np.nan
    code, message = refusal([one, write(tmp_path / "d", broken, "d.csv")])
    assert code == "non_finite_loss" and message.startswith(f"'{tmp_path / 'd' / 'd.csv'}': row 4")


def test_held_out_databases_are_told_by_what_the_column_means_score(tmp_path: Path, table) -> None:
    known = table.assign(loss_mean_predictor=0.48)
    other = known.assign(loss=known["loss"] + 0.1, loss_mean_predictor=0.49)
    mixed = known.assign(loss=known["loss"] + 0.2, loss_mean_predictor=np.linspace(0.4, 0.5, len(known)))
    plain = table.assign(loss=table["loss"] + 0.3)
    paths = [write(tmp_path / str(i), t) for i, t in enumerate((known, other, mixed, plain))]
    marks = [study.held_out for study in load_studies(paths)]
    assert marks == ["loss_mean_predictor 0.48", "loss_mean_predictor 0.49", None, None]


def test_losses_by_database_lie_beside_the_results(tmp_path: Path, table) -> None:
    rows = [
        {**run, "database": name, "loss": run["loss"] + shift}
        for run in table.to_dict("records")
        for name, shift in (("x", -0.1), ("y", 0.1))
    ]
    write(tmp_path / "one", table)
    write(tmp_path / "one", pd.DataFrame(rows), "per_database.parquet")
    write(tmp_path / "two", table.assign(loss=table["loss"] + 0.1))
    first, second = load_studies([tmp_path / "one", tmp_path / "two"])
    assert second.per_database is None
    points = pd.MultiIndex.from_tuples([(8, 1e9), (16, 2e9), (16, 7e9)])
    means = first.database_means(points, ["y", "x"])
    at = table[(table["n_databases"] == 16) & (table["tokens"] == 2 * 10**9)]["loss"].mean()
    assert means[1] == pytest.approx([at + 0.1, at - 0.1])
    assert np.isnan(means[2]).all()
    write(tmp_path / "one", pd.DataFrame(rows[2:]), "per_database.parquet")
    first, _ = load_studies([tmp_path / "one", tmp_path / "two"])
    assert first.database_means(points, ["x"]).shape == (3, 1), "the other seed of the point has it"
    write(tmp_path / "one", pd.DataFrame(rows[4:]), "per_database.parquet")
    first, _ = load_studies([tmp_path / "one", tmp_path / "two"])
    with pytest.raises(
        AnalysisError, match=r"no loss on database 'x' of the runs at n_databases=8, tokens=1e"
    ):
        first.database_means(points, ["x"])
