"""MLflow: a study is an experiment, a sweep a parent run, a trial a child run, its best network a model.

Metrics have the tokens as their step. The files of a run are the truth and MLflow mirrors them: every
function here may be called again with the same content, by a process that was killed half-way or by a
rerun, and changes nothing then.
"""

import contextlib
import logging
import math
import os
import shlex
import sys
import tempfile
import time
import urllib.parse
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

from pydantic import Field, PlainSerializer

from relscale.platform.cluster import check_reachable
from relscale.platform.config import Config
from relscale.platform.errors import ConfigError, ResourceError
from relscale.platform.masking import MASK, masked

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY_TAG = "relscale.key"
"""Tag that holds the content address of what a run records; runs are found by it."""
PARENT_TAG = "mlflow.parentRunId"
BEST = "best"
"""Alias of the newest version of a registered model: `models:/NAME@best`."""
BATCH = 900
"""Points per request; MLflow's limit is 1,000."""
MAX_DESCRIPTION = 5000
"""Characters of a version's description, which MLflow's servers cut off or refuse beyond."""
RETRY_SECONDS = 10.0
"""How long a server that did not answer is left alone while trials run."""
PATIENCE_SECONDS = 90.0
"""How long a server is waited for where the work has to be recorded before it goes on."""
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
"""Where a store listens whose URI names no port."""
HTTP = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""MLflow itself would retry for minutes while nothing else is done; relscale comes back by itself."""

T = TypeVar("T")


class TrackingConfig(Config):
    """Where the runs are recorded."""

    uri: Annotated[str | None, PlainSerializer(masked, when_used="json")] = Field(default=None, repr=False)
    """MLflow tracking URI ("http://host:port", "sqlite:///file", "postgresql+psycopg://user@host/base"); null
    is one SQLite file, mlflow.db, in the output folder, which serves one machine. A password in it is left
    out of all that is written; MLFLOW_TRACKING_PASSWORD or PGPASSWORD in the environment keep it out of
    here too."""


class Point(NamedTuple):
    """One value of a metric; `tokens` is its place on the horizontal axis."""

    metric: str
    value: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a registered model is made of.

    key           content address; a version with the same one is the same
    code          Python file that MLflow runs to get the model; packages  folders that it imports
    artifacts     name: file or folder that the code reads
    inputs        column: MLflow type, as the outputs; params  (name, MLflow type, default)
    requirements  pinned, as pip reads them
    card          Markdown
    """

    name: str
    key: str
    code: Path
    packages: tuple[Path, ...]
    artifacts: Mapping[str, Path]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    params: tuple[tuple[str, str, Any], ...]
    requirements: tuple[str, ...]
    card: str
    tags: Mapping[str, str]


