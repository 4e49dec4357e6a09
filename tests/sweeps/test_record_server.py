"""A tracking server on loopback that is away while 8 trials report: no point lost, none doubled."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient

from relscale.platform import tracking
from relscale.platform.tracking import Tracker, TrackingConfig
from relscale.sweeps import record as module
from relscale.sweeps.grid import Trial
from relscale.sweeps.record import SweepRecord, curve_points


class Server:
    """`mlflow server` over a SQLite file; it can be stopped and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{port}"
        self._command = [str(Path(sys.executable).with_name("mlflow")), "server", "--host", "127.0.0.1"]
        self._command += ["--port", str(port), "--workers", "1"]
        self._command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
        self._command += ["--artifacts-destination", str(folder / "artifacts")]

    def start(self) -> None:
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        # Without its eight helpers for jobs of language models, which take most of the start.
        alone = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process = subprocess.Popen(self._command, env=alone, **options)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return
            time.sleep(0.1)
        self.stop()
        pytest.fail("mlflow server does not start")

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path)
    running.start()
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            running.stop()


def line(trial: int, step: int) -> dict[str, float]:
    return {"tokens": 1024 * step, "loss": trial + 1 / step, "learning_rate": 0.1 / step}


def test_no_point_is_lost_while_the_server_is_away(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.5)
    monkeypatch.setattr(tracking, "RETRY_SECONDS", 0.5)
    tracker = Tracker(TrackingConfig(uri=server.uri), tmp_path, "study")
    record = SweepRecord(tracker, "sweep", "sweep", {})
    trials = [Trial(key=f"{k:016x}", n_databases=k + 1, tokens=6144, seed=0) for k in range(8)]
    for step in range(1, 7):
        if step == 3:
            server.stop()
        if step == 5:
            server.start()
        started = time.monotonic()
        for number, trial in enumerate(trials):
            record.trial_lines(trial, [line(number, step)])
        assert step not in (3, 4) or time.monotonic() - started < 8, "training does not wait"
    assert capsys.readouterr().out.count("Training goes on") == 1
    for trial in trials:
        record.trial_result(trial, {"status": "ok", "loss": 0.4})
    client = MlflowClient(tracking_uri=server.uri)
    for number, trial in enumerate(trials):
        (run,) = client.search_runs([tracker.experiment_id], f"tags.`relscale.key` = '{trial.key}'")
        found = Counter(
            (metric, entry.value, entry.step)
            for metric in ("train_loss", "learning_rate")
            for entry in client.get_metric_history(run.info.run_id, metric)
        )
        sent = curve_points([line(number, step) for step in range(1, 7)])
        assert found == Counter(tuple(point) for point in sent)
        assert run.info.status == "FINISHED"
