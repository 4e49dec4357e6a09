"""Ray Data: a plain function over many keys, anywhere on the cluster."""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from relscale.platform.cluster import (
    ClusterConfig,
    available_cpus,
    check_address,
    configured_address,
    connect,
)

SECONDS_PER_BLOCK = 5.0
"""Work that one Ray task should hold: starting a block costs 20-130 ms, so shorter ones waste it."""

Receipt = dict[str, Any]


def map_keys(
    function: Callable[[int], Receipt],
    keys: Sequence[int],
    *,
    num_cpus: float = 1,
    seconds_per_key: float = 1.0,
    on_done: Callable[[Receipt], None] | None = None,
) -> list[Receipt]:
    """Run `function(key)` for every key on the connected Ray and collect the receipts.

    Parameters
    ----------
    function : picklable and idempotent (a task that loses its worker runs again); does its own file
        writing and returns a small JSON-able receipt. Its exceptions end the whole job.
    keys : distinct integers.
    num_cpus : CPUs that one call uses.
    seconds_per_key : expected duration of one call, in seconds; sets how many keys share a task.
    on_done : called in this process with each receipt as it arrives, in no particular order.

    Returns
    -------
    The receipts in the order of `keys`, whatever the order of the work was.
    """
    import ray

    if not keys:
        return []
    _quieten()
    n_blocks = int(len(keys) * seconds_per_key / SECONDS_PER_BLOCK)
    n_blocks = min(len(keys), max(n_blocks, 4 * available_cpus()))

    def call(row: dict[str, Any]) -> dict[str, Any]:
        # JSON gives every receipt the same Arrow schema, whatever fields it holds.
        return {"key": row["key"], "receipt": json.dumps(function(int(row["key"])))}

    rows = ray.data.from_items([{"key": key} for key in keys], override_num_blocks=n_blocks)
    receipts: dict[int, Receipt] = {}
    for row in rows.map(call, num_cpus=num_cpus).iter_rows():
        receipt = json.loads(row["receipt"])
        receipts[int(row["key"])] = receipt
        if on_done is not None:
            on_done(receipt)
    return [receipts[key] for key in keys]


def map_keys_here(
    function: Callable[[int], Receipt],
    keys: Sequence[int],
    *,
    num_cpus: float = 1,
    seconds_per_key: float = 1.0,
    on_done: Callable[[Receipt], None] | None = None,
) -> list[Receipt]:
    """`map_keys` without Ray: one call after another in this process, for one key or a small job."""
    receipts = []
    for key in keys:
        receipts.append(function(key))
        if on_done is not None:
            on_done(receipts[-1])
    return receipts


@contextlib.contextmanager
def on_cluster(config: ClusterConfig) -> Iterator[Callable[..., list[Receipt]]]:
    """`map_keys` on a Ray that is attached or started at the first key, and left with the block.

    Work that is found done has no keys, so a rerun of a finished job starts no cluster. An address that
    does not answer is refused at once (ResourceError), before anything is written.
    """
    if address := configured_address(config.address):
        check_address(address)
    with contextlib.ExitStack() as connection:

        def run(function: Callable[[int], Receipt], keys: Sequence[int], **options: Any) -> list[Receipt]:
            if keys:
                connection.enter_context(connect(config.address, config.num_cpus))
            return map_keys(function, keys, **options)

        yield run


def _quieten() -> None:
    """Leave the terminal to relscale's own progress display."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
