"""Fixtures that several packages' tests share: the real database and one Ray session."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")

REL_F1 = Path(__file__).parents[2] / "shared" / "data" / "relbench" / "rel-f1"


@pytest.fixture(scope="session")
def rel_f1() -> Path:
    """Folder of the real rel-f1 database, where the checkout stands beside its data."""
    if not (REL_F1 / "manifest.yaml").is_file():
        pytest.skip("the real rel-f1 database is not beside this checkout")
    return REL_F1


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray of two CPUs for the whole test run."""
    from relscale.platform.cluster import connect

    with connect(num_cpus=2):
        yield