class Tracker:
    """The runs of one study in MLflow, by a client without global state."""

    def __init__(self, config: TrackingConfig, folder: Path, study: str) -> None:
        """Open the experiment `study`, or create it.

        `folder` holds mlflow.db and its artifacts where `config` names no server.
        Raises ResourceError where a server does not answer.
        """
        self.uri = config.uri or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
        check_tracking(config)
        self._client = _client(self.uri)
        self._points: dict[str, dict[str, dict[int, float]]] = {}
        # A server has its own store for files; a database has none, and MLflow would use the working folder.
        artifacts = None if self._is_server else (folder.resolve() / "mlflow-artifacts").as_uri()
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
    ) -> str:
        """The id of the run that records `key` below `parent`, made with `params` if there is none."""
        where = f"tags.`{KEY_TAG}` = '{key}'" + (f" and tags.`{PARENT_TAG}` = '{parent}'" if parent else "")
        links = {PARENT_TAG: parent} if parent else {}
        from mlflow.entities import Param

        with self._speaking():
            found = self._client.search_runs([self.experiment_id], where, max_results=1)
            tags = {KEY_TAG: key, **links}
            run = found[0] if found else self._client.create_run(self.experiment_id, run_name=name, tags=tags)
            run_id = str(run.info.run_id)
            # The server may have gone, or this process been killed, between a run and its params.
            if missing := [Param(k, str(v)) for k, v in params.items() if k not in run.data.params]:
                self._client.log_batch(run_id, params=missing)
        return run_id

    def find(self, tag: str, value: str) -> list[tuple[str, str]]:
        """(experiment id, run id) of the runs with that tag, in all experiments of the store."""
        with self._speaking():
            experiments = [experiment.experiment_id for experiment in self._client.search_experiments()]
            found = self._client.search_runs(experiments, f"tags.`{tag}` = '{value}'")
        return [(run.info.experiment_id, run.info.run_id) for run in found]

    def log_points(self, run_id: str, points: Iterable[Point]) -> None:
        """Add those points that are not recorded with the same value already.

        Raises
        ------
        ResourceError : MLflow cannot be written to; calling again adds what is missing.
        """
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        with self._speaking(), self._doubting(run_id):
            new = [
                point
                for point in points
                if not _same(self._recorded(run_id, point.metric).get(point.tokens), point.value)
            ]
            for start in range(0, len(new), BATCH):
                batch = new[start : start + BATCH]
                metrics = [Metric(point.metric, point.value, now, point.tokens) for point in batch]
                self._client.log_batch(run_id, metrics=metrics)
                for point in batch:
                    self._recorded(run_id, point.metric)[point.tokens] = point.value

    def check(self) -> None:
        """ResourceError, within 5 seconds, if the server does not answer."""
        check_tracking(TrackingConfig(uri=self.uri))

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn what MLflow refuses into a ResourceError."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            reason = masked(" ".join(str(error).split()))[:200]
            raise ResourceError(f"MLflow at '{masked(self.uri)}' cannot be used ({reason}).") from error

    @contextlib.contextmanager
    def _doubting(self, run_id: str) -> Iterator[None]:
        """Ask for a run's points again after a request without an answer: it may have been carried out."""
        try:
            yield
        except BaseException:
            self._points.pop(run_id, None)
            raise

    def _recorded(self, run_id: str, metric: str) -> dict[int, float]:
        """Values of a metric by step; asked from MLflow once, since this process is the one writer."""
        known = self._points.setdefault(run_id, {})
        if metric not in known:
            history = self._client.get_metric_history(run_id, metric)
            known[metric] = {entry.step: entry.value for entry in history}
        return known[metric]

    def log_artifacts(self, run_id: str, folder: Path, names: Iterable[str]) -> None:
        """Attach files or folders of `folder` to a run, replacing older versions."""
        with self._speaking():
            for name in names:
                path = folder / name
                if path.is_dir():
                    self._client.log_artifacts(run_id, str(path), artifact_path=name)
                elif path.is_file():
                    self._client.log_artifact(run_id, str(path))

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        with self._speaking():
            for name, value in tags.items():
                self._client.set_tag(run_id, name, value)

    def drop_tag(self, run_id: str, name: str) -> None:
        """Remove a tag of a run, if it has it."""
        if self.tag(run_id, name) is not None:
            with self._speaking():
                self._client.delete_tag(run_id, name)

    def tag(self, run_id: str, name: str) -> str | None:
        """The value of a run's tag, or None."""
        with self._speaking():
            value = self._client.get_run(run_id).data.tags.get(name)
        return None if value is None else str(value)

    def end(self, run_id: str, *, failed: bool = False) -> None:
        """Close a run."""
        with self._speaking():
            self._client.set_terminated(run_id, "FAILED" if failed else "FINISHED")

    def register(self, model: "Model", run_id: str) -> int:
        """The version of a registered model that holds this content, made below a run if there is none.

        The newest version has the alias `BEST`. A call that was killed leaves no version, so it is made then.
        """
        known = self._version(model)
        if known is None:
            with self._speaking(), tempfile.TemporaryDirectory() as draft:
                folder = Path(draft) / "model"
                save_model(folder, model)
                self._client.log_artifacts(run_id, str(folder), artifact_path=f"model-{model.key}")
                known = self._add_version(model, run_id)
        with self._speaking():
            self._client.set_registered_model_alias(model.name, BEST, str(known))
        return known

    def _version(self, model: "Model") -> int | None:
        with self._speaking():
            found = self._client.search_model_versions(f"name = '{model.name}'")
        return next((int(one.version) for one in found if one.tags.get(KEY_TAG) == model.key), None)

    def _add_version(self, model: "Model", run_id: str) -> int:
        if not self._client.search_registered_models(f"name = '{model.name}'"):
            self._client.create_registered_model(model.name)
        source = f"{self._client.get_run(run_id).info.artifact_uri}/model-{model.key}"
        made = self._client.create_model_version(
            model.name,
            source,
            run_id,
            tags={KEY_TAG: model.key, **model.tags},
            description=model.card[:MAX_DESCRIPTION],
        )
        return int(made.version)

    @property
    def _is_server(self) -> bool:
        return self.uri.startswith(("http://", "https://"))

    @property
    def open_command(self) -> str:
        """The shell command that shows the runs in a browser; a password in the URI is to be filled in."""
        if self._is_server:
            return f"open {masked(self.uri)}"
        # The program beside this interpreter: its folder need not be on the shell's path.
        program = Path(sys.executable).with_name("mlflow")
        with contextlib.suppress(ValueError):
            program = program.relative_to(Path.cwd())
        uri = shlex.quote(masked(self.uri))
        return f"{shlex.quote(str(program))} ui --host 127.0.0.1 --backend-store-uri {uri}"


