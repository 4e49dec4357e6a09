"""A corpus whose workers and driver are killed at random moments, against an undisturbed one.

    python benchmarks/corpus_faults.py [--databases 200] [--kills 5]

Generates a corpus twice with the same settings: once in peace; once with SIGKILL sent to busy Ray workers
and, once, to the driver, after which the same command is run again to its end. Prints "identical" if both
corpora hold the same files, by digest, and the same corpus.json; otherwise what differs, with exit code 1.
Only processes that this script started are killed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from command import finished_folders, start_generate

from relscale.generation.making import RECEIPT
from relscale.platform.storage import DRAFT, digest_files

SMALL = [
    "corpus.generator.num_tables=[3, 5]",
    "corpus.generator.rows_entity=[100, 200]",
    "corpus.generator.rows_activity=[300, 600]",
    "corpus.generator.num_columns=[3, 8]",
]
"""Databases of a fraction of a second, so that a kill hits any stage of their making."""

DRIVER = "driver"
WORKER = "worker"

SHOWN = 10
"""Differences that are printed; all are counted."""

WORKING = "Map("
"""In the title of a Ray worker while it runs a task of Ray Data, as in "ray::ReadRange->Map(call)"."""


def main() -> None:
    """Both corpora, then the verdict."""
    args = parse_arguments()
    settings = [f"cluster.num_cpus={args.cpus}", *(args.set or SMALL)]
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="faults-") as folder:
        peace, disturbed = Path(folder) / "undisturbed", Path(folder) / "disturbed"
        generate_in_peace(peace, args.databases, settings)
        rng = np.random.default_rng(args.seed)
        hits = generate_under_fire(disturbed, args.databases, settings, n_kills=args.kills, rng=rng)
        print(f"killed {hits.count(WORKER)} workers and {hits.count(DRIVER)} driver")
        differences = list(compare(peace, disturbed))
    for difference in differences[:SHOWN]:
        print(difference)
    if DRIVER not in hits or WORKER not in hits:
        sys.exit("the work ended before both a worker and the driver were killed; ask for more --databases")
    if differences:
        sys.exit(f"{len(differences)} differences")
    print(f"identical: {args.databases} databases")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--databases", type=int, default=200, metavar="N")
    parser.add_argument("--kills", type=int, default=5, metavar="N", help="workers to kill")
    parser.add_argument("--cpus", type=int, default=os.cpu_count() or 1, metavar="N", help="of the local Ray")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument(
        "--set", action="append", metavar="KEY=VALUE", help="setting of the study (default: small databases)"
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the corpora stand for a while")
    return parser.parse_args()


def generate_in_peace(out: Path, n_databases: int, settings: list[str]) -> None:
    """Run the command to its end."""
    if code := start_generate(out, n_databases, settings).wait():
        sys.exit(f"`relscale generate` ended with exit code {code}.")


def generate_under_fire(
    out: Path, n_databases: int, settings: list[str], *, n_kills: int, rng: np.random.Generator
) -> list[str]:
    """Run the command, kill at random shares of the work, start it again where the driver was hit.

    Returns who was killed, in order.
    """
    moments = [(share, WORKER) for share in rng.uniform(0.02, 0.9, n_kills)]
    moments.append((rng.uniform(0.3, 0.7), DRIVER))
    hits = []
    started = time.monotonic()
    process = start_generate(out, n_databases, settings)
    for share, victim in sorted(moments):
        while process.poll() is None and finished_folders(out) < share * n_databases:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))  # not always just behind a rename
        while process.poll() is None and not (targets := victims(victim, process)):
            time.sleep(0.01)
        if process.poll() is not None:
            break
        os.kill(int(rng.choice(targets)), signal.SIGKILL)
        hits.append(victim)
        seconds = time.monotonic() - started
        print(f"{seconds:.0f} s, {finished_folders(out)} databases: {victim} killed", flush=True)
        if victim == DRIVER:
            process.wait()
            process = start_generate(out, n_databases, settings)
    if code := process.wait():
        sys.exit(f"the disturbed `relscale generate` ended with exit code {code}.")
    print(f"{time.monotonic() - started:.0f} s: done", flush=True)
    return hits


def victims(kind: str, driver: "subprocess.Popen[str]") -> list[int]:
    """Process ids to choose from."""
    return [driver.pid] if kind == DRIVER else busy_workers(driver)


def busy_workers(driver: "subprocess.Popen[str]") -> list[int]:
    """Process ids of the Ray workers below a driver that run a task at this moment."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:  # ended meanwhile
            continue
        children.setdefault(parent, []).append(int(status.parent.name))
    below, todo = [], [driver.pid]
    while todo:
        todo += (found := children.get(todo.pop(), []))
        below += found
    return [process for process in below if WORKING in _title(process)]


def _title(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def compare(one: Path, other: Path) -> Iterator[str]:
    """Every way in which two corpora differ; a receipt's times do not count."""
    for name in sorted(
        {folder.name for corpus in (one, other) for folder in (corpus / "databases").iterdir()}
    ):
        digests = [digest(corpus / "databases" / name) for corpus in (one, other)]
        if digests[0] != digests[1]:
            yield f"databases/{name}: {digests[0]} and {digests[1]}"
    drafts = list(other.rglob(f"{DRAFT}*"))
    if drafts:
        yield f"{len(drafts)} drafts are left, such as {drafts[0].name}"
    summaries = [json.loads((corpus / "corpus.json").read_text()) for corpus in (one, other)]
    for key in sorted(summaries[0].keys() | summaries[1].keys()):
        if summaries[0].get(key) != summaries[1].get(key):
            yield f"corpus.json, {key}: {summaries[0].get(key)} and {summaries[1].get(key)}"


def digest(folder: Path) -> str:
    """Of every file but the receipt, which holds times."""
    return digest_files(folder, exclude=frozenset([RECEIPT])) if folder.is_dir() else "absent"


if __name__ == "__main__":
    main()
