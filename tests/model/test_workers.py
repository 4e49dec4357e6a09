"""Two processes that share every batch equal one, with whole networks and with shards."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing

from relscale.model import fused
from relscale.model.checkpoint import load_model
from relscale.model.config import ModelConfig, SamplerConfig, TrainingConfig
from relscale.model.job import HeldOutData, PretrainJob
from relscale.model.pretrain import pretrain
from relscale.model.run_folder import read_metrics
from relscale.model.workers import Workers


@pytest.fixture
def job(toy_store, tmp_path) -> PretrainJob:
    """Seven steps, with a state saved after 3 and 6 and held-out losses after 5 and 7."""
    training = TrainingConfig(
        batch_size=6,
        learning_rate=2e-3,
        log_every_steps=4,
        checkpoint_every_steps=3,
        evaluate_every_steps=5,
        micro_batch_size=2,
    )
    return PretrainJob(
        store=toy_store.path,
        out=tmp_path / "run",
        databases=2,
        model=ModelConfig(n_blocks=2, d_model=16, n_heads=2, d_ff=32),
        sampler=SamplerConfig(context_length=32, bfs_width=8, mask_prob=0.3),
        training=training,
        tokens=7 * 6 * 32,
        seed=7,
        held_out=HeldOutData(store=toy_store.path, databases=("toy-2",)),
    )


class _Killed(Exception):
    pass


def _ignore(line: dict[str, Any]) -> None:
    pass


def _kill(line: dict[str, Any]) -> None:
    if line["step"] == 4:
        raise _Killed


def _work(rank: int, rendezvous: str, job: PretrainJob, killed: bool) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    if job.training.parallel == "fsdp":
        # A tensor that numpy has seen cannot be freed, which shards on a CPU would need; GPUs have no such
        # kernels.
        fused.can_fuse = lambda x, width: False
    try:
        pretrain(job, report=_kill if killed else _ignore, workers=Workers(rank=rank, size=2))
    except _Killed:
        os._exit(0)
    except RuntimeError:  # the other worker is missed
        if not (killed and rank == 1):
            raise
        os._exit(0)
    distributed.destroy_process_group()
    # Shards keep gloo's threads alive, which may free a tensor while the interpreter is taken down; that
    # aborts the process (pytorch issue 190489). So it ends without taking it down.
    os._exit(0)


def _train_on_two(job: PretrainJob, folder: Path, *, killed: bool = False) -> None:
    rendezvous = str(folder / ("killed" if killed else "whole"))
    multiprocessing.spawn(_work, (rendezvous, job, killed), nprocs=2)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_workers_equal_one_also_after_a_kill(job, tmp_path, parallel):
    alone = job.replace(out=tmp_path / "alone")
    expected = load_model(pretrain(alone, report=_ignore))[0].state_dict()
    both = job.replace(training=job.training.replace(parallel=parallel))
    _train_on_two(both, tmp_path, killed=True)
    saved = [path.name for path in (job.out / "checkpoints").iterdir()]
    assert saved == ["step-000000003"]
    _train_on_two(both, tmp_path)
    found = load_model(job.out / "final")[0].state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-5, msg=name)
    for line, wanted in zip(read_metrics(job.out), read_metrics(alone.out), strict=True):
        for name in ("step", "tokens", "cells", "unique_items", "epochs_max"):
            assert line[name] == wanted[name]
        assert line["loss"] == pytest.approx(wanted["loss"], abs=1e-5)
        assert line.get("held_out_loss") == pytest.approx(wanted.get("held_out_loss"), abs=1e-5)


def test_gradients_that_a_batch_does_not_touch_are_zero():
    network = torch.nn.Linear(2, 1)
    network.weight.grad = torch.ones(1, 2)
    Workers().average_gradients(network)
    assert network.bias.grad is not None and network.bias.grad.tolist() == [0.0]
    assert network.weight.grad.tolist() == [[1.0, 1.0]]
