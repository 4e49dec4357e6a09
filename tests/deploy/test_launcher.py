"""Cluster files of Ray's launcher and of KubeRay: valid to Ray, alike, with all that relscale asks for."""

import copy
import gzip
import json
import re
from pathlib import Path
from typing import Any

import moto
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config

from relscale.platform.placement import (
    GENERATION,
    GROUP,
    TRAINING,
    Cluster,
    Group,
    fits,
    places,
    selectors,
    startable_groups,
)
from relscale.sweeps.config import StudyConfig
from relscale.sweeps.needs import DRIVER, needs_of, trials_at_once

ROOT = Path(__file__).parents[2]
LAUNCHER = {"aws": ROOT / "cluster.yaml", "gcp": ROOT / "deploy" / "gcp.yaml"}
KUBERAY = {name: ROOT / "deploy" / "kuberay" / f"{name}.yaml" for name in ("cluster", "job")}
GROUPS = {"head", GENERATION, TRAINING}


def read(path: Path) -> Any:
    """A file of one document."""
    return yaml.safe_load(path.read_text())


def ray_cluster(path: Path) -> dict[str, Any]:
    """The RayCluster of a manifest, of a RayJob the one that it starts."""
    manifest = read(path)
    spec = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    return {"metadata": manifest["metadata"], "spec": spec}


def prepared(variant: str) -> dict[str, Any]:
    """The autoscaler's settings of a variant, as Ray derives and validates them."""
    if variant in KUBERAY:
        return _derive_autoscaling_config_from_ray_cr(ray_cluster(KUBERAY[variant]))
    config = prepare_config(copy.deepcopy(read(LAUNCHER[variant])))
    validate_config(config)
    return config


@pytest.fixture(params=[*LAUNCHER, *KUBERAY])
def config(request) -> dict[str, Any]:
    """Each variant in turn."""
    return prepared(request.param)


