"""Machine code kept on disk: found again by the next process, renewed when any source changes."""

import subprocess
import sys
from pathlib import Path

HELPER = """
from relscale.platform.compiled import inlined

@inlined
def double(x):
    return {factor} * x
"""
ENTRY = """
import sys
sys.path.insert(0, {folder!r})
import helper
from helper import double
from relscale.platform.compiled import kept

@kept(__file__, helper.__file__)
def compute(x):
    return double(x) + 1

print(compute(10.0), sum(compute.stats.cache_hits.values()))
"""


def run(folder: Path) -> tuple[float, int]:
    """What the entry point computes in a fresh process, and whether its code came from the disk."""
    done = subprocess.run(
        [sys.executable, folder / "entry.py"], capture_output=True, text=True, check=True, timeout=120
    )
    value, hits = done.stdout.split()
    return float(value), int(hits)


def test_code_is_kept_and_renewed_after_a_change_in_a_helper(tmp_path: Path) -> None:
    (tmp_path / "entry.py").write_text(ENTRY.format(folder=str(tmp_path)))
    (tmp_path / "helper.py").write_text(HELPER.format(factor=2))
    assert run(tmp_path) == (21.0, 0)
    assert run(tmp_path) == (21.0, 1)
    (tmp_path / "helper.py").write_text(HELPER.format(factor=3))
    assert run(tmp_path) == (31.0, 0)
