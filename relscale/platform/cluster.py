"""Ray: attach to a cluster or start a local one, and stop what was started."""

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import Field, model_validator

from relscale.platform.config import Config
from relscale.platform.errors import ResourceError

CONNECT_TIMEOUT_SECONDS = 5.0


class ClusterConfig(Config):
    """Where the work runs."""

    address: str | None = None
    """Ray address ("auto", "host:6379", "ray://host:10001"); null is a local Ray, unless the
    environment variable RAY_ADDRESS names one, as it does inside a submitted job."""
    num_cpus: int | None = Field(default=None, ge=1)
    """CPUs of the local Ray; null is all of this machine. Not with an address: a cluster knows its own."""

    @model_validator(mode="after")
    def _cpus_are_local(self) -> "ClusterConfig":
        if self.address is not None and self.num_cpus is not None:
            raise ValueError("num_cpus is for a local Ray; leave it out where an address is given")
        return self


@contextlib.contextmanager
def connect(address: str | None = None, num_cpus: int | None = None) -> Iterator[None]:
    """Have Ray for the length of a block.

    A process that is connected already keeps its connection; otherwise the block attaches to `address`
    (or RAY_ADDRESS), or starts a local Ray of `num_cpus` that ends with the block.

    Raises
    ------
    ResourceError : the address is malformed, does not answer within 5 seconds, or refuses; no local Ray
        comes up.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    address = configured_address(address)
    if address is None:
        _start_local(num_cpus)
    else:
        _attach(address)
    try:
        yield
    finally:
        ray.shutdown()


def configured_address(address: str | None) -> str | None:
    """The address that counts: the given one, else RAY_ADDRESS, else None for a local Ray."""
    return address or os.environ.get("RAY_ADDRESS")


def _start_local(num_cpus: int | None) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray runs its workers at nice 15 by default, where anything else on the machine starves them.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Workers must not warn on their own output about accelerators that are absent.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=256 * 2**20,
        )
    except Exception as error:  # Ray names no kind for a node that does not come up
        reason = " ".join(str(error).split())[:200]
        raise ResourceError(
            f"no local Ray could be started ({reason}); run again when the machine is less busy."
        ) from error


def _attach(address: str) -> None:
    import ray

    check_address(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ResourceError(
            f"no Ray cluster at '{address}' ({reason}); start one with `ray start --head`, or leave the "
            "address out for a local Ray."
        ) from error


def check_address(address: str) -> None:
    """ResourceError, within 5 seconds, if nothing answers at a Ray address; "auto" is found by Ray."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ResourceError(
            f"Ray address '{address}' is not of the form host:port, ray://host:port or auto; mend it."
        )
    check_reachable(host, int(port), what=f"Ray address '{address}'")


def check_reachable(host: str, port: int, *, what: str) -> None:
    """ResourceError unless something accepts a connection within 5 seconds; `what` names it.

    Ray and MLflow themselves retry an address that is not there for minutes.
    """
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ResourceError(
            f"{what} does not answer ({error}); check the host, the port and that it is up, or leave the "
            "address out to work on this machine alone."
        ) from error


def available_cpus() -> int:
    """CPUs of the connected cluster, in whole numbers; at least 1."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def node_resources() -> dict[str, dict[str, float]]:
    """{node: what it declares} of the living nodes of the connected cluster."""
    import ray

    return {node["NodeID"]: dict(node["Resources"]) for node in ray.nodes() if node["Alive"]}


def on_each_node(
    function: Callable[..., Any], *arguments: Any, seconds: float = 30.0
) -> tuple[dict[str, Any], dict[str, str]]:
    """Call `function(*arguments)` once on each living node, beside whatever runs there.

    Returns
    -------
    {node: result}, and {node: reason} of those that failed or took more than so many seconds.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(function)
    calls = {
        node: task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        ).remote(*arguments)
        for node in node_resources()
    }
    ready, _ = ray.wait(list(calls.values()), num_returns=len(calls), timeout=seconds)
    results, failures = {}, dict.fromkeys(calls, f"no answer within {seconds:g} s")
    for node, call in calls.items():
        if call not in ready:
            continue
        try:
            results[node] = ray.get(call)
            del failures[node]
        except ray.exceptions.RayError as error:  # the function's own exceptions among them
            failures[node] = str(error).strip().splitlines()[-1]
    return results, failures
