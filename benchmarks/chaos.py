"""Twenty random SIGKILLs over a corpus, a training and a sweep, each against an undisturbed one.

    python benchmarks/chaos.py [--generate 8] [--pretrain 6] [--sweep 6]

Does each work once in peace, on this machine alone. Then does the same on a cluster whose nodes are raylets
that Ray's autoscaler starts here (fake_cluster.py), and kills at random moments: workers in their task,
workers of Ray Train, processes of trials, nodes, and drivers, after which the same command is run again.

Prints each kill, and at the end what it found: every database and corpus.json equal by digest, weights and
losses of the training equal to the last bit, results.csv equal in all columns but times. Ends with exit code
1 if anything differs, or if the work ended before its last kill. Only processes that this script started are
killed.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from command import finished_folders, start, start_generate, start_pretrain
from fake_cluster import FakeCluster, fake_cluster
from kills import DRIVER, NODE, TASK, TRAIN, TRIAL, Job, Kill, last_words, moments, under_fire
from record import print_table, write_record
from small_corpus import SMALL, differences
from small_store import make_store

from relscale.model.run_folder import read_metrics

ROOT = Path(__file__).parents[1]
LOG_EVERY = 8
"""Steps between logged lines, by which the progress of a training is known."""

PRETRAIN_STEPS = 1600
STEP_TOKENS = 8 * 128
PRETRAIN = [
    "name=chaos",
    "model={n_blocks: 2, d_model: 64, n_heads: 4, d_ff: 256}",
    "sampler={context_length: 128, bfs_width: 16, mask_prob: 0.4}",
    f"training={{batch_size: 8, log_every_steps: {LOG_EVERY}, checkpoint_every_steps: 50}}",
    "trial.n_workers=2",
]

SWEEP_TOKENS = (65_536, 262_144)
SWEEP_DATABASES = (2, 4, 8)
SWEEP = [
    "name=chaos",
    "corpus.held_out_databases=8",
    f"grid={{n_databases: {list(SWEEP_DATABASES)}, tokens: {list(SWEEP_TOKENS)}}}",
    f"training.log_every_steps={LOG_EVERY}",
    "training.checkpoint_every_steps=16",
    "zero_shot.datasets=[]",
    "analysis.n_boot=100",
    "sweep.max_failures=6",
]

TIMES = ("seconds", "finished")
"""Columns of results.csv whose names end so may differ."""

ENVIRONMENT = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5"}
"""Ray Train looks after its workers four times as often as by default, so that a restart takes less time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A command under fire."""

    name: str
    victims: Sequence[str]
    """Kinds, taken in turn until there are enough."""
    start: "Callable[..., subprocess.Popen[str]]"
    """`start(out, settings, environment=..., output=...)`: the command with further settings."""
    progress: Callable[[Path], float]
    """The share of the work that is done in a folder."""
    differences: Callable[[Path, Path], Iterator[str]]
    """In what the second folder differs from the first."""


def parts(store: Path, n_databases: int) -> list[Part]:
    """The three, in the order of the data's flow."""
    return [
        Part(
            name="generate",
            victims=(TASK, DRIVER, NODE, TASK),
            start=lambda out, settings, **how: start_generate(out, n_databases, [*SMALL, *settings], **how),
            progress=lambda out: finished_folders(out) / n_databases,
            differences=differences,
        ),
        Part(
            name="pretrain",
            victims=(TRAIN, DRIVER, NODE),
            start=lambda out, settings, **how: start_pretrain(
                store, out, PRETRAIN_STEPS * STEP_TOKENS, [*PRETRAIN, *settings], **how
            ),
            progress=lambda out: logged(out, "metrics.jsonl") / (PRETRAIN_STEPS // LOG_EVERY),
            differences=different_runs,
        ),
        Part(
            name="sweep",
            victims=(TRIAL, DRIVER, NODE),
            start=start_sweep,
            progress=lambda out: logged(out, "trials/*/metrics.jsonl") / SWEEP_LINES,
            differences=different_tables,
        ),
    ]


SWEEP_LINES = len(SWEEP_DATABASES) * sum(math.ceil(n / STEP_TOKENS / LOG_EVERY) for n in SWEEP_TOKENS)


def start_sweep(out: Path, settings: list[str], **how: Any) -> "subprocess.Popen[str]":
    """The demo's study with a smaller grid."""
    options = ["--config", str(ROOT / "configs" / "demo.yaml"), "--out", str(out)]
    return start("sweep", options, [*SWEEP, *settings], **how)


def main() -> None:
    """All in peace, all under fire, the verdict."""
    args = parse_arguments()
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="chaos-") as name:
        folder = Path(name)
        wanted: Mapping[str, int] = {part: getattr(args, part) for part in ("generate", "pretrain", "sweep")}
        store = make_store(folder, 4) if wanted["pretrain"] else folder
        chosen = [part for part in parts(store, args.databases) if wanted[part.name]]
        for part in chosen:
            in_peace(part, folder)
        with fake_cluster(args.cluster, folder, max_nodes=2, idle_seconds=60) as cluster:
            kills = {part.name: attack(part, wanted[part.name], cluster, folder, rng) for part in chosen}
        found = {part.name: list(part.differences(*places(part, folder))) for part in chosen}
    report(kills, found)
    write_record(args.out, measurements=[asdict(kill) for some in kills.values() for kill in some])
    missed = sum(wanted[part.name] - len(kills[part.name]) for part in chosen)
    sys.exit(any(found.values()) or missed > 0)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, kills in (("generate", 8), ("pretrain", 6), ("sweep", 6)):
        parser.add_argument(f"--{name}", type=int, default=kills, metavar="N", help="kills; 0 leaves it out")
    parser.add_argument("--databases", type=int, default=200, metavar="N", help="of the corpus")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--cluster", type=Path, default=ROOT / "cluster.yaml", metavar="FILE")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where all of it stands for a while")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/chaos.json"), metavar="FILE")
    return parser.parse_args()


