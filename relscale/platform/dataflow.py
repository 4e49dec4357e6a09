"""Ray Data: a plain function over many keys, anywhere on the cluster.

Each task takes 5 to 30 seconds: the first keys have a task each, and what they took says how many of the
others share one, and how much memory a task reserves. The function writes its own files and returns a small
receipt, which this process hands on at once, so its memory does not grow with the number of keys.
"""

import contextlib
import functools
import gc
import json
import logging
import math
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import relscale
from relscale.platform import errors
from relscale.platform.cluster import (
    ClusterConfig,
    check_address,
    check_version,
    configured_address,
    connect,
    same_code_on_nodes,
)
from relscale.platform.errors import ResourceError
from relscale.platform.placement import (
    Bundle,
    Cluster,
    described,
    largest_memory,
    places,
    selectors,
    sparing_gpus,
)
from relscale.platform.waiting import watchdog

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

ONE_CPU: Bundle = {"CPU": 1}
"""What every task asks for, beside memory."""

SECONDS_PER_TASK = 10.0
"""Work that one Ray task should hold: starting one costs 20-130 ms, so shorter ones waste it."""

TASKS_PER_CPU = 4
"""At least so many tasks for each CPU, if there are as many keys, so that all CPUs end about together."""

MOST_FIRST = 256
"""Keys with a task each, at most: they are to tell what the others will take."""

SECONDS_PER_PLACE = 30.0
"""Work that a CPU must find which the autoscaler is asked to start."""

MEMORY_MARGIN = 1.25
"""A task reserves so many times the largest peak that was measured."""

Receipt = dict[str, Any]
Run = Callable[[Callable[[int], Receipt], Sequence[int]], Iterator[tuple[int, Receipt]]]
"""How a function is applied to many keys: `map_keys` or its like."""


def map_keys(function: Callable[[int], Receipt], keys: Sequence[int]) -> Iterator[tuple[int, Receipt]]:
    """Run `function(key)` for every key on the connected Ray, one CPU and one BLAS thread each.

    Parameters
    ----------
    function : picklable and idempotent (a task that loses its worker runs again, as often as it takes); does
        its own file writing and returns a small JSON-able receipt. Its exceptions end the whole job; a
        RelscaleError arrives as it was raised.
    keys : distinct integers.

    Where the cluster has an autoscaler it is asked for the CPUs that the work needs, and for fewer when less
    is left. Nodes for training are left alone where there are or can be others.

    Yields
    ------
    (key, receipt) as they are done, in no particular order.

    Raises
    ------
    ResourceError : no node, living or to be started, has a CPU; or a node has another relscale, or none.
    """
    if not keys:
        return
    _quieten()
    cluster = _usable_cluster()
    cpus = places(ONE_CPU, cluster.nodes)
    n_first = min(len(keys), TASKS_PER_CPU * max(1, cpus), MOST_FIRST)
    costs = []
    for key, receipt, cost in _map_blocks(function, keys[:n_first], Layout.of(n_first, cluster)):
        costs.append(cost)
        yield key, receipt
    rest = keys[n_first:]
    if not rest:
        return
    for key, receipt, _ in _map_blocks(function, rest, Layout.for_known(costs, len(rest), _usable_cluster())):
        yield key, receipt


def map_keys_here(function: Callable[[int], Receipt], keys: Sequence[int]) -> Iterator[tuple[int, Receipt]]:
    """`map_keys` without Ray: one call after another in this process, for one key or a small job."""
    for key in keys:
        yield key, function(key)


@contextlib.contextmanager
def on_cluster(config: ClusterConfig) -> Iterator[Run]:
    """`map_keys` on a Ray that is attached or started at the first key, and left with the block.

    Work that is found done has no keys, so a rerun of a finished job starts no cluster. An address that
    does not answer is refused at once (ResourceError), before anything is written.
    """
    if address := configured_address(config.address):
        check_address(address)
    with contextlib.ExitStack() as connection:

        def run(function: Callable[[int], Receipt], keys: Sequence[int]) -> Iterator[tuple[int, Receipt]]:
            if keys:
                connection.enter_context(connect(config.address, config.num_cpus))
                yield from map_keys(function, keys)

        yield run


