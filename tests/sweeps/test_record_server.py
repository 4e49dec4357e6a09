"""A tracking server that is away while 16 trials report 50 metrics a second each: none lost, none doubled."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow import MlflowClient
from servers import Absent, MlflowServer, postgresql
from tracking_load import METRICS_PER_LINE, recorded, report, sent

from relscale.platform import tracking
from relscale.platform.tracking import Tracker, TrackingConfig
from relscale.sweeps import record as module

pytestmark = pytest.mark.cluster

SECONDS = 10
LINES_PER_SECOND = 50 / METRICS_PER_LINE


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """`mlflow server` over a database of either kind."""
    with ExitStack() as running:
        store = None
        if request.param == "PostgreSQL":
            pytest.importorskip("psycopg", reason="the extra relscale[sql] is not installed")
            try:
                store = running.enter_context(postgresql()).replace("postgresql", "postgresql+psycopg", 1)
            except Absent as absent:
                pytest.skip(str(absent))
        yield running.enter_context(MlflowServer(tmp_path_factory.mktemp("mlflow"), store))


def test_no_point_is_lost_while_the_server_is_away(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.5)
    monkeypatch.setattr(tracking, "RETRY_SECONDS", 0.5)
    n_lines = int(SECONDS * LINES_PER_SECOND)
    outage = threading.Thread(target=server.be_away, kwargs={"after": 3, "seconds": 5})
    outage.start()
    load = {"n_trials": 16, "n_lines": n_lines, "per_second": LINES_PER_SECOND}
    seconds = report(server.uri, tmp_path, **load)
    outage.join()
    assert capsys.readouterr().out.count("Training goes on") >= 1
    assert seconds["slowest line, s"] < 1 and seconds["behind, s"] < 2, "training does not wait"
    assert recorded(server.uri) == sent(16, n_lines)
    client = MlflowClient(tracking_uri=server.uri)
    experiment = Tracker(TrackingConfig(uri=server.uri), tmp_path, "study").experiment_id
    children = client.search_runs([experiment], "params.N != ''")
    assert [run.info.status for run in children] == ["FINISHED"] * 16


def test_a_database_without_a_server_takes_the_runs_too(tmp_path):
    """Its password is in no message, tag or file of what is recorded."""
    pytest.importorskip("psycopg", reason="the extra relscale[sql] is not installed")
    with ExitStack() as running:
        try:
            url = running.enter_context(postgresql())
        except Absent as absent:
            pytest.skip(str(absent))
        uri, password = url.replace("postgresql", "postgresql+psycopg", 1), url.split(":")[2].split("@")[0]
        report(uri, tmp_path, n_trials=2, n_lines=3, per_second=0)
        assert recorded(uri) == sent(2, 3)
        tracker = Tracker(TrackingConfig(uri=uri), tmp_path, "study")
        assert password not in tracker.open_command and "ann:***@" in tracker.open_command
        (tmp_path / "page.txt").write_text("page")
        run = tracker.run("files", "files", params={})
        tracker.log_artifacts(run, tmp_path, ["page.txt"])
        assert list((tmp_path / "mlflow-artifacts").rglob("page.txt"))
        text = "".join(p.read_text(errors="replace") for p in Path(tmp_path).rglob("*") if p.is_file())
        assert password not in text + str(MlflowClient(uri).get_run(run).to_dictionary())
