import pytest

from relscale.platform.placement import Cluster, Group
from relscale.sweeps.config import StudyConfig, TrialConfig
from relscale.sweeps.needs import DRIVER, Needs, needs_of, reserved, trials_at_once, usable_nodes, why_none

ALONE = Needs(n_workers=1, cpus=2, gpus=0, has_driver=False)
PAIR = Needs(n_workers=2, cpus=4, gpus=1, has_driver=True)


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


@pytest.mark.parametrize(
    ("needs", "nodes", "resources"),
    [
        (ALONE, [{"CPU": 5}], {"cpu": 2}),
        (PAIR, [{"CPU": 32, "GPU": 8}], {"cpu": 1}),
        (PAIR, [{"CPU": 0, DRIVER: 64}, {"CPU": 32, "GPU": 8}], {"cpu": 0, DRIVER: 1}),
    ],
)
def test_what_tune_reserves(needs, nodes, resources):
    assert reserved(needs, nodes) == resources


def test_a_trial_that_no_node_holds_says_why():
    head = Group(name="head", resources={"CPU": 0})
    small = Group(name="cpu_gen", resources={"CPU": 2}, n=8)
    cluster = Cluster(nodes=(head,), startable=(small,))
    found = why_none(PAIR, cluster)
    assert "a trial needs 2 x 4 CPUs and 1 GPU" in found
    assert "the cluster has 0 CPUs and 0 GPUs on 1 node, and can start 8 cpu_gen of 2 CPUs" in found
    assert found.endswith("set trial.use_gpu=false, or add GPU nodes.")
    wide = Needs(n_workers=1, cpus=4, gpus=0, has_driver=False)
    assert why_none(wide, cluster).endswith("lower training.n_threads or trial.n_workers, or add nodes.")


def test_trials_on_cpus_start_no_gpu_nodes():
    head = Group(name="head", resources={"CPU": 0, "node:__internal_head__": 1})
    cpus = Group(name="cpu_gen", resources={"CPU": 2}, n=3)
    gpus = Group(name="gpu_train", resources={"CPU": 16, "GPU": 1}, n=1)
    cluster = Cluster(nodes=(head,), startable=(cpus, gpus))
    assert trials_at_once(ALONE, usable_nodes(ALONE, cluster)) == 3
    wide = Needs(n_workers=1, cpus=8, gpus=0, has_driver=False)
    assert trials_at_once(wide, usable_nodes(wide, cluster)) == 2, "which fits there alone"
    on_gpu = Needs(n_workers=1, cpus=4, gpus=1, has_driver=False)
    assert trials_at_once(on_gpu, usable_nodes(on_gpu, cluster)) == 1
