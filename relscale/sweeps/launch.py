"""The Ray Tune edge: run the trials that have no result yet, as many at once as the cluster holds."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune

import relscale
from relscale.platform import remote
from relscale.platform.autoscaling import read_cluster
from relscale.platform.cluster import MISSING_CODE, check_version, lacks_code
from relscale.platform.errors import RelscaleError, ResourceError
from relscale.platform.progress import human_seconds
from relscale.platform.waiting import Patience, explain
from relscale.sweeps.config import SweepConfig
from relscale.sweeps.needs import needs_of, reserved, trials_at_once, usable_nodes, why_none
from relscale.sweeps.trial import TrialJob, finished, run_trial

OnReport = Callable[[str, dict[str, Any]], None]
"""Called with a trial's key and its latest line: step, tokens, loss, ..."""

Chain = Sequence[TrialJob]
"""Trials that run one after the other, where Ray Tune sees one."""


class _Listener(tune.Callback):
    """Hands each report to relscale, and watches for trials that cannot be placed; called in the driver."""

    def __init__(self, on_report: OnReport, watch: "_Watch") -> None:
        self._on_report, self._watch = on_report, watch

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **_: Any) -> None:
        self._on_report(result["key"], result)

    def on_step_begin(self, iteration: int, trials: list, **_: Any) -> None:
        statuses = [trial.status for trial in trials]
        self._watch.look(placed="PENDING" not in statuses or "RUNNING" in statuses, now=time.monotonic())

    def __reduce__(self) -> tuple:
        # Tune saves its callbacks for a restore that relscale does not use: trials resume by their own
        # files. What listens here holds open connections and could not be saved.
        return tune.Callback, ()


class _Watch(tune.Stopper):
    """Explains waits; ends a sweep that has run or waited for too long, and `reason` says why it did."""

    def __init__(
        self, limits: SweepConfig, asked: str, *, now: float, explain: Callable[[str], None]
    ) -> None:
        self._limits, self._asked, self._explain = limits, asked, explain
        self._started, self._patience = now, Patience(since=now)
        self.reason: str | None = None

    def look(self, *, placed: bool, now: float) -> None:
        """Note whether a trial has its place, at the time `now` in seconds."""
        if placed:
            self._patience.went_on(now)
        waited, ran = now - self._patience.since, (now - self._started) / 3600
        if self._patience.is_due(now):
            self._explain(f"no trial has a place since {human_seconds(waited)}: one asks for {self._asked}")
        if waited > 60 * self._limits.max_pending_minutes:
            self.reason = (
                f"no trial could be placed for {human_seconds(waited)}: one asks for {self._asked}; add such "
                f"nodes, or lower what a trial asks for, and run the same command again"
            )
        if self._limits.max_hours is not None and ran > self._limits.max_hours:
            self.reason = (
                f"sweep.max_hours ({self._limits.max_hours:g}) is over; run the same command to go on"
            )

    def __call__(self, trial_id: str, result: dict) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.reason is not None

    def __reduce__(self) -> tuple:
        return tune.stopper.NoopStopper, ()  # as `_Listener`


def run_trials(
    chains: Sequence[Chain], folder: Path, on_report: OnReport, limits: SweepConfig
) -> dict[str, str]:
    """Run every job on the connected Ray.

    Parameters
    ----------
    chains : unfinished trials, in the order in which to start them; those of a chain one after the other.
    folder : for Ray Tune's own records.
    on_report : see `OnReport`; runs in this process.
    limits : attempts and time.

    Returns
    -------
    {key: reason} of the trials that have no result; the others have left it in their folders.

    Raises
    ------
    ResourceError : the cluster can never hold one trial, with all nodes that it may start.
    """
    if not chains:
        return {}
    _quieten()
    by_name = {chain[0].key: chain for chain in chains}
    documents = {name: [job.model_dump(mode="json") for job in chain] for name, chain in by_name.items()}
    failures: dict[str, str] = {}

    def hear(key: str, line: dict[str, Any]) -> None:
        if "failed" in line:
            failures[key] = line["failed"]
        on_report(key, line)

    needs = needs_of(chains[0][0])
    cluster = read_cluster()
    nodes = usable_nodes(needs, cluster)
    at_once = trials_at_once(needs, nodes)
    if not at_once:
        raise ResourceError(why_none(needs, cluster))
    watch = _Watch(limits, needs.sentence, now=time.monotonic(), explain=explain)
    version = relscale.__version__
    tuner = tune.Tuner(
        tune.with_resources(
            lambda config: _run_chain(documents[config["chain"]], version),
            reserved(needs, nodes),
        ),
        param_space={"chain": tune.grid_search(list(by_name))},
        tune_config=tune.TuneConfig(max_concurrent_trials=at_once, reuse_actors=True),
        run_config=tune.RunConfig(
            name="trials",
            **remote.for_ray(folder),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=limits.max_failures),
            callbacks=[_Listener(hear, watch)],
            stop=watch,
        ),
    )
    found = tuner.fit()
    results = [found[place] for place in range(len(found))]
    errors = {result.config["chain"]: result.error for result in results if result.config}
    return _reasons(by_name, failures, errors, watch.reason)


def _run_chain(documents: Sequence[Mapping[str, Any]], version: str) -> None:
    """What one Tune trial does, in its own process; `version` is the driver's relscale."""
    for document in documents:
        job = TrialJob.model_validate(document)
        try:
            check_version(version)
            result = run_trial(job, lambda line, key=job.key: tune.report({"key": key, **line}))  # type: ignore[misc]
        except RelscaleError as error:
            # A cause that a retry cannot mend becomes this trial's answer; others end in Tune's errors.
            tune.report({"key": job.key, "failed": str(error)})
        else:
            tune.report({"key": job.key, "held_out_loss": result["loss"], "tokens": job.tokens})


def _reasons(
    chains: Mapping[str, Chain],
    failures: Mapping[str, str],
    errors: Mapping[str, Exception | None],
    stopped: str | None,
) -> dict[str, str]:
    """Why each trial without a result has none: its own answer, a lost process, or the end of the sweep."""
    reasons = {}
    for name, chain in chains.items():
        error = errors.get(name)
        lost = _lost(error) if error is not None else None
        for job in chain:
            if finished(job.folder) is None:
                reasons[job.key] = failures.get(job.key) or lost or stopped or "it ended without a result"
    return reasons


def _lost(error: Exception) -> str:
    """The last line of an error of Ray's, or that a node has no relscale or another one."""
    if missing := MISSING_CODE.search(str(error)):
        return lacks_code(missing[0])
    return str(error).strip().splitlines()[-1]


def _quieten() -> None:
    """Leave the terminal to relscale's own display, and Tune's log files to Tune."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
