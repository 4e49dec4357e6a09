"""Ray: attach to a cluster or start a local one, and stop what was started."""

import contextlib
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydantic import Field, model_validator

import relscale
from relscale.platform.config import Config
from relscale.platform.errors import ResourceError

CONNECT_TIMEOUT_SECONDS = 5.0

CALL = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""A call that any cluster answers to whoever has its token."""

VERSIONS = re.compile(r"Ray: (\S+)\s+Python: (\S+)")
"""In Ray's account of a mismatch: of the cluster, then of this process."""

MISSING_CODE = re.compile(
    r"No module named 'relscale[\w.]*'"
    r"|cannot import name '\w+' from 'relscale[\w.]*'"
    r"|module 'relscale[\w.]*' has no attribute '\w+'"
)
"""What Python says where relscale is absent or another one."""


class ClusterConfig(Config):
    """Where the work runs."""

    address: str | None = None
    """Ray address ("auto", "host:6379", "ray://host:10001"); null is a local Ray, unless the
    environment variable RAY_ADDRESS names one, as it does inside a submitted job."""
    num_cpus: int | None = Field(default=None, ge=1)
    """CPUs of the local Ray; null is all of this machine. Not with an address: a cluster knows its own."""
    dollars_per_hour: dict[str, float] = Field(default={})
    """Price of a node by its group, such as {head: 0.2, cpu_gen: 0.5, gpu_train: 1.2}; what a study costs is
    estimated from it. A group without one is free."""

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
        if versions := VERSIONS.findall(str(error)):
            raise ResourceError(_versions_sentence(address, versions)) from error
        reason = " ".join(str(error).split())[:200]
        raise ResourceError(
            f"no Ray cluster at '{address}' ({reason}); start one with `ray start --head`, or leave the "
            "address out for a local Ray."
        ) from error


def _versions_sentence(address: str, versions: Sequence[tuple[str, str]]) -> str:
    (ray, python), *here = versions
    own = "".join(f", here is Ray {ray} on Python {python}" for ray, python in here)
    return f"the cluster at '{address}' runs Ray {ray} on Python {python}{own}; install the same on both."


def check_address(address: str) -> None:
    """ResourceError, within 5 seconds, if nothing answers at a Ray address or it refuses the token.

    "auto" is found by Ray.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ResourceError(
            f"Ray address '{address}' is not of the form host:port, ray://host:port or auto; mend it."
        )
    check_reachable(host, int(port), what=f"Ray address '{address}'")
    if not address.startswith("ray://"):
        _check_token(address)


def _check_token(address: str) -> None:
    """One call to the cluster's control store; Ray itself would repeat it for 20 seconds and not say why."""
    import grpc  # type: ignore[import-untyped]
    from ray._private.grpc_utils import init_grpc_channel
    from ray.exceptions import AuthenticationError

    try:
        with init_grpc_channel(address) as channel:
            channel.unary_unary(CALL)(b"", timeout=CONNECT_TIMEOUT_SECONDS)
    except AuthenticationError as error:
        raise ResourceError(
            "RAY_AUTH_MODE=token needs the cluster's token, and none can be read; set RAY_AUTH_TOKEN_PATH to "
            "a file that holds it."
        ) from error
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            raise ResourceError(
                f"the cluster at '{address}' refuses the token that was sent, or that none was; set "
                "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a file that holds the cluster's token."
            ) from error


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


def check_version(version: str) -> None:
    """ResourceError if this process, on some node, has another relscale than `version`."""
    if relscale.__version__ != version:
        raise ResourceError(
            f"node {socket.gethostname()} has relscale {relscale.__version__}, the command runs {version}; "
            "install the same on every node."
        )


@contextlib.contextmanager
def same_code_on_nodes() -> Iterator[None]:
    """Turn Ray's account of a node without relscale, or with one that lacks a part, into a ResourceError."""
    try:
        yield
    except Exception as error:  # Ray wraps the cause in several kinds
        if missing := MISSING_CODE.search(str(error)):
            raise ResourceError(lacks_code(missing[0])) from error
        raise


def lacks_code(reason: str) -> str:
    """That a node has no relscale, or another one; `reason` is what Python said there."""
    return (
        f"a node cannot run relscale's code ({reason}); install relscale {relscale.__version__} on every "
        "node (`relscale doctor` checks them)."
    )


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
