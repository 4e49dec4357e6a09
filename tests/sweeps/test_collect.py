import json

import pandas as pd
import pytest

from relscale.platform.errors import DataError
from relscale.platform.storage import write_json
from relscale.sweeps.collect import collect_curves, collect_results, trial_folder
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
    table = collect_results(study, [DONE, LOST], {LOST.key: "the loss is nan"})
    assert table["n_databases"].tolist() == [2, 4]
    assert table["status"].tolist() == ["failed", "ok"]
    assert table["reason"][0] == "the loss is nan"
    assert pd.isna(table["loss"][0]) and table["loss"][1] == 0.4
    assert "per_database" not in table
    assert len(pd.read_csv(study / "results.csv")) == len(pd.read_parquet(study / "results.parquet")) == 2


def test_a_grid_without_a_result_is_refused(study):
    with pytest.raises(DataError, match="every trial failed; the first: out of memory"):
        collect_results(study, [LOST], {LOST.key: "out of memory"})


def test_curves_leave_out_a_line_that_a_kill_cut_off(study):
    curves = collect_curves(study, [DONE, LOST])
    assert curves["tokens"].tolist() == [1024, 2048]
    assert curves["loss"].tolist() == [1.0, 0.5]
    assert set(curves["trial"]) == {DONE.key}
