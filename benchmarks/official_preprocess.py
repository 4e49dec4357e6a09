"""Generated databases through the official tools, unchanged: preprocessing, task list, one batch.

    python benchmarks/official_preprocess.py --peer-python PEER/bin/python

The peer is relational-transformer 1.10.0 in an environment of its own:

    python3.11 -m venv PEER
    PEER/bin/pip install torch==2.13.0  # where this is a CUDA build, the CPU's will do
    PEER/bin/pip install relational-transformer==1.10.0

Databases come from `relscale generate`. The peer preprocesses each folder as it is (`rt.rustler`), lists the
training tasks from the manifests under tasks/ (`rt.data.make_db_task_list`), and its sampler draws one batch
of contexts over all of them. Random vectors stand for the text embeddings, so nothing is downloaded. Exit
code 1 if a step fails, or if a database has no task.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from command import start_generate
from record import print_table
from worker import HERE


def main() -> None:
    """Generate, hand over, print what came of it."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="official-") as folder:
        corpus = Path(folder) / "corpus"
        if code := start_generate(corpus, args.databases, args.set).wait():
            sys.exit(f"`relscale generate` ended with exit code {code}.")
        databases = sorted((corpus / "databases").glob("plurel-*"))
        result = preprocess(args.peer_python, databases, Path(folder) / "preprocessed")
    print_table(
        ["database", "tables", "rows", "texts", "tasks", "MB"],
        [
            [
                d["name"],
                *(str(d[key]) for key in ("tables", "nodes", "texts", "tasks")),
                f"{d['megabytes']:.1f}",
            ]
            for d in result["databases"]
        ],
    )
    if without := [d["name"] for d in result["databases"] if not d["tasks"]]:
        sys.exit(f"nothing to train on in {', '.join(without)}: no task")
    batch = result["batch"]
    print(
        f"one batch over {batch['tasks']} tasks with {batch['items']:,} rows: {batch['contexts']} contexts, "
        f"{batch['targets']} of them with a target (a row may lack the value), {batch['cells']:,} cells"
    )
    if not batch["targets"]:
        sys.exit("no context of the batch has a target")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", type=Path, required=True, metavar="PATH", help="Python of the peer")
    parser.add_argument("--databases", type=int, default=4, metavar="N")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the study"
    )
    return parser.parse_args()


def preprocess(python: Path, databases: list[Path], out: Path) -> dict[str, Any]:
    """What the peer's script reports; ends the process with the peer's last words if it fails."""
    out.mkdir()
    command = [str(python), str(HERE / "peer_preprocess.py"), str(out), *map(str, databases)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RUST_BACKTRACE": "0"})
    if done.returncode:
        sys.exit(f"the official tools failed: {done.stderr[-1500:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
