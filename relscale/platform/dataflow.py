"""Ray Data: a plain function over many keys, anywhere on the cluster.

Each task takes 5 to 30 seconds: the first keys have a task each, and what they took says how many of the
others share one, and how much memory a task reserves. The function writes its own files and returns a small
receipt, which this process hands on at once, so its memory does not grow with the number of keys.
"""

import contextlib
import json
import logging
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from relscale.platform import errors
from relscale.platform.cluster import (
    ClusterConfig,
    available_cpus,
    check_address,
    configured_address,
    connect,
)

SECONDS_PER_TASK = 10.0
"""Work that one Ray task should hold: starting one costs 20-130 ms, so shorter ones waste it."""

TASKS_PER_CPU = 4
"""At least so many tasks for each CPU, if there are as many keys, so that all CPUs end about together."""

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

    Yields
    ------
    (key, receipt) as they are done, in no particular order.
    """
    if not keys:
        return
    _quieten()
    n_first = min(len(keys), TASKS_PER_CPU * available_cpus())
    costs = []
    for key, receipt, cost in _map_blocks(function, keys[:n_first], n_tasks=n_first):
        costs.append(cost)
        yield key, receipt
    rest = keys[n_first:]
    if not rest:
        return
    seconds = statistics.median(cost["seconds"] for cost in costs)  # the first call of a worker is slow
    n_tasks = max(int(len(rest) * seconds / SECONDS_PER_TASK), TASKS_PER_CPU * available_cpus())
    memory = min(MEMORY_MARGIN * max(cost["peak_mb"] for cost in costs) * 2**20, _largest_memory())
    for key, receipt, _ in _map_blocks(function, rest, n_tasks=min(n_tasks, len(rest)), memory=int(memory)):
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


def _map_blocks(
    function: Callable[[int], Receipt], keys: Sequence[int], *, n_tasks: int, memory: int | None = None
) -> Iterator[tuple[int, Receipt, dict[str, float]]]:
    """(key, receipt, what the call cost) for every key, the keys cut into `n_tasks` tasks."""
    import ray

    def call(row: dict[str, Any]) -> dict[str, Any]:
        key = int(keys[row["id"]])
        # JSON gives every result the same Arrow schema, whatever fields the receipt holds.
        return {"key": key, "result": json.dumps(_call(function, key))}

    rows = ray.data.range(len(keys), override_num_blocks=n_tasks).map(call, num_cpus=1, memory=memory)
    for row in rows.iter_rows():
        result = json.loads(row["result"])
        if error := result.get("error"):
            raise getattr(errors, error["kind"])(error["message"])
        yield int(row["key"]), result["receipt"], result["cost"]


def _call(function: Callable[[int], Receipt], key: int) -> dict[str, Any]:
    """The receipt or the user's error, and what it cost; on one thread, whatever OMP_NUM_THREADS is."""
    from threadpoolctl import threadpool_limits

    started = time.perf_counter()
    try:
        with threadpool_limits(limits=1):
            result: dict[str, Any] = {"receipt": function(key)}
    except errors.RelscaleError as error:
        result = {"error": {"kind": type(error).__name__, "message": str(error)}}
    return result | {"cost": {"seconds": time.perf_counter() - started, "peak_mb": peak_mb()}}


def _largest_memory() -> float:
    """Bytes that tasks may reserve on the node that has most; more would wait for ever."""
    import ray

    return max(node["Resources"].get("memory", 0.0) for node in ray.nodes() if node["Alive"])


def _quieten() -> None:
    """Leave the terminal to relscale's own progress display."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
