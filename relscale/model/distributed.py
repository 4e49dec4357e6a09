"""The Ray Train edge: one pretraining run, in this process or on several workers."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
from ray.train import Checkpoint, FailureConfig, RunConfig, ScalingConfig

from relscale.model.pretrain import PretrainJob, open_data, pretrain, read_metrics, share_of_batch
from relscale.platform.errors import RelscaleError

_MAX_FAILURES = 3
"""Lost workers or nodes that a run survives; it goes on from its latest checkpoint."""


def train(
    job: PretrainJob,
    *,
    storage: Path,
    n_workers: int = 0,
    use_gpu: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Run `pretrain` under Ray Train; the folder of the finished checkpoint.

    Parameters
    ----------
    job : what to train; job.out must lie on storage that all workers and this process share.
    storage : folder for Ray Train's own records, shared likewise.
    n_workers : 0 trains in this process, starts no cluster and works inside a Ray Tune trial; 1 or more
        starts that many workers of the Ray that this process is connected to, each with
        training.n_threads CPUs, that share every batch.
    use_gpu : one GPU per worker.
    report : called with each line of metrics.jsonl; while training when n_workers is 0, else at the end.

    Raises
    ------
    RelscaleError : as `pretrain`, from whichever worker met it.
    """
    # Ray Train would start the workers again for a mistake that is plain from here.
    open_data(job)
    # Ray Train announces its local mode with a request for issue reports.
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    share_of_batch(job.training, 0, max(1, n_workers))
    listen = report or _ignore
    if n_workers == 0 or (job.out / "final").is_dir():
        _trainer(lambda: _work_here(job, use_gpu, listen), job, storage, 0, use_gpu).fit()
        return job.out / "final"
    try:
        _trainer(lambda: _work(job), job, storage, n_workers, use_gpu).fit()
    except ray.train.TrainingFailedError as error:
        raise _cause(error) from error
    # A listener in this process cannot be called from another; it hears the whole story now.
    for line in read_metrics(job.out):
        listen(line)
    return job.out / "final"


def _trainer(
    work: Callable[[], None], job: PretrainJob, storage: Path, n_workers: int, use_gpu: bool
) -> ray.train.torch.TorchTrainer:
    resources = {"CPU": float(job.training.n_threads)} | ({"GPU": 1.0} if use_gpu else {})
    return ray.train.torch.TorchTrainer(
        work,
        scaling_config=ScalingConfig(num_workers=n_workers, use_gpu=use_gpu, resources_per_worker=resources),
        run_config=RunConfig(
            name=f"pretrain-{job.fingerprint()}",
            storage_path=str(storage.absolute()),
            failure_config=FailureConfig(max_failures=_MAX_FAILURES),
        ),
    )


def _work_here(job: PretrainJob, use_gpu: bool, report: Callable[[dict[str, Any]], None]) -> None:
    """The run in this process. It calls nothing of `ray.train`, which refuses to serve in a Tune trial."""
    pretrain(job, report=report, wrap=lambda network: network.to("cuda" if use_gpu else "cpu"))


def _work(job: PretrainJob) -> None:
    """What each worker runs. Ray Train's report is a barrier of about two seconds, so it comes once."""
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    final = pretrain(
        job, report=_ignore, rank=rank, world_size=world_size, wrap=ray.train.torch.prepare_model
    )
    if rank == 0:
        ray.train.report(read_metrics(job.out)[-1], checkpoint=Checkpoint.from_directory(final))
    else:
        ray.train.report({})


def _cause(error: ray.train.TrainingFailedError) -> Exception:
    """The user's mistake behind a failed run if there is one, otherwise the failure itself."""
    failures = getattr(error, "worker_failures", {}).values()
    causes = (getattr(failure, "_base_exc", failure) for failure in failures)
    return next((cause for cause in causes if isinstance(cause, RelscaleError)), error)


def _ignore(line: dict[str, Any]) -> None:
    pass
