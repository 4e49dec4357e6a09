"""What a sweep leaves in MLflow: curves of each trial, the scaling curves, fits, scores and files."""

import hashlib
import math
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from relscale.analysis.results import check_results
from relscale.analysis.studies import table_digest
from relscale.analysis.verdict import verdict_sentences
from relscale.platform.errors import ResourceError
from relscale.platform.progress import console
from relscale.platform.tracking import RETRY_SECONDS, Model, Point, Tracker, patiently
from relscale.sweeps.grid import Trial

CURVES = {
    "loss": "train_loss",
    **{
        name: name
        for name in (
            "learning_rate",
            "tokens_per_second",
            "loader_wait_share",
            "mfu",
            "epochs_median",
            "unique_cells",
            "held_out_loss",
            "held_out_loss_boolean",
            "held_out_loss_number",
        )
    },
}
"""Fields of a run's log lines, and the metrics that they become; the others stay in metrics.jsonl."""
RECORDED_TAG = "relscale.recorded"
RESULTS_TAG = "relscale.results"
"""Tag with the digest of a sweep's results, by which a comparison finds the run of its study."""
FILES = (
    "report.html",
    "figures",
    "fit.json",
    "results.csv",
    "results.parquet",
    "per_database.parquet",
    "bootstrap.parquet",
    "zero_shot.csv",
    "study.yaml",
)
MAX_NOTE = 7900
"""Characters; MLflow refuses a tag of more than 8,000, and a link to hundreds of runs is longer."""
SCORES = ("loss", "loss_boolean", "loss_number")


