"""One run as a person sees it: the line of progress, and MLflow as the mirror of its files."""

import numpy as np
import pytest
from mlflow import MlflowClient

from relscale.model.config import ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.job import HeldOutData, PretrainJob
from relscale.model.run_folder import read_metrics
from relscale.platform.errors import ConfigError, ResourceError
from relscale.platform.tracking import TrackingConfig
from relscale.sweeps.config import TrialConfig
from relscale.sweeps.pretraining import progress_note, run_pretraining


@pytest.fixture
def job(toy_store, tmp_path) -> PretrainJob:
    return PretrainJob(
        store=toy_store.path,
        out=tmp_path / "run",
        databases=("toy-0", "toy-1"),
        model=ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=32),
        sampler=SamplerConfig(context_length=32, bfs_width=8),
        training=TrainingConfig(batch_size=4, log_every_steps=2, evaluate_every_steps=4),
        tokens=6 * 4 * 32,
        held_out=HeldOutData(store=toy_store.path, databases=("toy-2",)),
    )


def test_a_run_is_mirrored_in_mlflow_and_a_second_call_adds_nothing(job, tmp_path):
    tracking = TrackingConfig(uri=f"sqlite:///{tmp_path / 'tracking.db'}")
    finals = {run_pretraining(job, TrialConfig(), tracking, "an experiment") for _ in range(2)}
    assert finals == {job.out / "final"}
    client = MlflowClient(tracking_uri=tracking.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("an experiment").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["checkpoint"] == str(job.out / "final")
    params = run.data.params
    assert (params["N"], params["S"], params["model.d_model"]) == ("2", str(6 * 4 * 32), "16")
    lines = read_metrics(job.out)
    losses = client.get_metric_history(run.info.run_id, "train_loss")
    assert [(m.step, m.value) for m in losses] == [(line["tokens"], line["loss"]) for line in lines]
    scored = client.get_metric_history(run.info.run_id, "held_out_loss")
    assert [m.step for m in scored] == [4 * 4 * 32, 6 * 4 * 32]
    assert {"mfu", "loader_wait_share", "epochs_median", "unique_cells"} <= run.data.metrics.keys()
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert names == {"job.json", "metrics.jsonl", "seen.json"}


def test_a_server_that_is_not_there_is_told_before_work_starts(job):
    with pytest.raises(ResourceError, match="does not answer"):
        run_pretraining(job, TrialConfig(), TrackingConfig(uri="http://127.0.0.1:9"), "x")
    assert not job.out.exists()


def test_a_mistake_before_the_first_step_leaves_no_run(job, tmp_path):
    broken = job.replace(model=job.model.replace(d_text=12))
    with pytest.raises(ConfigError, match="d_text"):
        run_pretraining(broken, TrialConfig(), TrackingConfig(), "x")
    assert not (job.out / "mlflow.db").exists()


def test_the_line_of_progress():
    line = {
        "step": 50,
        "tokens": 1_638_400,
        "loss": 0.41236,
        "learning_rate": 5e-4,
        "tokens_per_second": 12345.6,
        "loader_wait_share": 0.0123,
        "mfu": 0.314,
    }
    assert progress_note(line) == (
        "1.64 M tokens, loss 0.4124, rate 0.0005, 12.3 K tokens/s, wait 1.2%, MFU 31%"
    )
    scored = progress_note({**line, "held_out_loss": np.float64(0.5)})
    assert "loss 0.4124, held out 0.5000, rate" in scored
