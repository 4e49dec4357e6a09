"""Are metrics lost when 8 trials report to MLflow at once? Points sent, found, lost and doubled; seconds.

    python benchmarks/tracking.py [--trials 8] [--lines 200] [--away 30] [--out FILE.json]

One writer is relscale's way: the lines of all trials, one after the other as they come in, through one
Tracker in one process. The naive way is a process for each trial, each with `mlflow.log_metric` for every
value. Both write to a new SQLite file, and to `mlflow server` on loopback over a new SQLite file. For the
last row the server is killed in the middle, and started again after --away seconds.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from record import print_table, write_record

from relscale.platform.tracking import Tracker, TrackingConfig
from relscale.sweeps.grid import Trial
from relscale.sweeps.record import SweepRecord, curve_points

NAIVE = """
import json, sys, mlflow
uri, lines = sys.argv[1], json.load(sys.stdin)
mlflow.set_tracking_uri(uri)
mlflow.set_experiment("study")
with mlflow.start_run(run_name=sys.argv[2]):
    for metric, value, step in lines:
        mlflow.log_metric(metric, value, step)
"""


def main() -> None:
    """Run every way, print the table; exit code 1 if the one writer has lost or doubled a point."""
    args = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server is left behind
    rows = [
        measure("one writer", "new SQLite file", one_writer, args),
        measure("a process a trial", "new SQLite file", a_process_each, args),
        measure("a process a trial", "SQLite file with tables", a_process_each, args),
        measure("one writer", "server", one_writer, args),
        measure("a process a trial", "server", a_process_each, args),
        measure("one writer", "server, away in the middle", one_writer, args, away=args.away),
    ]
    headings = list(rows[0])
    print_table(headings, [[f"{row[name]}" for name in headings] for row in rows])
    if args.out:
        facts = {"trials": args.trials, "lines": args.lines, "points": args.trials * args.lines * 6}
        write_record(args.out, measurements=rows, **facts)
    if any(row["lost"] or row["doubled"] for row in rows if row["way"] == "one writer"):
        sys.exit(1)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=8, metavar="N")
    parser.add_argument("--lines", type=int, default=200, metavar="N", help="logged steps of each trial")
    parser.add_argument("--away", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--out", type=Path, metavar="FILE", help="record of all measurements (JSON)")
    return parser.parse_args()


def line(trial: int, step: int) -> dict[str, float]:
    """A line of a metrics file; no two points of a benchmark are alike."""
    return {
        "tokens": 1024 * (step + 1),
        "loss": 1.0 / (step + 1) + trial,
        "learning_rate": 0.01 / (step + 1 + trial),
        "tokens_per_second": 1e4 + step + trial,
        "loader_wait_share": 1e-4 * step,
        "mfu": 0.1 + 1e-4 * step,
        "epochs_median": 0.01 * step,
    }


def measure(
    way: str, store: str, write: Callable[..., dict[str, float]], args: argparse.Namespace, away: float = 0.0
) -> dict[str, Any]:
    """Write every line in one way and count what the store holds afterwards."""
    with tempfile.TemporaryDirectory(prefix="tracking-") as name, contextlib.ExitStack() as opened:
        folder = Path(name)
        server = None
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        if store == "SQLite file with tables":
            Tracker(TrackingConfig(uri=uri), folder, "study")
        if store.startswith("server"):
            server = opened.enter_context(Server(folder))
            uri = server.uri
        started = time.monotonic()
        outage = threading.Thread(target=lambda: server and server.restart(after=1.0, away=away))
        if away:
            outage.start()
        seen = write(uri, folder, args, pause=(away + 5) / args.lines if away else 0.0)
        seconds = time.monotonic() - started
        if away:
            outage.join()
        sent = Counter(point for trial in range(args.trials) for point in points(trial, args.lines))
        found = recorded(uri)
    row = {
        "way": way,
        "store": store,
        "sent": sent.total(),
        "found": found.total(),
        "lost": (sent - found).total(),
        "doubled": (found - sent).total(),
        "seconds": round(seconds, 1),
        **{name: round(value, 2) for name, value in seen.items()},
    }
    print(json.dumps(row), flush=True)
    return row


def points(trial: int, n_lines: int) -> list[tuple[str, float, int]]:
    """(metric, value, step) of a trial."""
    return [tuple(point) for point in curve_points([line(trial, step) for step in range(n_lines)])]


def one_writer(uri: str, folder: Path, args: argparse.Namespace, *, pause: float) -> dict[str, float]:
    """As the sweep does: live lines of all trials in turn, then every trial's file and result.

    `pause` seconds between the rounds make training outlast the time that a server is away.
    """
    record = SweepRecord(Tracker(TrackingConfig(uri=uri), folder, "study"), "sweep", "sweep", {})
    trials = [
        Trial(key=f"{number:016x}", n_databases=number + 1, tokens=1024 * args.lines, seed=0)
        for number in range(args.trials)
    ]
    longest = 0.0
    for step in range(args.lines):
        time.sleep(pause)
        for number, trial in enumerate(trials):
            asked = time.monotonic()
            record.trial_lines(trial, [line(number, step)])
            longest = max(longest, time.monotonic() - asked)
    for number, trial in enumerate(trials):
        record.trial_lines(trial, [line(number, step) for step in range(args.lines)])
        record.trial_result(trial, {"status": "ok", "loss": 0.4})
    return {"longest wait of a line, s": longest, "failed processes": 0}


def a_process_each(uri: str, folder: Path, args: argparse.Namespace, **_: Any) -> dict[str, float]:
    """A process for each trial, all at once."""
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", NAIVE, uri, f"trial {trial}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=folder,
            env=environment,
        )
        for trial in range(args.trials)
    ]
    for trial, process in enumerate(processes):
        assert process.stdin
        process.stdin.write(json.dumps(points(trial, args.lines)))
        process.stdin.close()
    failed = sum(process.wait() != 0 for process in processes)
    return {"longest wait of a line, s": float("nan"), "failed processes": failed}


def recorded(uri: str) -> Counter[tuple[str, float, int]]:
    """Every point of the curves in a store; none if its tables are broken."""
    try:
        client = MlflowClient(tracking_uri=uri)
    except Exception as error:
        print(f"the store at {uri} cannot be opened any more: {str(error).splitlines()[0]}", flush=True)
        return Counter()
    experiment = client.get_experiment_by_name("study")
    names = {point[0] for point in points(0, 1)}
    found: Counter[tuple[str, float, int]] = Counter()
    for run in client.search_runs([experiment.experiment_id]) if experiment else []:
        for metric in names & run.data.metrics.keys():
            history = client.get_metric_history(run.info.run_id, metric)
            found.update((metric, entry.value, entry.step) for entry in history)
    return found


class Server:
    """`mlflow server` on loopback, over a SQLite file in `folder`."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._folder = folder

    def __enter__(self) -> "Server":
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def restart(self, *, after: float, away: float) -> None:
        """Be away for some seconds, some seconds from now."""
        time.sleep(after)
        self._stop()
        time.sleep(away)
        self._start()

    def _start(self) -> None:
        command = [str(Path(sys.executable).with_name("mlflow")), "server", "--host", "127.0.0.1"]
        command += ["--port", str(self._port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self._folder / 'server.db'}"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        with (self._folder / "server.log").open("a") as log:
            # Without its eight helpers for jobs of language models, which nothing here uses.
            alone = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            self._process = subprocess.Popen(
                command, env=alone, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        for _ in range(600):
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(f"{self.uri}/health", timeout=1).status == 200:
                    return
            time.sleep(0.1)
        sys.exit((self._folder / "server.log").read_text())

    def _stop(self) -> None:
        os.killpg(self._process.pid, 15)
        self._process.wait()


if __name__ == "__main__":
    main()
