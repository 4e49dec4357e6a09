"""What a cluster can hold: the nodes it has, those that its autoscaler may start, and what fits on them.

Plain values; `platform.autoscaling` reads them from Ray.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from relscale.platform.progress import human_bytes

Bundle = Mapping[str, float]
"""What one task, worker or driver asks for or a node has: {"CPU": 1, "memory": 2e9}, memory in bytes."""

GROUP = "relscale-group"
"""Node label that names a node's group, as in cluster.yaml."""
GENERATION, TRAINING = "cpu_gen", "gpu_train"
"""Groups of spot CPU nodes for generation, and of GPU nodes."""
HEAD = "node:__internal_head__"
"""Resource by which Ray marks the head."""

MOST_FROM_AN_UNBOUNDED_GROUP = 1000
"""Nodes that are counted of a group whose file gives it no maximum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Nodes of one kind."""

    name: str
    """Of a living node: its group's."""
    resources: Bundle
    """Of one node."""
    labels: Mapping[str, str] = field(default_factory=dict)
    n: int = 1
    """How many there are, or may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The living nodes of a cluster, and the groups from which its autoscaler starts more."""

    nodes: tuple[Group, ...]
    startable: tuple[Group, ...] = ()
    """Empty where there is no autoscaler."""

    @property
    def possible(self) -> tuple[Group, ...]:
        """All nodes that there may be at once: those that the autoscaler has not started, and its groups."""
        names = {group.name for group in self.startable}
        own = tuple(node for node in self.nodes if node.name not in names)
        return own + self.startable

    @property
    def possible_nodes(self) -> list[Bundle]:
        """What each of them has."""
        return [group.resources for group in self.possible for _ in range(group.n)]

    @property
    def sentence(self) -> str:
        """What there is and may be, in words."""
        cpus, gpus = (sum(node.resources.get(name, 0) for node in self.nodes) for name in ("CPU", "GPU"))
        has = f"{cpus:g} CPUs and {gpus:g} GPUs on {_count(len(self.nodes), 'node')}"
        groups = (f"{group.n} {group.name} of {described(group.resources)}" for group in self.startable)
        return has + (f", and can start {', '.join(groups)}" if self.startable else "")


def described(bundle: Bundle) -> str:
    """A bundle in words, CPUs and GPUs first: "4 CPUs, 1 GPU, 2.1 GB of memory"."""
    words = [_count(bundle[name], name) for name in ("CPU", "GPU") if bundle.get(name)]
    if bundle.get("memory"):
        words.append(f"{human_bytes(bundle['memory'])} of memory")
    return ", ".join(words) or "no CPU"


def fits(bundle: Bundle, resources: Bundle) -> int:
    """How often a node holds a bundle; a group that does not tell its memory is taken to have enough."""
    times = [
        math.floor(resources.get(name, math.inf if name == "memory" else 0) / amount + 1e-9)
        for name, amount in bundle.items()
        if amount
        if name != "memory" or name in resources
    ]
    return min(times, default=0)


def places(bundle: Bundle, groups: Iterable[Group]) -> int:
    """How often nodes hold a bundle all together."""
    return sum(group.n * fits(bundle, group.resources) for group in groups)


def sparing_gpus(cluster: Cluster) -> Cluster:
    """What work without GPUs may use: no GPU node where others, beside the head, have or can have CPUs."""

    def spared(groups: Sequence[Group]) -> tuple[Group, ...]:
        return tuple(group for group in groups if not group.resources.get("GPU"))

    without = Cluster(nodes=spared(cluster.nodes), startable=spared(cluster.startable))
    workers = (group for group in without.possible if HEAD not in group.resources)
    return without if places({"CPU": 1}, workers) else cluster


def selectors(cluster: Cluster) -> tuple[dict[str, str] | None, list[dict[str, dict[str, str]]] | None]:
    """Label selector and fallbacks of a generation task: spot CPU nodes, else any that are not for training.

    None and None where the cluster does not label such nodes, or has CPUs on its GPU nodes alone.
    """
    usable = sparing_gpus(cluster)
    groups = {group.labels.get(GROUP) for group in usable.possible if group.resources.get("CPU")}
    if GENERATION not in groups or TRAINING in groups:
        return None, None
    return {GROUP: GENERATION}, [{"label_selector": {GROUP: f"!{TRAINING}"}}]


def largest_memory(cluster: Cluster) -> float | None:
    """Bytes of the roomiest node with a CPU; None if none tells."""
    known = (group.resources for group in (*cluster.nodes, *cluster.startable) if group.resources.get("CPU"))
    return max((resources["memory"] for resources in known if "memory" in resources), default=None)


def startable_groups(config: Mapping) -> tuple[Group, ...]:
    """Groups of an autoscaler's configuration (cluster.yaml, or what KubeRay makes of a RayCluster).

    A group has at most its max_workers, and no more than the file's for all together: it may be the only one
    that is asked for. The head is none of them.
    """
    most = config.get("max_workers", math.inf)
    groups = []
    for name, kind in config["available_node_types"].items():
        n = int(min(kind.get("max_workers", MOST_FROM_AN_UNBOUNDED_GROUP), most))
        if name == config.get("head_node_type") or n < 1:
            continue
        resources = {key: float(value) for key, value in kind.get("resources", {}).items()}
        groups.append(Group(name=name, resources=resources, labels=kind.get("labels") or {}, n=n))
    return tuple(groups)


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}{'s' if number != 1 else ''}"
