"""The cluster of cluster.yaml on this machine at toy sizes: it grows, loses parts, ends its work, shrinks.

    python deploy/rehearse.py [--databases 200] [--kill node --kill worker --kill driver]

Starts Ray's own autoscaler with the node types of cluster.yaml, one CPU a node, and no node but the head.
Then runs `relscale generate` there and, in the middle, kills with SIGKILL a node, a worker in its task and
the driver, after which the same command is run again. Waits until all nodes are gone, makes the same corpus
in peace on this machine, and prints when nodes came and went. Writes that as a figure and as JSON.

Ends with exit code 1 if the corpora differ by digest, nodes stay, or no node was ever added.
"""

import argparse
import contextlib
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL

import matplotlib
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from command import finished_folders, start_generate
from fake_cluster import FakeCluster, fake_cluster, worker_nodes
from kills import DRIVER, NODE, TASK, Job, Kill, moments, under_fire
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from record import print_table, write_record
from small_corpus import differences

from relscale.analysis.figures import BLUE, GREEN, GREY, ORANGE, STYLE, WIDTH, new_figure, render

ROOT = Path(__file__).parents[1]

SETTINGS = [
    "corpus.generator.num_tables=[4, 8]",
    "corpus.generator.rows_entity=[500, 1000]",
    "corpus.generator.rows_activity=[3000, 6000]",
    "corpus.generator.num_columns=[5, 15]",
]
"""Databases of about half a second, so that 200 of them outlast the start of nodes and the loss of one."""

VICTIMS = {"node": NODE, "worker": TASK, "driver": DRIVER}
SECONDS_BETWEEN_LOOKS = 0.5
SHRINK_SECONDS = 120.0
"""Time for the last node to go after the work has ended."""
SHOWN = 10
"""Differences that are printed; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The cluster at one moment."""

    seconds: float
    """Since the work was sent."""
    nodes: dict[str, int]
    """Living nodes by group; the autoscaler takes 15 s or more to miss one that was killed."""
    databases: int
    """Those that stand whole."""


def main() -> None:
    """The rehearsal, the corpus in peace, the verdict."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="rehearsal-") as name:
        folder = Path(name)
        with fake_cluster(args.cluster, folder, max_nodes=args.max_nodes) as cluster:
            looks, kills = rehearse(cluster, folder / "rehearsed", args)
        print("the same corpus in peace", flush=True)
        peace = folder / "peace"
        if code := start_generate(peace, args.databases, args.set or SETTINGS, output=DEVNULL).wait():
            sys.exit(f"`relscale generate` ended with exit code {code}.")
        differ = list(differences(peace, folder / "rehearsed"))
    print_table(*table(looks, kills))
    write_record(
        args.log, measurements=[asdict(look) for look in looks], kills=[asdict(kill) for kill in kills]
    )
    args.figure.parent.mkdir(parents=True, exist_ok=True)
    args.figure.write_bytes(render(draw(looks, kills))[1])
    for difference in differ[:SHOWN]:
        print(difference)
    sys.exit("; ".join(failures(looks, kills, len(args.kill), len(differ))) or None)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--databases", type=int, default=200, metavar="N")
    parser.add_argument(
        "--kill", action="append", choices=VICTIMS, help="whom; repeatable (default: one of each)"
    )
    parser.add_argument("--max-nodes", type=int, default=3, metavar="N", help="of each group")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help="setting of the corpus")
    parser.add_argument("--cluster", type=Path, default=ROOT / "cluster.yaml", metavar="FILE")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs/images/rehearsal.svg", metavar="FILE")
    parser.add_argument("--log", type=Path, default=Path("runs/benchmarks/rehearsal.json"), metavar="FILE")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where all of it stands for a while")
    args = parser.parse_args()
    args.kill = args.kill or list(VICTIMS)
    return args


def rehearse(cluster: FakeCluster, out: Path, args: argparse.Namespace) -> tuple[list[Look], list[Kill]]:
    """Generate on the cluster under fire, then wait until its nodes are gone."""
    rng = np.random.default_rng(args.seed)
    log = out.with_suffix(".log")
    with log.open("w") as file:
        job = Job(
            name="generate",
            start=lambda: start_generate(
                out, args.databases, args.set or SETTINGS, output=file, environment=cluster.environment
            ),
            log=log,
            progress=lambda: finished_folders(out) / args.databases,
        )
        with watched(cluster.session, out) as looks:
            planned = moments([VICTIMS[name] for name in args.kill], rng)
            kills = under_fire(job, planned, cluster.session, rng=rng)
            deadline = time.monotonic() + SHRINK_SECONDS
            while looks[-1].nodes and time.monotonic() < deadline:
                time.sleep(SECONDS_BETWEEN_LOOKS)
    return looks, kills


@contextlib.contextmanager
def watched(session: int, out: Path) -> Iterator[list[Look]]:
    """A list that grows by a look twice a second."""
    looks: list[Look] = []
    started, ended = time.monotonic(), threading.Event()

    def watch() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            nodes, databases = Counter(worker_nodes(session).values()), finished_folders(out)
            looks.append(Look(seconds=time.monotonic() - started, nodes=dict(nodes), databases=databases))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield looks
    finally:
        ended.set()
        thread.join()


def table(looks: Sequence[Look], kills: Sequence[Kill]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: the first look, each at which a group had grown or shrunk, each kill, the last."""
    names = groups(looks)
    rows: list[tuple[float, list[str]]] = []
    before: dict[str, int] | None = None
    for look in looks:
        if look.nodes != before or look is looks[-1]:
            counts = [str(look.nodes.get(name, 0)) for name in names]
            rows.append((look.seconds, [*counts, str(look.databases), ""]))
        before = look.nodes
    for kill in kills:
        rows.append((kill.seconds, [*("" for _ in names), "", f"{kill.victim} killed"]))
    rows.sort(key=lambda row: row[0])
    return ["seconds", *names, "databases", ""], [[f"{seconds:.0f}", *cells] for seconds, cells in rows]


