"""What a comparison of studies leaves in MLflow: one run with its findings, linked to the sweeps' runs."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from relscale.platform.tracking import Point, Tracker, TrackingConfig, patiently
from relscale.sweeps.record import RECORDED_TAG, RESULTS_TAG

FILES = ("compare.html", "compare.json", "figures")


def record_comparison(config: TrackingConfig, comparison: Mapping[str, Any], folder: Path) -> str:
    """Record a comparison in an experiment of its own; the shell command that shows it.

    Parameters
    ----------
    config : the store; the runs of the studies are linked where they lie in it too.
    comparison : content of compare.json. folder : where it lies, with its page and figures.

    Raises
    ------
    ResourceError : MLflow cannot be used.
    """
    names = " and ".join(study["name"] for study in comparison["studies"])
    tracker = Tracker(config, folder, f"compare {names}")
    patiently(lambda: _record(tracker, f"compare {names}", comparison, folder))
    return tracker.open_command


def _record(tracker: Tracker, name: str, comparison: Mapping[str, Any], folder: Path) -> None:
    page = hashlib.sha256((folder / "compare.html").read_bytes()).hexdigest()
    run = tracker.run(_key(comparison), name, params=_params(comparison))
    if tracker.tag(run, RECORDED_TAG) == page:
        return
    tracker.log_points(run, list(_points(comparison)))
    links = {study["name"]: tracker.find(RESULTS_TAG, study["digest"]) for study in comparison["studies"]}
    note = [f"- {sentence}" for sentence in comparison["sentences"]]
    note += [
        f"- [the sweep of {study}](#/experiments/{experiment}/runs/{parent})"
        for study, found in links.items()
        for experiment, parent in found
    ]
    tags = {f"study.{_plain(study)}": found[0][1] for study, found in links.items() if found}
    tracker.set_tags(run, {**tags, **_verdicts(comparison), "mlflow.note.content": "\n".join(note)})
    tracker.log_artifacts(run, folder, FILES)
    tracker.end(run)
    tracker.set_tags(run, {RECORDED_TAG: page})


def _key(comparison: Mapping[str, Any]) -> str:
    content = [[study["digest"] for study in comparison["studies"]], comparison["settings"]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _params(comparison: Mapping[str, Any]) -> dict[str, Any]:
    studies = {f"study_{i}": study["name"] for i, study in enumerate(comparison["studies"], 1)}
    return {**studies, **comparison["settings"]}


def _points(comparison: Mapping[str, Any]) -> Iterator[Point]:
    """Exponents of each study, and the differences of each two with their 95 % limits."""
    for study in comparison["studies"]:
        for axis, law in study["axes"].items():
            if law["alpha"] is not None:
                yield Point(f"alpha/{axis}/{_plain(study['name'])}", law["alpha"], 0)
    for pair in comparison["pairs"]:
        between = f"{_plain(pair['second'])}-{_plain(pair['first'])}"
        found = {f"alpha_difference/{axis}": gap for axis, gap in pair["axes"].items()}
        for name, gap in {**found, "loss_difference": pair["loss"]}.items():
            if gap and gap["difference"] is not None:
                yield Point(f"{name}/{between}", gap["difference"], 0)
            for end, value in zip(("low", "high"), (gap and gap["ci95"]) or (), strict=False):
                yield Point(f"{name}/{between}_{end}", value, 0)


def _verdicts(comparison: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"verdict.{axis}.{_plain(pair['second'])}-{_plain(pair['first'])}": gap["verdict"]
        for pair in comparison["pairs"]
        for axis, gap in pair["axes"].items()
    }


def _plain(name: str) -> str:
    """A study's name with what MLflow takes in the names of metrics and tags."""
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)
