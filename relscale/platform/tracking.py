"""MLflow: a study is an experiment, a sweep a parent run, a trial a child run; tokens are the steps.

The files of a run are the truth and MLflow mirrors them: every function here may be called again with the
same content, by a process that was killed half-way or by a rerun, and changes nothing then.
"""

import logging
import os
import time
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from relscale.platform.cluster import check_reachable
from relscale.platform.config import Config
from relscale.platform.errors import ResourceError

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY_TAG = "relscale.key"
"""Tag that holds the content address of what a run records; runs are found by it."""
PARENT_TAG = "mlflow.parentRunId"
BATCH = 900
"""Points per request; MLflow's limit is 1,000."""


class TrackingConfig(Config):
    """Where the runs are recorded."""

    uri: str | None = None
    """MLflow tracking URI ("http://host:port", "sqlite:///file"); null is one SQLite file, mlflow.db, in
    the output folder, which serves one machine."""


class Point(NamedTuple):
    """One value of a metric; `tokens` is its place on the horizontal axis."""

    metric: str
    value: float
    tokens: int


class Tracker:
    """The runs of one study in MLflow, by a client without global state."""

    def __init__(self, config: TrackingConfig, folder: Path, study: str) -> None:
        """Open the experiment `study`, or create it.

        `folder` holds mlflow.db and its artifacts where `config` names no server.
        Raises ResourceError where a server does not answer.
        """
        self.uri = config.uri or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
        self._client = _client(self.uri)
        artifacts = None if config.uri else (folder.resolve() / "mlflow-artifacts").as_uri()
        experiment = self._client.get_experiment_by_name(study)
        self.experiment_id: str = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(study, artifact_location=artifacts)
        )

    def run(
        self,
        key: str,
        name: str,
        *,
        params: Mapping[str, Any],
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """The id of the run that records `key` below `parent`, made with `params` if there is none."""
        where = f"tags.`{KEY_TAG}` = '{key}'" + (f" and tags.`{PARENT_TAG}` = '{parent}'" if parent else "")
        found = self._client.search_runs([self.experiment_id], where, max_results=1)
        if found:
            return str(found[0].info.run_id)
        links = {PARENT_TAG: parent} if parent else {}
        run_id = str(
            self._client.create_run(
                self.experiment_id, run_name=name, tags={KEY_TAG: key, **links, **(tags or {})}
            ).info.run_id
        )
        from mlflow.entities import Param

        self._client.log_batch(run_id, params=[Param(k, str(v)) for k, v in params.items()])
        return run_id

    def log_points(self, run_id: str, points: Iterable[Point]) -> None:
        """Add those points of each metric that lie beyond its last recorded step."""
        from mlflow.entities import Metric

        new = list(points)
        last = {name: self._last_step(run_id, name) for name in {point.metric for point in new}}
        now = int(1000 * time.time())
        metrics = [
            Metric(point.metric, point.value, now, point.tokens)
            for point in new
            if point.tokens > last[point.metric]
        ]
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def _last_step(self, run_id: str, metric: str) -> int:
        return max((entry.step for entry in self._client.get_metric_history(run_id, metric)), default=-1)

    def log_artifacts(self, run_id: str, folder: Path, names: Iterable[str]) -> None:
        """Attach files or folders of `folder` to a run, replacing older versions."""
        for name in names:
            path = folder / name
            if path.is_dir():
                self._client.log_artifacts(run_id, str(path), artifact_path=name)
            elif path.is_file():
                self._client.log_artifact(run_id, str(path))

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        for name, value in tags.items():
            self._client.set_tag(run_id, name, value)

    def tag(self, run_id: str, name: str) -> str | None:
        """The value of a run's tag, or None."""
        value = self._client.get_run(run_id).data.tags.get(name)
        return None if value is None else str(value)

    def end(self, run_id: str, *, failed: bool = False) -> None:
        """Close a run."""
        self._client.set_terminated(run_id, "FAILED" if failed else "FINISHED")

    @property
    def open_command(self) -> str:
        """The shell command that shows the runs in a browser."""
        if self.uri.startswith("sqlite"):
            return f"mlflow ui --host 127.0.0.1 --backend-store-uri {self.uri}"
        return f"open {self.uri}"


def _client(uri: str) -> "MlflowClient":
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme in ("http", "https"):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        check_reachable(parts.hostname or "", port, what=f"MLflow tracking server '{uri}'")
    # MLflow announces each schema migration of a new SQLite file.
    logging.getLogger("alembic").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    try:
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ResourceError(
            f"cannot open MLflow tracking at '{uri}' ({reason}); give sqlite:///FILE or http://HOST:PORT."
        ) from error
    return client
