"""What the dashboard of a Ray cluster says over HTTP: nodes by group, what is waited for, jobs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relscale.platform.jobs import Job, JobServer
from relscale.platform.masking import masked
from relscale.platform.spending import group_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """A cluster at this moment."""

    nodes: Mapping[str, int]
    """Living nodes by group."""
    demand: Mapping[str, int]
    """{resources: how many requests for them wait}."""
    coming: Sequence[str]
    """Nodes that are being launched, in words."""
    jobs: Sequence[str]
    """Submitted ones that have not ended, in words."""


def cluster_status(address: str) -> ClusterStatus:
    """Ask the dashboard at an address such as http://127.0.0.1:8265; errors as of `JobServer`."""
    server = JobServer(address)
    nodes, load = server.ask("/nodes?view=summary"), server.ask("/api/cluster_status")
    return _status(nodes["data"]["summary"], load["data"]["clusterStatus"], server.jobs())


def _status(
    nodes: Sequence[Mapping[str, Any]], load: Mapping[str, Any] | None, jobs: Sequence[Job]
) -> ClusterStatus:
    raylets = [node["raylet"] for node in nodes]
    alive = [raylet for raylet in raylets if raylet.get("state") == "ALIVE"]
    groups = (group_of(raylet["labels"], is_head=bool(raylet.get("isHeadNode"))) for raylet in alive)
    report = (load or {}).get("loadMetricsReport") or {}
    launches = (load or {}).get("autoscalerReport") or {}
    return ClusterStatus(
        nodes=Counter(groups),
        demand={_words(asked): count for asked, count in report.get("resourceDemand") or () if count},
        coming=[
            *(f"{count} new {kind}" for kind, count in (launches.get("pendingLaunches") or {}).items()),
            *(f"1 new {kind} ({state})" for _, kind, state in launches.get("pendingNodes") or ()),
        ],
        jobs=[f"{job.id} {job.state.lower()}: {masked(job.command)}" for job in jobs if not job.over],
    )


def _words(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{name}: {value:g}" for name, value in resources.items())
