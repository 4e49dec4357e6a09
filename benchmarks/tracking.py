"""Are metrics lost when trials report to MLflow at once? Points sent, found, lost and doubled; seconds.

    python benchmarks/tracking.py [--trials 8] [--lines 200] [--away 30] [--out FILE.json]

One writer is relscale's way: the lines of all trials, one after the other as they come in, through one
Tracker in one process. The naive way is a process for each trial, each with `mlflow.log_metric` for every
value. Both write to a new SQLite file, and to `mlflow server` on loopback over a new SQLite file and over a
PostgreSQL that is started for it. The last rows are at a pace: 16 trials with 50 metrics a second each, for a
minute, in the middle of which the server is killed and stays away for --away seconds.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from record import print_table, write_record

from relscale.platform.tracking import Tracker, TrackingConfig
from relscale.sweeps.record import curve_points

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from servers import Absent, MlflowServer, postgresql
from tracking_load import LOSS, METRICS_PER_LINE, lines, recorded, report, sent

PACED = {"trials": 16, "lines": 300, "per_second": 50 / METRICS_PER_LINE}
"""A minute of 16 trials that log 50 metrics a second."""
SQLITE, POSTGRES = "server over SQLite", "server over PostgreSQL"
LOSS_METRIC = "held_out_loss"
TIMES = ("slowest line, s", "behind, s", "after, s")

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
    load = {"trials": args.trials, "lines": args.lines, "per_second": 0.0}
    stores = [SQLITE, POSTGRES]
    try:
        with postgresql():
            pass
    except Absent as absent:
        print(f"without PostgreSQL: {absent}", flush=True)
        stores.remove(POSTGRES)
    rows = [
        measure("one writer", "new SQLite file", one_writer, load),
        measure("a process a trial", "new SQLite file", a_process_each, load),
        measure("a process a trial", "SQLite file with tables", a_process_each, load),
        *(measure("one writer", store, one_writer, load) for store in stores),
        *(measure("a process a trial", store, a_process_each, load) for store in stores),
        *(measure("one writer, paced", store, one_writer, PACED) for store in stores),
        *(measure("one writer, paced", store, one_writer, PACED, away=args.away) for store in stores),
    ]
    headings = list(rows[0])
    print_table(headings, [[f"{row[name]}" for name in headings] for row in rows])
    if args.out:
        write_record(args.out, measurements=rows, load=load, paced=PACED, metrics_per_line=METRICS_PER_LINE)
    if any(row["lost"] or row["doubled"] for row in rows if row["way"].startswith("one writer")):
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


def measure(
    way: str, store: str, write: Callable[..., dict[str, float]], load: dict[str, Any], away: float = 0.0
) -> dict[str, Any]:
    """Write every line in one way and count what the store holds afterwards."""
    with contextlib.ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tracking-")))
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        if store == "SQLite file with tables":
            Tracker(TrackingConfig(uri=uri), folder, "study")
        if store in (SQLITE, POSTGRES):
            server = opened.enter_context(_server(folder, store))
            uri = server.uri
        started = time.monotonic()
        if away:
            outage = threading.Thread(target=server.be_away, kwargs={"after": 15.0, "seconds": away})
            outage.start()
        seen = write(uri, folder, load)
        seconds = time.monotonic() - started
        if away:
            outage.join()
        all_sent, found = sent(load["trials"], load["lines"]), recorded(uri)
    row = {
        "way": way,
        "store": f"{store}, away {away:g} s" if away else store,
        "trials": load["trials"],
        "sent": all_sent.total(),
        "found": found.total(),
        "lost": (all_sent - found).total(),
        "doubled": (found - all_sent).total(),
        "seconds": round(seconds, 1),
        **{name: round(value, 3) for name, value in seen.items()},
    }
    print(json.dumps(row), flush=True)
    return row


@contextlib.contextmanager
def _server(folder: Path, store: str) -> Iterator[MlflowServer]:
    """`mlflow server` over a new database."""
    with contextlib.ExitStack() as opened:
        url = None
        if store == POSTGRES:
            url = opened.enter_context(postgresql()).replace("postgresql", "postgresql+psycopg", 1)
        yield opened.enter_context(MlflowServer(folder, url))


def one_writer(uri: str, folder: Path, load: dict[str, Any]) -> dict[str, float]:
    """As the sweep does."""
    seconds = report(
        uri, folder, n_trials=load["trials"], n_lines=load["lines"], per_second=load["per_second"]
    )
    return {**seconds, "failed processes": 0}


def a_process_each(uri: str, folder: Path, load: dict[str, Any]) -> dict[str, float]:
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
        for trial in range(load["trials"])
    ]
    result = (LOSS_METRIC, LOSS, 1024 * load["lines"])
    for trial, process in enumerate(processes):
        assert process.stdin
        process.stdin.write(json.dumps([*curve_points(lines(trial, load["lines"])), result]))
        process.stdin.close()
    failed = sum(process.wait() != 0 for process in processes)
    return {**dict.fromkeys(TIMES, float("nan")), "failed processes": failed}


if __name__ == "__main__":
    main()
