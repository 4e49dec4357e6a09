"""What Ray costs a corpus: CPU time against a plain loop, and the driver's memory as seeds grow.

    python benchmarks/cluster.py overhead [--databases 1000] [--repeats 1]
    python benchmarks/cluster.py memory [--databases 10000]
    python benchmarks/cluster.py dispatch [--databases 1000]

overhead: the same databases through `relscale generate` and through a loop in one process, each in a process
of its own and from compiled code, turn about. CPU seconds are user and system time of the whole process tree,
Ray's own daemons and every start included. Prints the ratio; the bar is 1.10.

memory: databases that take no time (trivial_prior.py) through `relscale generate`; the resident memory of the
driver with 100 of them done and with all. The bar is 50 MB more.

dispatch: so many keys that cost nothing, each a task of its own; the tasks a second that one driver hands out
and hears back from, which bounds the CPUs that it can keep busy.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from command import start_generate
from corpus import watch_generate
from record import print_table, spread, write_record
from worker import HERE, ONE_THREAD

from relscale.platform.autoscaling import read_cluster
from relscale.platform.cluster import connect
from relscale.platform.dataflow import SECONDS_PER_TASK, Layout, map_keys
from relscale.platform.dataflow import _map_blocks as map_tasks

TICKS = os.sysconf("SC_CLK_TCK")
MARK = "RELSCALE_BENCHMARK_TREE"
"""Environment variable that all processes of a measured tree inherit, also those that lost their parent."""
SAMPLE_SECONDS = 0.5


def main() -> None:
    """Measure one of the three."""
    args = parse_arguments()
    measure = {"overhead": overhead, "memory": memory, "dispatch": dispatch}[args.what]
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="cluster-") as folder:
        measurements, bar_held = measure(Path(folder), args)
    write_record(args.out / f"cluster-{args.what}.json", measurements=measurements)
    sys.exit(not bar_held)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["overhead", "memory", "dispatch"])
    parser.add_argument("--databases", type=int, metavar="N")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="of the overhead's pair")
    parser.add_argument("--cpus", type=int, default=os.cpu_count() or 1, metavar="N", help="of the local Ray")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the corpora stand for a while")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), metavar="DIR", help="of records")
    return parser.parse_args()


def overhead(folder: Path, args: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """CPU seconds of both ways, and whether their ratio is at most 1.10."""
    n_databases = args.databases or 1000
    generate(folder / "warm", 8, args.cpus).wait()  # compiles, if nothing has yet
    rows = []
    for repeat in range(args.repeats):
        out = folder / f"ray-{repeat}"
        ours = cpu_seconds(generate, out, n_databases, args.cpus)
        n_seeds = len(pq.read_table(out / "index.parquet"))
        loop = cpu_seconds(plain_loop, folder / f"loop-{repeat}", n_seeds)
        rows.append({"databases": n_databases, "seeds": n_seeds, "relscale generate": ours, "loop": loop})
        print(f"{rows[-1]}", flush=True)
    ratios = [row["relscale generate"]["cpu"] / row["loop"]["cpu"] for row in rows]
    print_table(
        ["databases", "way", "CPU seconds", "wall seconds"],
        [
            [
                str(n_databases),
                way,
                *(spread([row[way][kind] for row in rows], 4) for kind in ("cpu", "wall")),
            ]
            for way in ("loop", "relscale generate")
        ],
    )
    print(f"CPU time of relscale generate / loop: {spread(ratios)}")
    return rows, float(np.median(ratios)) <= 1.10


def memory(folder: Path, args: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """The driver's memory by databases done, and whether it grew by less than 50 MB."""
    os.environ["PYTHONPATH"] = str(HERE)
    settings = [f"cluster.num_cpus={args.cpus}", "corpus.prior=trivial_prior:PRIOR", "corpus.preset=only"]
    facts = watch_generate(folder / "corpus", args.databases or 10_000, settings)
    by_databases = facts["driver_mb_by_databases"]
    first = by_databases[min(n for n in by_databases if n >= 100)]
    last = by_databases[max(by_databases)]
    print_table(
        ["databases done", "driver, MB"],
        [[f"{n:,}", f"{by_databases[n]:.0f}"] for n in marks(sorted(by_databases))],
    )
    print(
        f"from 100 to {max(by_databases):,} databases: {last - first:+.0f} MB, {facts['wall_seconds']:.0f} s"
    )
    return [facts], last - first <= 50


def dispatch(folder: Path, args: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """Tasks a second, after a first round that starts the workers; there is no bar."""
    n_tasks = args.databases or 1000
    with connect(num_cpus=args.cpus):
        list(map_keys(nothing, range(4 * args.cpus)))
        started, cpu = time.perf_counter(), time.process_time()
        done = sum(1 for _ in map_tasks(nothing, range(n_tasks), Layout.of(n_tasks, read_cluster())))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    pace = done / seconds
    print(
        f"{done:,} tasks in {seconds:.1f} s ({cpu:.1f} CPU seconds of the driver): {pace:.0f} a second; with "
        f"{SECONDS_PER_TASK:g} s of work in each, one driver keeps {pace * SECONDS_PER_TASK:,.0f} CPUs busy"
    )
    return [{"tasks": done, "seconds": seconds, "driver_cpu_seconds": cpu, "tasks_per_second": pace}], True


def nothing(key: int) -> dict[str, Any]:
    """A receipt of no work."""
    return {}


def marks(counts: list[int]) -> list[int]:
    """About one count for each doubling from 100 on, and the last."""
    chosen: list[int] = []
    for count in counts:
        if count >= (2 * chosen[-1] if chosen else 100):
            chosen.append(count)
    return sorted({*chosen, counts[-1]})


def generate(out: Path, n_databases: int, cpus: int) -> "subprocess.Popen[str]":
    """Start the command."""
    return start_generate(out, n_databases, [f"cluster.num_cpus={cpus}"])


def plain_loop(out: Path, n_seeds: int) -> "subprocess.Popen[str]":
    """Start the loop."""
    command = [sys.executable, str(HERE / "plain_loop.py"), str(out), str(n_seeds)]
    return subprocess.Popen(command, env={**os.environ, **ONE_THREAD}, text=True)


def cpu_seconds(start: Callable[..., "subprocess.Popen[str]"], *arguments: Any) -> dict[str, float]:
    """CPU and wall seconds of a started process and its descendants, to half a second for each of them."""
    os.environ[MARK] = mark = str(time.time_ns())
    started = time.perf_counter()
    process = start(*arguments)
    del os.environ[MARK]
    used: dict[int, float] = {}
    while process.poll() is None:
        used |= tree_seconds(mark)
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        sys.exit(f"'{' '.join(map(str, process.args))}' ended with exit code {process.returncode}.")
    return {"cpu": sum(used.values()), "wall": time.perf_counter() - started}


def tree_seconds(mark: str) -> dict[int, float]:
    """CPU seconds so far of each living process that carries the mark."""
    seconds = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() not in (folder / "environ").read_bytes():
                continue
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        seconds[int(folder.name)] = (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


if __name__ == "__main__":
    main()
