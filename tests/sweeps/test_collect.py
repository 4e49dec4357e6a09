import json

import pandas as pd
import pytest

from relscale.platform.storage import write_json
from relscale.sweeps.collect import collect_curves, collect_results, reuse_results, trial_folder, write_table
from relscale.sweeps.grid import Trial

DONE = Trial(key="a" * 16, n_databases=4, tokens=2048, seed=0)
LOST = Trial(key="b" * 16, n_databases=2, tokens=1024, seed=0)


@pytest.fixture
def study(tmp_path):
    """A finished trial, and one that has begun."""
    row = {"n_databases": 4, "tokens": 2048, "seed": 0, "loss": 0.4, "status": "ok", "reason": None}
    result = {**row, "key": DONE.key, "per_database": {"x": 0.4}, "loss_number": 0.4}
    write_json(trial_folder(tmp_path, DONE) / "result.json", result)
    lines = [{"step": step, "tokens": 1024 * step, "loss": 1 / step} for step in (1, 2)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (trial_folder(tmp_path, DONE) / "metrics.jsonl").write_text(text + '{"step": 3, "tok')
    return tmp_path


def test_a_trial_without_a_result_keeps_its_row_and_reason(study):
    table, by_database = collect_results(study, [DONE, LOST], {LOST.key: "the loss is nan"})
    assert table["n_databases"].tolist() == [2, 4]
    assert table["status"].tolist() == ["failed", "ok"]
    assert table["reason"][0] == "the loss is nan"
    assert pd.isna(table["loss"][0]) and table["loss"][1] == 0.4
    assert "per_database" not in table
    assert by_database.to_dict("records") == [
        {"n_databases": 4, "tokens": 2048, "seed": 0, "database": "x", "loss": 0.4}
    ]


def test_a_table_is_written_twice(study):
    table, _ = collect_results(study, [DONE, LOST], {}, {"model.d_model": 64})
    assert set(table["model.d_model"]) == {"64"}
    write_table(study / "results", table)
    for read in (pd.read_parquet(study / "results.parquet"), pd.read_csv(study / "results.csv")):
        assert read["key"].tolist() == table["key"].tolist()


def test_finished_trials_of_another_study_are_taken_over(study, tmp_path):
    own = tmp_path / "own"
    assert reuse_results(own, [DONE, LOST], [tmp_path / "nothing", study]) == 1
    table, _ = collect_results(own, [DONE, LOST], {})
    assert table["status"].tolist() == ["failed", "ok"]
    assert reuse_results(own, [DONE, LOST], [study]) == 0


def test_curves_leave_out_a_line_that_a_kill_cut_off(study):
    curves = collect_curves(study, [DONE, LOST])
    assert curves["tokens"].tolist() == [1024, 2048]
    assert curves["loss"].tolist() == [1.0, 0.5]
    assert set(curves["trial"]) == {DONE.key}
