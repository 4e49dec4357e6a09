"""What a cluster costs: hours of living nodes by group, times the prices that the settings state."""

import contextlib
import contextvars
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from relscale.platform import metrics, remote, storage

SPENDING = "spending.json"
"""File in an output folder: dollars, dollars_per_hour, node_hours by group; over all calls that made it."""
SECONDS_BETWEEN_LOOKS = 30.0
GROUP_LABELS = ("relscale-group", "ray.io/node-group")
"""Labels of a node that name its group: relscale's own, and the node type of Ray's autoscaler."""
HEAD, OTHER = "head", "other"
"""Groups of the head and of other nodes where no label says one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Hours of nodes, by group."""

    node_hours: Mapping[str, float] = field(default_factory=dict)

    def after(self, nodes: Mapping[str, int], hours: float) -> "Spending":
        """So much later, with so many nodes of each group alive all the while."""
        groups = {*self.node_hours, *nodes}
        return Spending(
            node_hours={g: self.node_hours.get(g, 0.0) + nodes.get(g, 0) * hours for g in sorted(groups)}
        )

    def dollars(self, prices: Mapping[str, float]) -> float:
        """At so many dollars for a node's hour; a group without a price is free."""
        return sum(prices.get(group, 0.0) * hours for group, hours in self.node_hours.items())


def group_of(labels: Mapping[str, str], *, is_head: bool) -> str:
    """The group of a node by what Ray knows of it."""
    named = next((labels[label] for label in GROUP_LABELS if labels.get(label)), None)
    return named or (HEAD if is_head else OTHER)


def living_nodes() -> Counter[str]:
    """Living nodes of the connected cluster, by group; none without one."""
    import ray

    nodes = ray.nodes() if ray.is_initialized() else []
    return Counter(
        group_of(node["Labels"], is_head="node:__internal_head__" in node["Resources"])
        for node in nodes
        if node["Alive"]
    )


@contextlib.contextmanager
def watched(
    prices: Mapping[str, float],
    folder: Path,
    *,
    look: Callable[[], Mapping[str, int]] = living_nodes,
    seconds: float = SECONDS_BETWEEN_LOOKS,
) -> Iterator[None]:
    """While the block runs, count what it costs, in `folder`/spending.json and as Ray metrics.

    A thread looks at the nodes every so many seconds. The file goes on from an earlier call's. Nothing is
    done where no group has a price.
    """
    if not prices:
        yield
        return
    ended = threading.Event()
    context = contextvars.copy_context()  # the study's name goes with it
    follow = _follow(prices, folder, look, seconds, ended)
    thread = threading.Thread(target=context.run, args=(follow,), name="relscale-spending", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _follow(
    prices: Mapping[str, float],
    folder: Path,
    look: Callable[[], Mapping[str, int]],
    seconds: float,
    ended: threading.Event,
) -> Callable[[], None]:
    started = time.monotonic()  # the nodes cost before the thread has its turn

    def follow() -> None:
        path = folder / SPENDING
        spent = Spending(node_hours=storage.read_json(path)["node_hours"] if path.is_file() else {})
        before, last = started, False
        while not last:
            last = ended.wait(seconds)
            nodes, now = look(), time.monotonic()
            later = spent.after(nodes, (now - before) / 3600)
            rate = Spending(node_hours=nodes).dollars(prices)
            metrics.count_dollars(later.dollars(prices) - spent.dollars(prices), per_hour=rate)
            spent, before = later, now
            storage.write_json(path, _record(spent, prices, rate))
        metrics.count_dollars(0, per_hour=0)
        remote.publish(path)

    return follow


def _record(spent: Spending, prices: Mapping[str, float], rate: float) -> dict[str, Any]:
    return {
        "dollars": spent.dollars(prices),
        "dollars_per_hour": rate,
        "prices": dict(prices),
        "updated": time.time(),
        **asdict(spent),
    }
