"""Fixtures that several packages' tests share: the real database, one Ray session, one tiny study."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from relscale.sweeps.config import StudyConfig
    from relscale.sweeps.study import StudyOutcome

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")

REL_F1 = Path(__file__).parents[2] / "shared" / "data" / "relbench" / "rel-f1"


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes share the tests: one has all of the shared Ray session, a file stays in one process."""
    for item in items:
        group = "ray" if item.get_closest_marker("ray") else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


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


TINY = {
    "name": "tiny",
    "corpus": {
        "generator": {
            "num_tables": [3, 3],
            "rows_entity": [40, 60],
            "rows_activity": [80, 120],
            "num_columns": [3, 4],
        },
        "held_out_databases": 2,
    },
    "sampler": {"context_length": 32, "bfs_width": 4, "mask_prob": 0.5},
    "model": {"n_blocks": 1, "d_model": 16, "n_heads": 2, "d_ff": 32},
    "training": {"batch_size": 4, "log_every_steps": 2, "checkpoint_every_steps": 2},
    "grid": {"n_databases": [1, 2, 3], "tokens": [256, 512, 1024]},
    "evaluation": {"columns_per_type": 2, "rows_per_column": 4},
    "analysis": {"n_boot": 100},
}


@pytest.fixture(scope="session")
def tiny() -> "Callable[..., StudyConfig]":
    """`tiny(**sections)`: the settings of a study of seconds, with sections replaced."""
    from relscale.platform.config import parse_config
    from relscale.sweeps.config import StudyConfig

    return lambda **sections: parse_config(StudyConfig, {**TINY, **sections}, source="the test")


@pytest.fixture(scope="session")
def tiny_study(
    ray_session: None, tiny: "Callable[..., StudyConfig]", tmp_path_factory: pytest.TempPathFactory
) -> "tuple[Path, StudyOutcome]":
    """Folder and outcome of that study, run once for the whole test run."""
    from relscale.sweeps.study import run_study

    folder = tmp_path_factory.mktemp("study")
    return folder, run_study(tiny(), folder)
