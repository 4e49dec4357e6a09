"""What a transfer study leaves in MLflow: one run with its table, beside those of its training runs."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from relscale.platform.tracking import Point, Tracker, patiently
from relscale.sweeps.transfer_config import TransferConfig

FILES = ("transfer.csv", "differences.csv", "transfer.md", "transfer.json", "config.json", "figures")
Table = Mapping[str, Sequence[Mapping[str, Any]]]


def record_transfer(config: TransferConfig, table: Table, folder: Path) -> None:
    """Record a study's table in its experiment; ResourceError if MLflow cannot be used."""
    tracker = Tracker(config.tracking, folder, config.name)
    patiently(lambda: _record(tracker, config, table, folder))


def _record(tracker: Tracker, config: TransferConfig, table: Table, folder: Path) -> None:
    key = hashlib.sha256((folder / "transfer.json").read_bytes()).hexdigest()[:16]
    params = config.model_dump(mode="json", exclude={"tracking", "cluster", "model", "sampler", "training"})
    run = tracker.run(key, f"transfer {config.name}", params=params)
    tracker.log_points(run, list(_points(table)))
    tracker.set_tags(run, {"mlflow.note.content": (folder / "transfer.md").read_text(encoding="utf-8")})
    tracker.log_artifacts(run, folder, FILES)
    tracker.end(run)


def _points(table: Table) -> Iterator[Point]:
    for row in table["values"]:
        yield Point(_plain(f"{row['metric']}/{row['dataset']}/{row['task']}/{row['arm']}"), row["value"], 0)
    for row in table["differences"]:
        pair = f"{row['second']}-{row['first']}"
        name = _plain(f"difference_{row['metric']}/{row['dataset']}/{row['task']}/{pair}")
        yield Point(name, row["difference"], 0)


def _plain(name: str) -> str:
    """A name with what MLflow takes in metrics."""
    return re.sub(r"[^\w./-]+", "_", name, flags=re.ASCII)
