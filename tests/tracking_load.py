"""Trials that report to MLflow at a pace, without training anything, and what the store holds of them.

A line of a trial has 10 metrics, as those of a real one, so five lines a second are 50 metrics a second.
"""

import time
from collections import Counter
from pathlib import Path

from mlflow import MlflowClient

from relscale.platform.tracking import Point, Tracker, TrackingConfig
from relscale.sweeps.grid import Trial
from relscale.sweeps.record import CURVES, SweepRecord, curve_points

METRICS_PER_LINE = len(CURVES)
LOSS = 0.4


def line(trial: int, step: int) -> dict[str, float]:
    """A line of a metrics file; no two points of a load are alike."""
    tokens = 1024 * (step + 1)
    return {"tokens": tokens, **{name: trial + place + 1 / tokens for place, name in enumerate(CURVES)}}


def lines(trial: int, n_lines: int) -> list[dict[str, float]]:
    """All lines of a trial."""
    return [line(trial, step) for step in range(n_lines)]


def trials(count: int, n_lines: int) -> list[Trial]:
    """So many trials of a grid."""
    return [
        Trial(key=f"{number:016x}", n_databases=number + 1, tokens=1024 * n_lines, seed=0)
        for number in range(count)
    ]


def report(uri: str, folder: Path, *, n_trials: int, n_lines: int, per_second: float) -> dict[str, float]:
    """Do as a sweep does: live lines of all trials as they come in, then every trial's file and its result.

    `per_second` lines of each trial come every second; 0 is as fast as they are taken.

    Returns
    -------
    Seconds that the slowest line took, that the live lines lagged behind their pace at the end, and that it
    took after the last one until all was recorded.
    """
    record = SweepRecord(Tracker(TrackingConfig(uri=uri), folder, "study"), "sweep", "sweep", {})
    running = trials(n_trials, n_lines)
    started, longest = time.monotonic(), 0.0
    for step in range(n_lines):
        due = started + step / per_second if per_second else started
        time.sleep(max(0.0, due - time.monotonic()))
        for number, trial in enumerate(running):
            asked = time.monotonic()
            record.trial_lines(trial, [line(number, step)])
            longest = max(longest, time.monotonic() - asked)
    ended = time.monotonic()
    lag = ended - started - n_lines / per_second if per_second else float("nan")
    for number, trial in enumerate(running):
        record.trial_lines(trial, lines(number, n_lines))
        record.trial_result(trial, {"status": "ok", "loss": LOSS})
    return {"slowest line, s": longest, "behind, s": max(lag, 0.0), "after, s": time.monotonic() - ended}


def sent(n_trials: int, n_lines: int) -> Counter[Point]:
    """Every point of the curves, and the held-out loss of every result, which is one of them."""
    curves = Counter(point for trial in range(n_trials) for point in curve_points(lines(trial, n_lines)))
    return curves + Counter({Point("held_out_loss", LOSS, 1024 * n_lines): n_trials})


def recorded(uri: str) -> Counter[Point]:
    """Every point of the curves in a store; none if its tables are broken."""
    try:
        client = MlflowClient(tracking_uri=uri)
    except Exception as error:
        print(f"the store cannot be opened any more: {str(error).splitlines()[0]}", flush=True)
        return Counter()
    experiment = client.get_experiment_by_name("study")
    found: Counter[Point] = Counter()
    for run in client.search_runs([experiment.experiment_id]) if experiment else []:
        for metric in set(CURVES.values()) & run.data.metrics.keys():
            history = client.get_metric_history(run.info.run_id, metric)
            found.update(Point(metric, entry.value, entry.step) for entry in history)
    return found