class SweepRecord:
    """The parent run of a sweep and its child runs; every method may be called again."""

    def __init__(self, tracker: Tracker, key: str, name: str, facts: Mapping[str, str]) -> None:
        """Open the parent run that `key` names. `facts` become its params, and each trial's."""
        self._tracker = tracker
        self._facts = dict(facts)
        self._children: dict[str, str] = {}
        self._waiting: dict[Trial, list[Mapping[str, Any]]] = {}
        self._lock = threading.Lock()  # of what waits
        # Trials wait for the process that hears them, so it must not wait for a server.
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="relscale-record")
        self._sending: Future[None] | None = None
        self._away_until: float | None = None
        self.parent = tracker.run(key, name, params=self._facts)

    def trial_lines(self, trial: Trial, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add those logged steps of a trial that are not recorded yet, soon or when MLflow answers again.

        Returns at once. Lines that come while others are sent wait here, as those do that a server misses;
        a later line sends them, and `trial_result`.
        """
        with self._lock:
            self._waiting.setdefault(trial, []).extend(lines)
        if self._sending is None or self._sending.done():
            self._finish_sending()
            if self._away_until is None or time.monotonic() >= self._away_until:
                self._sending = self._sender.submit(self._try_to_send)

    def _try_to_send(self) -> None:
        try:
            self._send()
        except ResourceError as error:
            if self._away_until is None:
                console.print(f"{error} Training goes on; the points follow.", markup=False)
            self._away_until = time.monotonic() + RETRY_SECONDS

    def _send(self) -> None:
        if self._away_until is not None:
            self._tracker.check()
        with self._lock:
            waiting = {trial: list(lines) for trial, lines in self._waiting.items()}
        for trial, lines in waiting.items():
            self._tracker.log_points(self._child(trial), curve_points(lines))
            with self._lock:
                del self._waiting[trial][: len(lines)]
        self._away_until = None

    def _finish_sending(self) -> None:
        """Wait for what is being sent; a fault of relscale there is raised here."""
        if self._sending is not None:
            self._sending.result()

    def trial_result(self, trial: Trial, result: Mapping[str, Any]) -> None:
        """Close a trial's run with its held-out losses; ResourceError if MLflow stays away."""
        self._finish_sending()
        patiently(self._send)
        patiently(lambda: self._close(trial, result))

    def _close(self, trial: Trial, result: Mapping[str, Any]) -> None:
        run = self._child(trial)
        if result["status"] != "ok":
            self._tracker.set_tags(run, {"failure": str(result["reason"])})
            self._tracker.end(run, failed=True)
            return
        self._tracker.log_points(run, result_points(trial, result))
        self._tracker.drop_tag(run, "failure")  # of an earlier attempt
        self._tracker.end(run)

    def trial_scores(self, trial: Trial, scores: pd.DataFrame) -> None:
        """Add a trial's zero-shot scores, rows of `score_table`, to its run."""
        points = [
            Point(f"zero_shot/{row['dataset']}/{row['task']}/{row['metric']}{end}", row[name], trial.tokens)
            for row in scores.to_dict("records")
            for name, end in (("value", ""), ("low", "_low"), ("high", "_high"))
        ]
        patiently(lambda: self._tracker.log_points(self._child(trial), points))

    def model(self, model: Model) -> int:
        """Register the best network below the sweep's run; its version."""
        return patiently(lambda: self._tracker.register(model, self.parent))

    def _child(self, trial: Trial) -> str:
        if trial.key not in self._children:
            params = {"N": trial.n_databases, "S": trial.tokens, "seed": trial.seed, **self._facts}
            self._children[trial.key] = self._tracker.run(
                trial.key, trial.label, params=params, parent=self.parent
            )
        return self._children[trial.key]

    def study(
        self,
        trials: Sequence[Trial],
        results: pd.DataFrame,
        fit: Mapping[str, Any],
        scores: Sequence[Mapping[str, Any]],
        folder: Path,
    ) -> None:
        """Add what the whole grid says: scaling curves, fits, zero-shot scores, the report's files.

        A tag with the report's digest is set last, so that a call that was killed is made good.
        """
        patiently(lambda: self._study(trials, results, fit, scores, folder))

    def _study(
        self,
        trials: Sequence[Trial],
        results: pd.DataFrame,
        fit: Mapping[str, Any],
        scores: Sequence[Mapping[str, Any]],
        folder: Path,
    ) -> None:
        digest = hashlib.sha256((folder / "report.html").read_bytes()).hexdigest()
        if self._tracker.tag(self.parent, RECORDED_TAG) == digest:
            return
        self._tracker.log_points(
            self.parent, [*_scaling_curves(results), *fit_points(fit), *_score_points(scores)]
        )
        verdicts = {f"verdict.{axis}": str(law["code"] or law["status"]) for axis, law in fit["axes"].items()}
        note = "\n\n".join([*verdict_sentences(fit), "Select the child runs and press Compare, or open"])
        path = self._compare_path(trials)
        note += f" {path}" if len(note) + len(path) < MAX_NOTE else " the charts."
        used, _ = check_results(results, drop_nonfinite=True)
        tags = {**verdicts, RESULTS_TAG: table_digest(used), "mlflow.note.content": note}
        self._tracker.set_tags(self.parent, tags)
        self._tracker.log_artifacts(self.parent, folder, FILES)
        self._tracker.end(self.parent)
        self._tracker.set_tags(self.parent, {RECORDED_TAG: digest})

    def _compare_path(self, trials: Sequence[Trial]) -> str:
        # Every trial, also those that an earlier call has recorded.
        runs = ",".join(f'"{self._child(trial)}"' for trial in trials)
        return f'/#/compare-runs?runs=[{runs}]&experiments=["{self._tracker.experiment_id}"]'


def curve_points(lines: Sequence[Mapping[str, Any]]) -> list[Point]:
    """The metrics of a run's log lines, at step = tokens; a line has those fields that it has."""
    return [
        Point(metric, line[field], line["tokens"])
        for line in lines
        for field, metric in CURVES.items()
        if field in line
    ]


def result_points(trial: Trial, result: Mapping[str, Any]) -> list[Point]:
    """The held-out losses of a finished trial, and the logarithms that MLflow's charts of runs cannot take.

    Parallel coordinates and scatter plots have linear axes: plotted against log10 N and log10 S, a power
    law of the excess is a line there.
    """
    losses = {f"held_out_{name}": result[name] for name in SCORES if result.get(name) is not None}
    logarithms = {
        "log10_n_databases": math.log10(trial.n_databases),
        "log10_tokens": math.log10(trial.tokens),
        "log10_held_out_loss": math.log10(result["loss"]),
    }
    return [Point(name, value, trial.tokens) for name, value in {**losses, **logarithms}.items()]


def _scaling_curves(results: pd.DataFrame) -> list[Point]:
    """One series for each N, at step = tokens, so that the parent's charts show the scaling curves."""
    means = results[results["status"] == "ok"].groupby(["n_databases", "tokens"])["loss"].mean()
    return [
        Point(f"held_out_loss/N_{n:04d}", float(loss), int(tokens)) for (n, tokens), loss in means.items()
    ]


def fit_points(fit: Mapping[str, Any]) -> list[Point]:
    """E, A and alpha of each axis with their 95 % limits, and the exponents of the ridges; what there is."""
    values: dict[str, float | None] = {}
    for axis, law in fit["axes"].items():
        for name in ("E", "A", "alpha"):
            low, high = (law["ci95"] or {}).get(name) or (None, None)
            values |= {f"{axis}/{name}": law[name], f"{axis}/{name}_low": low, f"{axis}/{name}_high": high}
    for name in ("tokens_of_n", "n_of_tokens"):
        values[f"ridge/{name}"] = fit["ridge"][name]["exponent"]
    return [Point(f"fit/{name}", value, 0) for name, value in values.items() if value is not None]


def _score_points(scores: Sequence[Mapping[str, Any]]) -> list[Point]:
    return [
        Point(f"zero_shot/{score['dataset']}/{score['task']}/{name}", value, 0)
        for score in scores
        for name, value in {score["metric"]: score["value"], **score["baselines"]}.items()
        if value is not None
    ]
