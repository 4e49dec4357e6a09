"""The Ray Train edge: one pretraining run, in this process or on several workers."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from relscale.model import run_folder
from relscale.model.job import PretrainJob, open_data
from relscale.model.pretrain import pretrain
from relscale.model.workers import Workers
from relscale.platform import remote
from relscale.platform.errors import ConfigError, RelscaleError

if TYPE_CHECKING:
    from ray.train import TrainingFailedError

_MAX_FAILURES = 3
"""Lost workers or nodes that a run survives; it goes on from its latest checkpoint."""
_SECONDS_BETWEEN_LOOKS = 1.0


def train(
    job: PretrainJob,
    *,
    storage: Path,
    n_workers: int = 0,
    use_gpu: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Run `pretrain` here or under Ray Train; the folder of the finished checkpoint.

    Parameters
    ----------
    job : what to train; job.out must lie on storage that all workers and this process share.
    storage : folder for Ray Train's own records, shared likewise.
    n_workers : 0 trains in this process, needs no Ray and works inside a Ray Tune trial; 1 or more
        starts that many workers of the Ray that this process is connected to, each with
        training.n_threads CPUs, that share every batch.
    use_gpu : one GPU per worker.
    report : called in this process with each line of metrics.jsonl while training; from another thread
        where there are workers.

    Raises
    ------
    RelscaleError : as `pretrain`, from whichever worker met it.
    """
    # Ray Train would start the workers again for a mistake that is plain from here.
    open_data(job)
    Workers(size=max(1, n_workers)).share(job.training)
    if job.training.parallel == "fsdp" and not use_gpu:
        raise ConfigError("training.parallel=fsdp is for GPUs; set trial.use_gpu=true or parallel=ddp.")
    listen = report or _ignore
    if n_workers == 0 or remote.committed(job.out / "final"):
        return pretrain(
            job, report=listen, workers=Workers(device=torch.device("cuda" if use_gpu else "cpu"))
        )

    def listen_to_all(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            listen(line)

    with run_folder.following(job.out, listen_to_all, seconds=_SECONDS_BETWEEN_LOOKS):
        _run_workers(job, storage, n_workers, use_gpu)
    # The workers may have been on other nodes.
    remote.stage(job.out / "final")
    run_folder.bring_files(job.out)
    return job.out / "final"


def _run_workers(job: PretrainJob, storage: Path, n_workers: int, use_gpu: bool) -> None:
    # Ray Train takes seconds to import, which a run without workers is spared.
    import ray.train.torch
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    resources = {"CPU": float(job.training.n_threads)} | ({"GPU": 1.0} if use_gpu else {})
    trainer = ray.train.torch.TorchTrainer(
        lambda: _work(job),
        scaling_config=ScalingConfig(num_workers=n_workers, use_gpu=use_gpu, resources_per_worker=resources),
        run_config=RunConfig(
            name=f"pretrain-{job.fingerprint()}",
            **remote.for_ray(storage),
            failure_config=FailureConfig(max_failures=_MAX_FAILURES),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise _cause(error) from error


def _work(job: PretrainJob) -> None:
    """What each worker runs. Ray Train's report is a barrier of about two seconds, so it comes once."""
    import ray.train.torch
    from ray.train import Checkpoint

    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    workers = Workers(rank=rank, size=size, device=ray.train.torch.get_device())
    final = pretrain(job, report=_ignore, workers=workers)
    if rank == 0:
        last = run_folder.read_metrics(job.out)[-1]
        ray.train.report(last, checkpoint=Checkpoint.from_directory(final))
    else:
        ray.train.report({})


def _cause(error: "TrainingFailedError") -> Exception:
    """The user's mistake behind a failed run if there is one, otherwise the failure itself."""
    failures = getattr(error, "worker_failures", {}).values()
    causes = (getattr(failure, "_base_exc", failure) for failure in failures)
    return next((cause for cause in causes if isinstance(cause, RelscaleError)), error)


def _ignore(line: dict[str, Any]) -> None:
    pass
