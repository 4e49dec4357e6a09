"""Ray Train: in this process without a cluster, and two workers that equal one."""

from typing import Any

import pytest
import ray
import torch
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

from relscale.model.checkpoint import load_model
from relscale.model.config import ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.distributed import _cause, train
from relscale.model.job import PretrainJob
from relscale.model.pretrain import pretrain
from relscale.model.run_folder import read_metrics
from relscale.platform.errors import ConfigError, DataError


@pytest.fixture
def job(toy_store, tmp_path) -> PretrainJob:
    return PretrainJob(
        store=toy_store.path,
        out=tmp_path / "run",
        model=ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=32),
        sampler=SamplerConfig(context_length=32, bfs_width=8, mask_prob=0.3),
        training=TrainingConfig(batch_size=4, learning_rate=2e-3, log_every_steps=3),
        tokens=7 * 4 * 32,
        seed=7,
    )


def _ignore(line: dict[str, Any]) -> None:
    pass


def _weights(folder) -> dict[str, torch.Tensor]:
    return load_model(folder)[0].state_dict()


def test_local_mode_is_the_bare_loop_and_starts_no_cluster(job, tmp_path):
    was_running = ray.is_initialized()
    heard: list[dict[str, Any]] = []
    final = train(job, storage=tmp_path / "ray", report=heard.append)
    assert ray.is_initialized() == was_running
    assert heard == read_metrics(job.out)
    assert [line["step"] for line in heard] == [3, 6, 7]
    bare = _weights(pretrain(job.replace(out=tmp_path / "bare"), report=_ignore))
    assert all(torch.equal(tensor, bare[name]) for name, tensor in _weights(final).items())
    assert train(job, storage=tmp_path / "ray", n_workers=2) == final  # done: no workers are started


def test_mistakes_are_found_before_workers_start(job, tmp_path):
    with pytest.raises(ConfigError, match="batch_size 4 is not a multiple of the 3 workers"):
        train(job, storage=tmp_path / "ray", n_workers=3)
    sharded = job.replace(training=job.training.replace(parallel="fsdp"))
    with pytest.raises(ConfigError, match="fsdp is for GPUs"):
        train(sharded, storage=tmp_path / "ray", n_workers=2)
    with pytest.raises(DataError, match="not a finished token store"):
        train(job.replace(store=tmp_path / "nothing"), storage=tmp_path / "ray", n_workers=2)


def test_the_error_of_a_worker_is_told_from_a_lost_worker():
    mistake, loss = DataError("not finite"), RuntimeError("connection closed")
    wrapped = {1: UserExceptionWithTraceback(loss, ""), 0: UserExceptionWithTraceback(mistake, "")}
    assert _cause(WorkerGroupError("", wrapped)) is mistake
    lost = WorkerGroupError("", {1: loss})
    assert _cause(lost) is lost


@pytest.mark.ray
def test_two_workers_equal_one(job, tmp_path, ray_session):
    heard: list[dict[str, Any]] = []
    final = train(job, storage=tmp_path / "ray", n_workers=2, report=heard.append)
    alone = job.replace(out=tmp_path / "alone")
    expected = _weights(pretrain(alone, report=_ignore))
    for name, tensor in _weights(final).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-5, msg=name)
    assert heard == read_metrics(job.out)
    for found, wanted in zip(heard, read_metrics(alone.out), strict=True):
        assert found["step"] == wanted["step"]
        assert found["loss"] == pytest.approx(wanted["loss"], abs=1e-5)
