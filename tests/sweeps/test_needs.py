import pytest

from relscale.sweeps import launch
from relscale.sweeps.config import StudyConfig, TrialConfig
from relscale.sweeps.needs import DRIVER, Needs, needs_of, trials_at_once

ALONE = Needs(n_workers=1, cpus=2, gpus=0, has_driver=False)
PAIR = Needs(n_workers=2, cpus=4, gpus=1, has_driver=True)


def test_the_driver_is_the_resource_that_the_sweep_asks_for():
    assert DRIVER == launch.DRIVERS


def test_what_a_trial_occupies():
    config = StudyConfig(trial=TrialConfig(n_workers=2, use_gpu=True)).replace(
        training=StudyConfig().training.replace(n_threads=4).model_dump()
    )
    assert needs_of(config) == PAIR
    assert needs_of(StudyConfig()) == Needs(n_workers=1, cpus=1, gpus=0, has_driver=False)
    assert PAIR.sentence == f"2 x 4 CPUs and 1 GPU, and one '{DRIVER}' (or a CPU) for its driver"


@pytest.mark.parametrize(
    ("needs", "nodes", "at_once"),
    [
        (ALONE, [{"CPU": 5}], 2),
        (ALONE, [{"CPU": 1}, {"CPU": 1}], 0),  # two CPUs, but no node has both
        (ALONE, [{}], 0),
        (PAIR, [{"CPU": 32}], 0),  # no GPU
        (PAIR, [{"CPU": 32, "GPU": 8, DRIVER: 64}], 4),
        (PAIR, [{"CPU": 32, "GPU": 8, DRIVER: 1}], 1),
        (PAIR, [{"CPU": 4, "GPU": 1}, {"CPU": 4, "GPU": 1}], 0),  # nothing left for the driver
        (PAIR, [{"CPU": 4, "GPU": 1}, {"CPU": 5, "GPU": 1}], 1),
        (PAIR, [{"CPU": 0, DRIVER: 64}, {"CPU": 4, "GPU": 1}, {"CPU": 4, "GPU": 1}], 1),
    ],
)
def test_trials_that_nodes_hold(needs, nodes, at_once):
    assert trials_at_once(needs, nodes) == at_once