def peak_mb() -> float:
    """Largest resident memory of this process since it began, in MB of 2**20 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How many tasks do the work, on how many CPUs at once, and what each asks for."""

    n_tasks: int
    n_places: int
    bundle: Bundle
    cluster: Cluster
    """The nodes that may be used."""

    @classmethod
    def of(cls, n_keys: int, cluster: Cluster) -> "Layout":
        """A task for each of the first keys, of which nothing is known."""
        return cls(n_tasks=n_keys, n_places=1, bundle=ONE_CPU, cluster=cluster)

    @classmethod
    def for_known(cls, costs: Sequence[Mapping[str, float]], n_keys: int, cluster: Cluster) -> "Layout":
        """Tasks for keys that cost about what others did: seconds and peak_mb of each."""
        seconds = n_keys * statistics.median(cost["seconds"] for cost in costs)  # the first call is slow
        memory = MEMORY_MARGIN * max(cost["peak_mb"] for cost in costs) * 2**20
        largest = largest_memory(cluster)
        # More than the roomiest node has would wait for ever.
        bundle = ONE_CPU if largest is None else {**ONE_CPU, "memory": int(min(memory, largest))}
        living = places(ONE_CPU, cluster.nodes)
        wanted = min(math.ceil(seconds / SECONDS_PER_PLACE), places(bundle, cluster.possible))
        n_places = max(1, living, wanted)
        n_tasks = max(int(seconds / SECONDS_PER_TASK), TASKS_PER_CPU * n_places)
        return cls(n_tasks=min(n_tasks, n_keys), n_places=n_places, bundle=bundle, cluster=cluster)


def _usable_cluster() -> Cluster:
    """What generation may use of the connected cluster; ResourceError if that can never run a task."""
    from relscale.platform.autoscaling import read_cluster

    cluster = read_cluster()
    if not places(ONE_CPU, cluster.possible):
        raise ResourceError(
            f"tasks ask for 1 CPU each, the cluster has {cluster.sentence}; start nodes with CPUs, or start "
            "the head with --autoscaling-config."
        )
    return sparing_gpus(cluster)


def _map_blocks(
    function: Callable[[int], Receipt], keys: Sequence[int], layout: Layout
) -> Iterator[tuple[int, Receipt, dict[str, float]]]:
    """(key, receipt, what the call cost) for every key."""
    import ray

    def call(row: dict[str, Any]) -> dict[str, Any]:
        key = int(row["item"])
        # JSON gives every result the same Arrow schema, whatever fields the receipt holds.
        return {"key": key, "result": json.dumps(_call(function, key, version))}

    version = relscale.__version__
    _ask_for_nodes(layout)
    preferred, fallbacks = selectors(layout.cluster)
    # Not a range: it would be read by tasks of its own, since Ray Data does not join those with tasks that
    # have a label selector. (Nor tables: Ray Data sends a task for the schema of each, to any node.)
    rows = ray.data.from_items(list(keys), override_num_blocks=layout.n_tasks).map(
        call,
        num_cpus=layout.bundle["CPU"],
        memory=layout.bundle.get("memory"),
        # Ray's first autoscaler knows no labels: for more than that it would start nodes for training.
        concurrency=min(layout.n_tasks, places(layout.bundle, layout.cluster.possible)),
        label_selector=preferred,
        fallback_strategy=fallbacks,
    )
    with same_code_on_nodes(), watchdog(f"tasks ask for {described(layout.bundle)} each") as went_on:
        for row in rows.iter_rows():
            went_on()
            result = json.loads(row["result"])
            if error := result.get("error"):
                raise getattr(errors, error["kind"])(error["message"])
            yield int(row["key"]), result["receipt"], result["cost"]


def _ask_for_nodes(layout: Layout) -> None:
    from ray.data import DataContext

    from relscale.platform import known_work

    if layout.cluster.startable:
        known_work.ask_for(DataContext.get_current(), layout.n_places, layout.n_tasks)
    else:
        known_work.ask_for_nothing(DataContext.get_current())


def _call(function: Callable[[int], Receipt], key: int, version: str) -> dict[str, Any]:
    """The receipt or the user's error, and what it cost; on one thread, whatever OMP_NUM_THREADS is."""
    started = time.perf_counter()
    try:
        check_version(version)
        with _threads().limit(limits=1):
            result: dict[str, Any] = {"receipt": function(key)}
    except errors.RelscaleError as error:
        result = {"error": {"kind": type(error).__name__, "message": str(error)}}
    return result | {"cost": {"seconds": time.perf_counter() - started, "peak_mb": peak_mb()}}


@functools.cache
def _threads() -> "ThreadpoolController":
    """The BLAS libraries of this process, which take 3 ms to find; by now all that the work needs are loaded.

    Once for each process too: what is imported stays, so the garbage collector need not look through it.
    """
    from threadpoolctl import ThreadpoolController

    gc.freeze()
    return ThreadpoolController()


def _quieten() -> None:
    """Leave the terminal to relscale's own progress display."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # Each of its errors is raised too.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
