"""What a sweep leaves in MLflow: curves of each trial, the scaling curves, fits, scores and files."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from relscale.platform.tracking import Point, Tracker
from relscale.sweeps.grid import Trial

CURVES = {
    "loss": "train_loss",
    **{
        name: name
        for name in (
            "learning_rate",
            "tokens_per_second",
            "cells_per_second",
            "loader_wait_share",
            "mfu",
            "cells",
            "unique_cells",
            "unique_items",
            "epochs_min",
            "epochs_median",
            "epochs_max",
            "held_out_loss",
            "held_out_loss_boolean",
            "held_out_loss_number",
        )
    },
}
"""Fields of a run's log lines, and the metrics that they become."""
RECORDED_TAG = "relscale.recorded"
FILES = ("report.html", "figures", "fit.json", "results.csv", "results.parquet", "study.yaml")
SCORES = ("loss", "loss_boolean", "loss_number")


class SweepRecord:
    """The parent run of a sweep and its child runs; every method may be called again."""

    def __init__(self, tracker: Tracker, key: str, name: str, facts: Mapping[str, str]) -> None:
        """Open the parent run that `key` names. `facts` become its params, and each trial's."""
        self._tracker = tracker
        self._facts = dict(facts)
        self._children: dict[str, str] = {}
        self.parent = tracker.run(key, name, params=self._facts)

    def trial_lines(self, trial: Trial, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add those logged steps of a trial that are not recorded yet."""
        self._tracker.log_points(self._child(trial), curve_points(lines))

    def trial_result(self, trial: Trial, result: Mapping[str, Any]) -> None:
        """Close a trial's run with its held-out losses."""
        run = self._child(trial)
        if result["status"] != "ok":
            self._tracker.set_tags(run, {"failure": str(result["reason"])})
            self._tracker.end(run, failed=True)
            return
        points = [
            Point(f"held_out_{name}", result[name], trial.tokens)
            for name in SCORES
            if result.get(name) is not None
        ]
        self._tracker.log_points(run, points)
        self._tracker.drop_tag(run, "failure")  # of an earlier attempt
        self._tracker.end(run)

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
        digest = hashlib.sha256((folder / "report.html").read_bytes()).hexdigest()
        if self._tracker.tag(self.parent, RECORDED_TAG) == digest:
            return
        self._tracker.log_points(
            self.parent, [*_scaling_curves(results), *_fit_points(fit), *_score_points(scores)]
        )
        verdicts = {f"verdict.{axis}": str(law["code"] or law["status"]) for axis, law in fit["axes"].items()}
        compare = (
            f"Select the child runs and press Compare, or open {self._compare_path(trials)} on the server."
        )
        self._tracker.set_tags(self.parent, {**verdicts, "mlflow.note.content": compare})
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


def _scaling_curves(results: pd.DataFrame) -> list[Point]:
    """One series for each N, at step = tokens, so that the parent's charts show the scaling curves."""
    means = results[results["status"] == "ok"].groupby(["n_databases", "tokens"])["loss"].mean()
    return [
        Point(f"held_out_loss/N_{n:04d}", float(loss), int(tokens)) for (n, tokens), loss in means.items()
    ]


def _fit_points(fit: Mapping[str, Any]) -> list[Point]:
    return [
        Point(f"fit/{axis}/{name}", law[name], 0)
        for axis, law in fit["axes"].items()
        for name in ("E", "A", "alpha")
        if law[name] is not None
    ]


def _score_points(scores: Sequence[Mapping[str, Any]]) -> list[Point]:
    return [
        Point(f"zero_shot/{score['dataset']}/{score['task']}/{name}", value, 0)
        for score in scores
        for name, value in {score["metric"]: score["value"], **score["baselines"]}.items()
        if value is not None
    ]