def save_model(folder: Path, model: Model) -> None:
    """Write a model as a folder that `mlflow.pyfunc.load_model` reads, its card in README.md."""
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    params = [
        ParamSpec(name, kind, default, shape=(-1,) if isinstance(default, list) else None)
        for name, kind, default in model.params
    ]
    signature = ModelSignature(
        inputs=Schema([ColSpec(kind, name) for name, kind in model.inputs.items()]),
        outputs=Schema([ColSpec(kind, name) for name, kind in model.outputs.items()]),
        params=ParamSchema(params),
    )
    with warnings.catch_warnings():
        # MLflow would have an example to try the signature with; there is no database to hand to others.
        warnings.filterwarnings("ignore", ".*input example was not provided", UserWarning)
        pyfunc.save_model(
            folder,
            python_model=str(model.code),
            artifacts={name: str(path) for name, path in model.artifacts.items()},
            code_paths=[str(path) for path in model.packages],
            signature=signature,
            pip_requirements=list(model.requirements),
        )
    (folder / "README.md").write_text(model.card, encoding="utf-8")


def patiently(action: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Do what may be done again, until MLflow takes it.

    Raises
    ------
    ResourceError : the last one, if MLflow has taken nothing for so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except ResourceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS / 10)


def _same(recorded: float | None, value: float) -> bool:
    return recorded is not None and (recorded == value or (math.isnan(recorded) and math.isnan(value)))


def check_tracking(config: TrackingConfig) -> None:
    """ResourceError, within 5 seconds, if the store does not answer; ConfigError for a masked password."""
    uri = config.uri or ""
    if f":{MASK}@" in uri:
        raise ConfigError(
            f"tracking.uri is '{uri}', whose password was left out when it was written; give it with "
            "--set tracking.uri=..., or leave it out and set MLFLOW_TRACKING_PASSWORD or PGPASSWORD."
        )
    parts = urllib.parse.urlsplit(uri)
    kind = parts.scheme.partition("+")[0]
    if kind in PORTS and parts.hostname:
        check_reachable(parts.hostname, parts.port or PORTS[kind], what=f"MLflow tracking at '{masked(uri)}'")


def _client(uri: str) -> "MlflowClient":
    # MLflow announces each schema migration of a new SQLite file.
    logging.getLogger("alembic").setLevel(logging.ERROR)
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    for name, value in {**quiet, **HTTP}.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    try:
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        reason = masked(" ".join(str(error).split()))[:200]
        raise ResourceError(
            f"cannot open MLflow tracking at '{masked(uri)}' ({reason}); give sqlite:///FILE or http://HOST:PORT."
        ) from error
    return client
