"""What a benchmark leaves behind: a table to read, and a JSON file with every measurement."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np


def write_record(path: Path, *, measurements: Sequence[dict[str, Any]], **facts: Any) -> None:
    """Write the measurements one by one with `facts`, the command, the machine and the versions."""
    record = {
        "command": sys.argv,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        **facts,
        "measurements": list(measurements),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Processor, cores, the load that others put on them, and the versions that speed depends on."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_1_min": os.getloadavg()[0],
        "python": platform.python_version(),
        **{package: version(package) for package in ("relscale", "numpy", "numba", "ray", "pyarrow")},
    }


def cpu_name() -> str:
    """The processor's name, as Linux gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Median, least and greatest of the values that are there, as "1.5 [1.2..2]"."""
    if not len(values):
        return "-"
    median, low, high = (f"{value:.{digits}g}" for value in (np.median(values), min(values), max(values)))
    return f"{median} [{low}..{high}]"


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table, its columns aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]
    for line in (headings, ["-" * width for width in widths], *rows):
        cells = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        print(f"| {' | '.join(cells)} |", flush=True)
