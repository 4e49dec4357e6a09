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


LINKED = """
from numba import carray, njit, types
from relscale.platform.compiled import linked
import numpy as np

@linked(types.void(types.CPointer(types.float64), types.int64), __file__)
def relscale_test_double(values, size):
    array = carray(values, size)
    for i in range(size):
        array[i] *= {factor}

@njit
def call(array):
    relscale_test_double(array.ctypes, array.size)

numbers = np.arange(3.0)
call(numbers)
print(numbers.sum(), relscale_test_double.callback.cache_hits)
"""


def test_linked_code_is_called_at_its_address_kept_and_renewed(tmp_path: Path) -> None:
    for factor, expected in ((2, (6.0, 0)), (2, (6.0, 1)), (3, (9.0, 0))):
        (tmp_path / "entry.py").write_text(LINKED.format(factor=factor))
        assert run(tmp_path) == expected
