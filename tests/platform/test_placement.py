"""What fits where, and which nodes are left alone; plain values, no Ray."""

from pathlib import Path

import pytest
import yaml

from relscale.platform.placement import (
    GENERATION,
    GROUP,
    TRAINING,
    Cluster,
    Group,
    fits,
    largest_memory,
    places,
    selectors,
    sparing_gpus,
    startable_groups,
)

HEAD = Group(
    name="head",
    resources={"CPU": 0, "node:__internal_head__": 1, "memory": 9e9, "trial_driver": 64},
    labels={GROUP: "head"},
)
SPOT = Group(name=GENERATION, resources={"CPU": 32, "memory": 64e9}, labels={GROUP: GENERATION}, n=50)
GPUS = Group(name=TRAINING, resources={"CPU": 16, "GPU": 1}, labels={GROUP: TRAINING}, n=8)
GROWING = Cluster(nodes=(HEAD,), startable=(SPOT, GPUS))


@pytest.mark.parametrize(
    ("bundle", "resources", "times"),
    [
        ({"CPU": 1}, {"CPU": 4}, 4),
        ({"CPU": 1, "GPU": 0}, {"CPU": 4}, 4),
        ({"CPU": 2, "GPU": 1}, {"CPU": 4}, 0),
        ({"CPU": 0.1}, {"CPU": 0.3}, 3),
        ({"CPU": 1, "memory": 3e9}, {"CPU": 4, "memory": 8e9}, 2),
        ({"CPU": 1, "memory": 3e9}, {"CPU": 4}, 4),  # a group that does not tell its memory
        ({"CPU": 1}, {}, 0),
    ],
)
def test_how_often_a_node_holds_a_bundle(bundle, resources, times):
    assert fits(bundle, resources) == times


def test_living_nodes_of_a_group_are_not_counted_twice():
    living = Group(name=GENERATION, resources={"CPU": 32}, labels={GROUP: GENERATION})
    cluster = Cluster(nodes=(HEAD, living, living), startable=(SPOT,))
    assert cluster.possible == (HEAD, SPOT)
    assert places({"CPU": 1}, cluster.possible) == 1600
    assert places({"CPU": 1}, cluster.nodes) == 64


def test_generation_leaves_training_nodes_alone():
    assert sparing_gpus(GROWING).possible == (HEAD, SPOT)
    assert selectors(GROWING) == (
        {GROUP: GENERATION},
        [{"label_selector": {GROUP: f"!{TRAINING}"}}],
    )


def test_generation_runs_on_gpu_nodes_where_there_are_no_others():
    cluster = Cluster(nodes=(HEAD,), startable=(GPUS,))
    assert sparing_gpus(cluster) == cluster
    assert selectors(cluster) == (None, None)


def test_gpu_nodes_are_used_where_the_head_alone_has_other_cpus():
    head = Group(name="head", resources={"CPU": 2, "node:__internal_head__": 1})
    cluster = Cluster(nodes=(head, GPUS))
    assert sparing_gpus(cluster) == cluster


def test_a_cluster_without_labels_gets_no_selector():
    laptop = Cluster(nodes=(Group(name="a", resources={"CPU": 8}),))
    assert sparing_gpus(laptop) == laptop
    assert selectors(laptop) == (None, None)


def test_memory_is_that_of_nodes_with_cpus():
    assert largest_memory(GROWING) == 64e9
    assert largest_memory(Cluster(nodes=(HEAD,), startable=(GPUS,))) is None


def test_what_there_is_and_may_be_in_words():
    assert GROWING.sentence == (
        "0 CPUs and 0 GPUs on 1 node, and can start 50 cpu_gen of 32 CPUs, 64 GB of memory, "
        "8 gpu_train of 16 CPUs, 1 GPU"
    )


def test_a_group_keeps_to_its_maximum_and_to_that_of_all():
    kinds = {"head": 1, "a": 5, "b": 9, "none": 0}
    types = {name: {"resources": {"CPU": 2}, "max_workers": n} for name, n in kinds.items()}
    config = {"max_workers": 7, "head_node_type": "head", "available_node_types": types}
    assert [(group.name, group.n) for group in startable_groups(config)] == [("a", 5), ("b", 7)]


def test_groups_of_the_cluster_file():
    config = yaml.safe_load((Path(__file__).parents[2] / "cluster.yaml").read_text())
    groups = {group.name: group for group in startable_groups(config)}
    assert set(groups) == {GENERATION, TRAINING}
    assert groups[GENERATION].labels == {GROUP: GENERATION} and groups[TRAINING].resources["GPU"] >= 1


def test_groups_of_a_cluster_on_kubernetes():
    """Ray makes the autoscaler's configuration of the RayCluster; so does the head that is asked for it."""
    from ray.autoscaler._private.kuberay import autoscaling_config

    file = Path(__file__).parents[2] / "deploy" / "kuberay" / "cluster.yaml"
    described = next(part for part in yaml.safe_load_all(file.read_text()) if part["kind"] == "RayCluster")
    described["metadata"].setdefault("namespace", "default")
    config = autoscaling_config._derive_autoscaling_config_from_ray_cr(described)
    groups = {group.labels.get(GROUP): group for group in startable_groups(config)}
    assert set(groups) == {GENERATION, TRAINING}
    assert groups[TRAINING].resources["GPU"] >= 1 and groups[GENERATION].n >= 1
