"""A comparison in MLflow: one run with the findings, linked to the sweeps that it compares."""

import pytest
from mlflow import MlflowClient

from relscale.platform.storage import write_json, write_text
from relscale.platform.tracking import Tracker, TrackingConfig
from relscale.sweeps.record import RESULTS_TAG
from relscale.sweeps.record_comparison import record_comparison

LAW = {"status": "ok", "code": None, "E": 0.3, "A": 0.1, "alpha": 0.4, "ci95": None}
NONE = {"status": "failed", "code": "too_few_points", **dict.fromkeys(("E", "A", "alpha", "ci95"))}
GAP = {"verdict": "differ", "difference": -0.1, "ci95": [-0.2, -0.05], "failed_draws": 0.0}
NO_GAP = {"verdict": "no_law", "difference": None, "ci95": None, "failed_draws": None}
COMPARISON = {
    "studies": [
        {
            "name": "plurel",
            "path": "runs/plurel",
            "digest": "d1",
            "axes": {"n_databases": LAW, "tokens": LAW},
        },
        {"name": "my (own)", "path": "own", "digest": "d2", "axes": {"n_databases": LAW, "tokens": NONE}},
    ],
    "pairs": [
        {
            "first": "plurel",
            "second": "my (own)",
            "held_out": "different",
            "axes": {"n_databases": GAP, "tokens": NO_GAP},
            "loss": None,
        }
    ],
    "settings": {"n_boot": 100, "seed": 0, "interval": "95 %"},
    "sentences": ["The exponents differ.", "There is one law."],
}


@pytest.mark.filterwarnings("error")
def test_findings_links_and_files_once(tmp_path):
    config = TrackingConfig(uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    study = Tracker(config, tmp_path, "the study of plurel")
    sweep = study.run("sweep", "sweep", params={})
    study.set_tags(sweep, {RESULTS_TAG: "d1"})
    write_text(tmp_path / "out" / "compare.html", "<p>")
    write_json(tmp_path / "out" / "compare.json", COMPARISON)
    for _ in range(2):
        assert "mlflow ui" in record_comparison(config, COMPARISON, tmp_path / "out")
    client = MlflowClient(tracking_uri=config.uri)
    (experiment,) = client.search_experiments(filter_string="name LIKE 'compare %'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (experiment.name, run.info.status) == ("compare plurel and my (own)", "FINISHED")
    assert run.data.metrics == {
        "alpha/n_databases/plurel": 0.4,
        "alpha/tokens/plurel": 0.4,
        "alpha/n_databases/my_own_": 0.4,
        "alpha_difference/n_databases/my_own_-plurel": -0.1,
        "alpha_difference/n_databases/my_own_-plurel_low": -0.2,
        "alpha_difference/n_databases/my_own_-plurel_high": -0.05,
    }
    tags = run.data.tags
    assert tags["verdict.n_databases.my_own_-plurel"] == "differ"
    assert tags["study.plurel"] == sweep and "study.my_own_" not in tags
    note = tags["mlflow.note.content"]
    assert f"#/experiments/{study.experiment_id}/runs/{sweep}" in note and "The exponents differ." in note
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {"compare.html", "compare.json"}