def groups(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Node types by the label that relscale knows them by."""
    return {one["labels"][GROUP]: one for one in config["available_node_types"].values()}


def test_every_variant_has_the_groups_and_their_limits(config):
    assert set(groups(config)) == GROUPS
    workers = {name: group for name, group in groups(config).items() if name != "head"}
    assert all(group["min_workers"] == 0 < group["max_workers"] for group in workers.values())
    assert sum(group["max_workers"] for group in workers.values()) <= config["max_workers"]
    assert 0 < config["idle_timeout_minutes"] <= 15
    assert config["available_node_types"][config["head_node_type"]] is groups(config)["head"]


def cluster(config: dict[str, Any]) -> Cluster:
    """A variant as relscale sees it right after its start: the head, and what may come."""
    head = groups(config)["head"]
    resources = {name: float(amount) for name, amount in head["resources"].items()}
    node = Group(name="head", resources=resources, labels=head["labels"])
    return Cluster(nodes=(node,), startable=startable_groups(config))


def test_the_head_runs_no_work_and_drives_all_trials(config):
    study = StudyConfig.model_validate(read(ROOT / "configs" / "paper.yaml"))
    node = cluster(config).nodes[0]
    assert places({"CPU": 1}, [node]) == places({"GPU": 1}, [node]) == 0
    needs = needs_of(study)
    n_trainers = groups(config)["gpu_train"]["max_workers"]
    assert trials_at_once(needs, cluster(config).possible_nodes) == n_trainers <= places({DRIVER: 1}, [node])


def test_generation_goes_to_spot_cpus_with_their_memory(config):
    prefer, fallbacks = selectors(cluster(config))
    assert prefer == {GROUP: GENERATION} and fallbacks == [{"label_selector": {GROUP: f"!{TRAINING}"}}]
    group = groups(config)[GENERATION]["resources"]
    assert group["cpu_spot"] == group["CPU"] and "GPU" not in group
    # A task reserves a quarter more than it was measured to need: the databases of the paper 0.4 GB.
    assert fits({"CPU": 1, "memory": 1.25 * 400 * 2**20}, group) == group["CPU"] > 0


@pytest.mark.parametrize("variant", LAUNCHER)
def test_nodes_install_the_pinned_versions_and_carry_the_token(variant):
    config = read(LAUNCHER[variant])
    mounted = {Path(there).name: here for there, here in config["file_mounts"].items()}
    assert {"relscale", "deploy", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= set(mounted)
    assert all((ROOT / here).exists() for here in mounted.values() if not here.startswith("~"))
    assert mounted["auth_token"] == "~/.ray/auth_token"
    settings, install = config["setup_commands"]
    assert (
        "RAY_AUTH_MODE=token" in settings and "RAY_AUTH_TOKEN_PATH=/home/ubuntu/.ray/auth_token" in settings
    )
    assert "deploy/node.sh" in install
    script = (ROOT / "deploy" / "node.sh").read_text()
    assert "--constraint" in script and "constraints.txt" in script and "--python 3.11" in script
    assert "chmod 600 ~/.ray/auth_token" in script
    for command in [*config["setup_commands"], *config["head_setup_commands"]]:
        assert "#" not in command  # Ray puts each command in parentheses, which a comment would swallow


@pytest.mark.parametrize("variant", LAUNCHER)
def test_servers_of_the_head_listen_on_loopback(variant):
    config = read(LAUNCHER[variant])
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    assert "--host 127.0.0.1" in (ROOT / "deploy" / "head.sh").read_text()


def test_spot_is_for_the_cpus_and_region_is_one():
    aws, gcp = (read(LAUNCHER[name]) for name in ("aws", "gcp"))
    types = aws["available_node_types"]
    spot = {name for name, one in types.items() if one["node_config"].get("InstanceMarketOptions")}
    assert spot == {"cpu_gen"}
    spot = {
        name
        for name, one in gcp["available_node_types"].items()
        if any(item.get("preemptible") for item in one["node_config"].get("scheduling", []))
    }
    assert spot == {"cpu_gen"}
    region = aws["provider"]["region"]
    assert f"AWS_REGION={region}" in aws["setup_commands"][0]
    assert all(zone.startswith(region) for zone in aws["provider"]["availability_zone"].split(","))


def test_declared_sizes_are_those_of_the_machines():
    packed = Path(moto.__file__).parent / "ec2" / "resources" / "instance_types.json.gz"
    known = json.loads(gzip.decompress(packed.read_bytes()))
    for one in read(LAUNCHER["aws"])["available_node_types"].values():
        machine = known[one["node_config"]["InstanceType"]]
        resources = one["resources"]
        assert resources["CPU"] in (0, machine["VCpuInfo"]["DefaultVCpus"])
        gpus = sum(gpu["Count"] for gpu in machine.get("GpuInfo", {}).get("Gpus", []))
        assert resources.get("GPU", 0) == gpus
        # The object store (2 GB) and the system need the rest.
        assert resources.get("memory", 0) <= 0.8 * machine["MemoryInfo"]["SizeInMiB"] * 2**20


def test_kuberay_runs_the_same_cluster_in_both_manifests():
    cluster, job = (ray_cluster(KUBERAY[name])["spec"] for name in ("cluster", "job"))
    assert cluster == job
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert cluster["rayVersion"] == pins["ray"]


def test_kuberay_takes_secrets_by_reference_and_images_of_one_version():
    files = sorted((ROOT / "deploy" / "kuberay").glob("*.yaml"))
    documents = [one for path in files for one in yaml.safe_load_all(path.read_text())]
    assert {"RayCluster", "RayJob", "StatefulSet", "Deployment", "NetworkPolicy"} <= {
        d["kind"] for d in documents
    }
    assert not any(document["kind"] == "Secret" for document in documents)
    containers = list(_containers(documents))
    for variable in (one for container in containers for one in container.get("env", [])):
        assert ("PASSWORD" in variable["name"]) == ("valueFrom" in variable)
    images = {container["image"] for container in containers if "relscale" in container["image"]}
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version and images == {f"REGISTRY/relscale:{version[1]}"}
    assert ray_cluster(KUBERAY["cluster"])["spec"]["authOptions"]["mode"] == "token"


def test_the_image_holds_what_its_file_copies():
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    copied = [
        word for line in lines if line.startswith("COPY") for word in line.split()[1:-1] if word[0] != "-"
    ]
    sent = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {"constraints.txt", "relscale"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists() and f"!{name.split('/')[0]}" in sent


def _containers(tree: Any) -> Any:
    """Every container below a document."""
    if isinstance(tree, dict):
        yield from tree.get("containers", [])
        for value in tree.values():
            yield from _containers(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _containers(value)