def places(part: Part, folder: Path) -> tuple[Path, Path]:
    """Where the undisturbed work goes and where the disturbed."""
    return folder / f"{part.name}-peace", folder / f"{part.name}-disturbed"


def in_peace(part: Part, folder: Path) -> None:
    """The work on this machine alone."""
    out = places(part, folder)[0]
    log = out.with_suffix(".log")
    with log.open("w") as file:
        process = part.start(out, [f"cluster.num_cpus={os.cpu_count()}"], output=file)
        if code := process.wait():
            sys.exit(f"`relscale {part.name}` ended with exit code {code}: {last_words(log)}")
    print(f"{part.name}: done in peace", flush=True)


def attack(
    part: Part, n_kills: int, cluster: FakeCluster, folder: Path, rng: np.random.Generator
) -> list[Kill]:
    """The work on the cluster, under fire."""
    out = places(part, folder)[1]
    log = out.with_suffix(".log")
    environment = {**cluster.environment, **ENVIRONMENT}
    victims = list(islice(cycle(part.victims), n_kills))
    with log.open("w") as file:
        job = Job(
            name=part.name,
            start=lambda: part.start(out, [], environment=environment, output=file),
            log=log,
            progress=lambda: part.progress(out),
        )
        return under_fire(job, moments(victims, rng), cluster.session, rng=rng)


def report(kills: Mapping[str, Sequence[Kill]], found: Mapping[str, Sequence[str]]) -> None:
    """Print what was killed and what differs."""
    rows = [
        [
            name,
            str(len(kills[name])),
            ", ".join(
                f"{count} {victim}" for victim, count in Counter(k.victim for k in kills[name]).items()
            ),
            f"{len(differ)} differences" if differ else "identical",
        ]
        for name, differ in found.items()
    ]
    print_table(["work", "kills", "of", "against the undisturbed"], rows)
    for name, differ in found.items():
        for difference in differ[:5]:
            print(f"{name}: {difference}")


def logged(out: Path, pattern: str) -> int:
    """Lines of the metrics files of this name below a folder."""
    return sum(path.read_bytes().count(b"\n") for path in out.glob(pattern))


def different_runs(one: Path, other: Path) -> Iterator[str]:
    """In what two runs differ: the bytes of the weights, what was seen, the losses by step."""
    for name in ("final/model.safetensors", "seen.json"):
        if len({(out / name).read_bytes() for out in (one, other)}) > 1:
            yield name
    curves = [[(line["step"], line["loss"]) for line in read_metrics(out)] for out in (one, other)]
    if curves[0] != curves[1]:
        yield f"metrics.jsonl: {len(curves[0])} losses, and {len(curves[1])}"


def different_tables(one: Path, other: Path) -> Iterator[str]:
    """Cells of results.csv that two sweeps differ in; times do not count."""
    first, second = (pd.read_csv(out / "results.csv", dtype=str) for out in (one, other))
    if list(first) != list(second) or len(first) != len(second):
        yield f"{len(first)} rows of {list(first)}, and {len(second)} of {list(second)}"
        return
    for name in first:
        if not name.endswith(TIMES):
            for row in np.flatnonzero(first[name].fillna("") != second[name].fillna("")):
                yield f"results.csv, {name}: {first[name][row]} and {second[name][row]}"


if __name__ == "__main__":
    main()
