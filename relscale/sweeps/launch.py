"""The Ray Tune edge: run the trials that have no result yet, as many at once as the cluster holds."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune

from relscale.platform.cluster import available_cpus
from relscale.platform.errors import RelscaleError, ResourceError
from relscale.sweeps.trial import TrialJob, run_trial

OnReport = Callable[[str, dict[str, Any]], None]
"""Called with a trial's key and its latest line: step, tokens, loss, ..."""

MAX_FAILURES = 2
"""Times that a trial whose process or node was lost is started again; it goes on from its checkpoint."""

DRIVERS = "trial_driver"
"""Custom resource that a trial with workers of its own occupies, so that its waiting driver takes no CPU
from them. A cluster's head declares it; without it each driver takes a CPU of its own."""


class _Listener(tune.Callback):
    """Hands each report to relscale; Tune calls it in the driver."""

    def __init__(self, on_report: OnReport) -> None:
        self._on_report = on_report

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **_: Any) -> None:
        self._on_report(trial.config["key"], result)

    def __reduce__(self) -> tuple:
        # Tune saves its callbacks for a restore that relscale does not use: trials resume by their own
        # files. What listens here holds open connections and could not be saved.
        return tune.Callback, ()


def run_trials(jobs: Sequence[TrialJob], folder: Path, on_report: OnReport) -> dict[str, str]:
    """Run every job on the connected Ray.

    Parameters
    ----------
    jobs : unfinished trials, in the order in which to start them.
    folder : for Ray Tune's own records.
    on_report : see `OnReport`; runs in this process.

    Returns
    -------
    {key: reason} of the trials that failed; the others have left their result in their folders.

    Raises
    ------
    ResourceError : the cluster can never hold one trial.
    """
    if not jobs:
        return {}
    _quieten()
    by_key = {job.key: job for job in jobs}
    documents = {key: job.model_dump(mode="json") for key, job in by_key.items()}

    def trainable(config: dict[str, Any]) -> None:
        job = TrialJob.model_validate(documents[config["key"]])
        try:
            result = run_trial(job, lambda line: tune.report(line))
        except RelscaleError as error:
            # A cause that a retry cannot mend becomes this trial's answer; others end in Tune's errors.
            tune.report({"failed": str(error)})
        else:
            tune.report({"held_out_loss": result["loss"], "tokens": job.tokens})

    resources, at_once = _resources(jobs[0])
    tuner = tune.Tuner(
        tune.with_resources(trainable, resources),
        param_space={"key": tune.grid_search(list(by_key))},
        tune_config=tune.TuneConfig(max_concurrent_trials=at_once, reuse_actors=True),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=str(folder.absolute()),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            callbacks=[_Listener(on_report)],
        ),
    )
    return _failures(tuner.fit(), by_key)


def _resources(job: TrialJob) -> tuple[dict[str, float], int]:
    """What Tune reserves for one trial, and how many trials fit at once."""
    threads = job.training.n_threads
    processes = max(1, job.trial.n_workers)
    cpus = available_cpus()
    if threads * processes > cpus:
        raise ResourceError(
            f"one trial needs {threads} CPUs x {processes} workers, the cluster has {cpus}; "
            "lower training.n_threads or trial.n_workers, or give it more CPUs."
        )
    if not job.trial.n_workers:
        return {"cpu": threads}, cpus // threads
    at_once = cpus // (threads * job.trial.n_workers)
    if job.trial.use_gpu:
        gpus = int(ray.cluster_resources().get("GPU", 0))
        if gpus < job.trial.n_workers:
            raise ResourceError(
                f"one trial needs {job.trial.n_workers} GPUs, the cluster has {gpus}; "
                "set trial.use_gpu=false or add GPU nodes."
            )
        at_once = min(at_once, gpus // job.trial.n_workers)
    if ray.cluster_resources().get(DRIVERS, 0) >= 1:
        return {"cpu": 0, DRIVERS: 1}, at_once
    if cpus <= threads * job.trial.n_workers:
        raise ResourceError(
            f"{job.trial.n_workers} workers take all {cpus} CPUs and leave none for the trial's driver; "
            f"start Ray with --resources '{{\"{DRIVERS}\": 64}}' or set trial.n_workers=0."
        )
    return {"cpu": 1}, max(1, min(at_once, cpus // (threads * job.trial.n_workers + 1)))


def _failures(grid: Any, by_key: dict[str, TrialJob]) -> dict[str, str]:
    failed = {}
    for result in grid:
        key = result.config["key"] if result.config else None
        reason = (result.metrics or {}).get("failed")
        if reason is None and result.error is not None:
            reason = str(result.error).strip().splitlines()[-1]
        if key in by_key and reason is not None:
            failed[key] = reason
    return failed


def _quieten() -> None:
    """Leave the terminal to relscale's own display, and Tune's log files to Tune."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
