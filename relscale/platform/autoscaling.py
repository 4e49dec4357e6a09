"""The autoscaler of a Ray cluster: what it may start, what it is doing, and asking it for nodes in time.

Ray gives drivers no list of an autoscaler's node types, so the head is asked for the autoscaler's own file.
"""

import functools
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.autoscaler._private.kuberay.autoscaling_config import AutoscalingConfigProducer
from ray.core.generated import autoscaler_pb2 as messages
from ray.experimental.internal_kv import _internal_kv_get
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from relscale.platform.placement import GROUP, HEAD, Bundle, Cluster, Group, described, startable_groups

STATUS = "__autoscaling_status"
"""Key under which Ray's first autoscaler leaves its report; the second one reports to the control store."""
KUBERNETES = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
CALL_SECONDS = 30.0


def read_cluster() -> Cluster:
    """The connected cluster: its living nodes, and what its autoscaler may start."""
    living = [node for node in ray.nodes() if node["Alive"]]
    head = next((node["NodeID"] for node in living if HEAD in node["Resources"]), None)
    startable = _startable(head, ray.get_runtime_context().gcs_address) if head else ()
    return Cluster(nodes=tuple(map(_group, living)), startable=startable)


def _group(node: Mapping[str, Any]) -> Group:
    labels = node["Labels"]
    name = labels.get(GROUP) or labels.get("ray.io/node-group") or node["NodeID"]
    return Group(name=name, resources=node["Resources"], labels=labels)


@functools.lru_cache(maxsize=1)
def _startable(head: str, gcs_address: str) -> tuple[Group, ...]:
    """The autoscaler's groups, which do not change while a cluster lives; the head knows them."""
    if ray.get_runtime_context().get_node_id() == head:
        return groups_here(gcs_address)
    there = NodeAffinitySchedulingStrategy(node_id=head, soft=False)
    task = ray.remote(num_cpus=0)(groups_here).options(scheduling_strategy=there)
    groups: tuple[Group, ...] = ray.get(task.remote(gcs_address), timeout=CALL_SECONDS)
    return groups


def groups_here(gcs_address: str) -> tuple[Group, ...]:
    """The groups of the autoscaler that runs on this node for a control store; none if there is none."""
    port = gcs_address.rpartition(":")[2]
    for command in _commands():
        options = dict(part[2:].partition("=")[::2] for part in command if part.startswith("--"))
        file = options.get("autoscaling-config")
        if file and options.get("gcs-address", "").endswith(f":{port}"):
            return startable_groups(yaml.safe_load(Path(file).expanduser().read_text()))
    if KUBERNETES.is_file() and (name := os.environ.get("RAY_CLUSTER_NAME")):
        return startable_groups(AutoscalingConfigProducer(name, KUBERNETES.read_text())())
    return ()


def _commands() -> Iterator[list[str]]:
    """The command lines of this node's processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_text(errors="replace").split("\0")
        except OSError:  # ended meanwhile
            continue


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What waits for a place, and what the autoscaler does about it."""

    waiting: tuple[tuple[Bundle, int], ...]
    """Requests that have no place, and how many of each."""
    launching: Mapping[str, int]
    """Nodes on their way, by group."""
    failures: Mapping[str, str]
    """Why nodes of a group could not be started."""
    impossible: tuple[Bundle, ...] = ()
    """Requests of which the autoscaler says that no group can meet them."""

    @property
    def sentence(self) -> str:
        """What the autoscaler does, in words; empty if it does nothing."""
        parts = [f"{n} {name} being started" for name, n in self.launching.items()]
        parts += [f"{name} could not be started ({why})" for name, why in self.failures.items()]
        parts += [f"no group of nodes can hold {described(bundle)}" for bundle in self.impossible[:1]]
        return ", ".join(parts)


def read_activity() -> Activity:
    """What waits for a place on the connected cluster, and what its autoscaler does."""
    store = GcsClient(ray.get_runtime_context().gcs_address)
    reply: Any = messages.GetClusterStatusReply()  # type: ignore[attr-defined]
    reply.ParseFromString(store.get_cluster_status(timeout_s=CALL_SECONDS))
    waiting = tuple(_waiting(reply.cluster_resource_state))
    if reply.autoscaling_state.autoscaler_state_version:
        return _second_autoscaler(waiting, reply.autoscaling_state)
    return first_autoscaler(waiting, json.loads(_internal_kv_get(STATUS) or "{}"))


def _waiting(state: Any) -> Iterator[tuple[Bundle, int]]:
    for request in state.pending_resource_requests:
        yield dict(request.request.resources_bundle), request.count
    for gang in state.pending_gang_resource_requests:
        total: Counter[str] = Counter()
        ways = gang.bundle_selectors
        for part in ways[0].resource_requests if ways else gang.requests:
            total.update(part.resources_bundle)
        yield dict(total), 1


def first_autoscaler(waiting: tuple[tuple[Bundle, int], ...], status: Mapping[str, Any]) -> Activity:
    """From the report that Ray's first autoscaler leaves."""
    report = status.get("autoscaler_report") or {}
    launching = Counter(report.get("pending_launches", {}))
    launching.update(kind for _, kind, _ in report.get("pending_nodes", ()))
    available = report.get("node_availability_summary", {}).get("node_availabilities", {})
    reasons = {kind: found.get("unavailable_node_information") for kind, found in available.items()}
    failures = {
        kind: f"{why['category']}: {why['description']}" for kind, why in reasons.items() if why is not None
    }
    return Activity(waiting=waiting, launching=launching, failures=failures)


def _second_autoscaler(waiting: tuple[tuple[Bundle, int], ...], state: Any) -> Activity:
    """From what Ray's second autoscaler tells the control store."""
    launching: Counter[str] = Counter()
    for request in state.pending_instance_requests:
        launching[request.ray_node_type_name] += request.count
    launching.update(instance.ray_node_type_name for instance in state.pending_instances)
    failures = {request.ray_node_type_name: request.reason for request in state.failed_instance_requests}
    impossible = tuple(dict(request.resources_bundle) for request in state.infeasible_resource_requests)
    return Activity(waiting=waiting, launching=launching, failures=failures, impossible=impossible)
