"""A trial's run in MLflow over several attempts."""

from mlflow import MlflowClient

from relscale.platform.tracking import Tracker, TrackingConfig
from relscale.sweeps.grid import Trial
from relscale.sweeps.record import SweepRecord

TRIAL = Trial(key="a" * 16, n_databases=2, tokens=1024, seed=0)


def test_a_failure_that_a_later_attempt_mends_leaves_no_trace(tmp_path):
    tracker = Tracker(TrackingConfig(), tmp_path, "a study")
    record = SweepRecord(tracker, "sweep", "sweep", {"model": "tiny"})
    record.trial_result(TRIAL, {"status": "failed", "reason": "the loss is nan"})
    client = MlflowClient(tracking_uri=tracker.uri)
    where = f"tags.`relscale.key` = '{TRIAL.key}'"
    (run,) = client.search_runs([tracker.experiment_id], where)
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", "the loss is nan")
    again = SweepRecord(tracker, "sweep", "sweep", {"model": "tiny"})
    again.trial_lines(TRIAL, [{"tokens": 1024, "loss": 0.5, "learning_rate": 0.1, "tokens_per_second": 9.0}])
    again.trial_result(TRIAL, {"status": "ok", "loss": 0.4, "loss_boolean": None, "loss_number": 0.4})
    (run,) = client.search_runs([tracker.experiment_id], where)
    assert run.info.status == "FINISHED" and "failure" not in run.data.tags
    assert run.data.metrics["held_out_loss"] == 0.4 and "held_out_loss_boolean" not in run.data.metrics
    assert (run.data.params["N"], run.data.params["S"], run.data.params["model"]) == ("2", "1024", "tiny")
