"""A command as a Ray job on a head with a token: bytes of the package, seconds, what comes back.

    python benchmarks/submission.py [--out FILE.json] [COMMAND ...]

Starts a head of its own with `ray start --head` and a new token, submits `relscale demo` (or COMMAND, to
which --out is added) with this relscale's code from an empty folder, follows it, fetches its results, and
ends the head. The bar: a package of less than 2 MB, the job finished, the report fetched.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import print_table, write_record

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from ray_head import ray_head

PACKAGE_BAR = 2_000_000
UNITS = {"B": 1, "KB": 1e3, "MB": 1e6}


def main() -> None:
    """Submit, follow, fetch, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("command", nargs="*", default=["demo"])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rs-", dir="/tmp") as scratch:
        folder = Path(scratch)
        with ray_head(folder, num_cpus=os.cpu_count() or 1) as head:
            measured = _submit(chosen.command, folder, head.environment)
            measured["token shown"] = head.token in measured.pop("log")
    print_table(list(measured), [[str(value) for value in measured.values()]])
    if chosen.out:
        write_record(chosen.out, measurements=[measured])
    bars = (measured["package bytes"] < PACKAGE_BAR, measured["exit code"] == 0, measured["report fetched"])
    if not all(bars) or measured["token shown"]:
        sys.exit("the bar is missed")


def _submit(command: list[str], folder: Path, environment: dict[str, str]) -> dict[str, object]:
    here, shared = folder / "here", folder / "shared"
    here.mkdir()
    words = ["submit", "--with-code", "--fetch", "back", "--", *command, "--out", str(shared)]
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "relscale", *words],
        env=environment, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    log = ""
    for line in process.stdout or ():
        log += line
        print(line, end="", flush=True)
    package = re.search(r"^package   ([\d.]+) (\w+), (\d+) files", log, re.MULTILINE)
    if package is None:
        sys.exit("nothing was sent")
    fetched = [path for path in (here / "back").rglob("*") if path.is_file()]
    return {
        "package bytes": int(float(package[1]) * UNITS[package[2]]),
        "files": int(package[3]),
        "exit code": process.wait(),
        "seconds": round(time.monotonic() - started),
        "report fetched": (here / "back" / "report.html").is_file(),
        "files fetched": len(fetched),
        "bytes fetched": sum(path.stat().st_size for path in fetched),
        "log": log,
    }


if __name__ == "__main__":
    main()