def groups(looks: Sequence[Look]) -> list[str]:
    """Names of the groups that ever had a node."""
    return sorted({name for look in looks for name in look.nodes})


def failures(looks: Sequence[Look], kills: Sequence[Kill], n_kills: int, n_differences: int) -> list[str]:
    """What went wrong, in words."""
    found = []
    if len(kills) < n_kills:
        found.append(f"only {len(kills)} of {n_kills} kills hit; ask for more --databases")
    if not groups(looks):
        found.append("no node was ever added")
    if looks[-1].nodes:
        found.append(f"nodes stayed: {looks[-1].nodes}")
    if n_differences:
        found.append(f"{n_differences} differences")
    return found


def draw(looks: Sequence[Look], kills: Sequence[Kill]) -> Figure:
    """Nodes by group above, databases below, kills across both."""
    with matplotlib.rc_context(STYLE):
        figure = new_figure(WIDTH, 5.2)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    seconds = [look.seconds for look in looks]
    for name, colour in zip(groups(looks), (BLUE, GREEN, GREY), strict=False):
        counts = [look.nodes.get(name, 0) for look in looks]
        above.step(seconds, counts, where="post", color=colour, linewidth=2, label=name)
    above.set(ylabel="nodes", ylim=(0, 1.3 * max(2, *(n for look in looks for n in look.nodes.values()))))
    above.yaxis.get_major_locator().set_params(integer=True)
    above.legend(loc="upper right")
    below.plot(seconds, [look.databases for look in looks], color=BLUE, linewidth=2)
    below.set(
        ylabel="databases done", xlabel="seconds since the work was sent", xlim=(0, None), ylim=(0, None)
    )
    _mark(above, kills, label=True)
    _mark(below, kills, label=False)
    return figure


def _mark(axes: Axes, kills: Sequence[Kill], *, label: bool) -> None:
    for kill in kills:
        axes.axvline(kill.seconds, color=ORANGE, linewidth=1.2, linestyle="--")
        if label:
            axes.annotate(
                f" {kill.victim} killed",
                (kill.seconds, 0.97),
                xycoords=("data", "axes fraction"),
                va="top",
                color=ORANGE,
            )


if __name__ == "__main__":
    main()
