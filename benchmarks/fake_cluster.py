"""A cluster on this machine: Ray's own autoscaler, whose nodes are raylets that it starts and stops here.

The node types are those of a cluster.yaml at toy sizes, so what scales here is what would scale there. Ray's
fake multi-node provider stands in for the cloud. (`ray.cluster_utils.AutoscalingCluster` cannot be used: it
needs a file that is not in the wheel, and its stop ends every Ray of the machine.)
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HEAD = "ray.head.default"
"""What Ray's fake provider calls the head's node type."""

HEAD_ID = "f" * 51 + "00000"
OBJECT_STORE_BYTES = 150 * 2**20
START_SECONDS = 120.0

NO_COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "rsync_exclude",
    "rsync_filter",
    "cluster_synced_files",
)
"""Keys that Ray's autoscaler reads without asking whether they are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeCluster:
    """A running one."""

    address: str
    environment: Mapping[str, str]
    """What a process needs to attach: the address, and the token that the cluster asks for."""
    session: int
    """The system's session that all its processes belong to, and no others."""


def toy_config(
    groups: Mapping[str, Any], *, gcs_address: str, max_nodes: int, idle_seconds: float
) -> dict[str, Any]:
    """The autoscaler's settings for the node types of a cluster.yaml, with one CPU a node.

    Parameters
    ----------
    groups : its `available_node_types` without the head.
    gcs_address : host:port of the head to be.
    max_nodes : of each group, at most.
    idle_seconds : after which a node without work goes.
    """
    types = {name: _toy_type(group, max_nodes) for name, group in groups.items()}
    return {
        "cluster_name": "rehearsal",
        "max_workers": max_nodes * len(groups),
        "upscaling_speed": 10.0,
        "idle_timeout_minutes": idle_seconds / 60,
        # The first two are not optional: nodes would stay "uninitialized", and a dead one would end the
        # autoscaler with a KeyError.
        "provider": {
            "type": "fake_multinode",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "launch_multiple": True,
            "head_node_id": HEAD_ID,
            "gcs_address": gcs_address,
        },
        "head_node_type": HEAD,
        "available_node_types": {
            HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            **types,
        },
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in NO_COMMANDS},
        "file_mounts_sync_continuously": False,
    }


def _toy_type(group: Mapping[str, Any], max_nodes: int) -> dict[str, Any]:
    # The fake provider refuses memory; a node has what the machine has, and the autoscaler learns that from
    # the first one.
    counts = {name: min(1, count) for name, count in group["resources"].items() if name != "memory"}
    return {
        "resources": {**counts, "object_store_memory": OBJECT_STORE_BYTES},
        "labels": group.get("labels", {}),
        "node_config": {},
        "min_workers": 0,
        "max_workers": min(max_nodes, group["max_workers"]),
    }


@contextlib.contextmanager
def fake_cluster(
    file: Path, folder: Path, *, max_nodes: int = 3, idle_seconds: float = 12.0
) -> Iterator[FakeCluster]:
    """Start the cluster of a cluster.yaml at toy sizes, with no node but the head; stop it with the block.

    `folder` takes Ray's sockets, whose paths may not be long, and its logs.
    """
    described = yaml.safe_load(file.read_text())
    groups = dict(described["available_node_types"])
    head = groups.pop(described["head_node_type"])
    port = free_port()
    address = f"127.0.0.1:{port}"
    config = folder / "autoscaler.yaml"
    config.write_text(
        yaml.safe_dump(
            toy_config(groups, gcs_address=address, max_nodes=max_nodes, idle_seconds=idle_seconds)
        )
    )
    access = {"RAY_ADDRESS": address, **_token(folder)}
    process = _start_head(config, folder, head["resources"], port, access)
    try:
        _wait_until_up(process, folder / "head.log")
        yield FakeCluster(address=address, environment=access, session=process.pid)
    finally:
        end_session(process.pid)
        process.wait()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def _token(folder: Path) -> dict[str, str]:
    """A secret of this cluster alone: it can be reached over the machine's own network address."""
    path = folder / "token"
    path.write_text(secrets.token_hex(32))
    path.chmod(0o600)
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}


def _start_head(
    config: Path, folder: Path, resources: Mapping[str, float], port: int, access: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    custom = {name: count for name, count in resources.items() if name not in ("CPU", "GPU")}
    options = {
        "port": port,
        "node-ip-address": "127.0.0.1",
        "num-cpus": 0,
        "resources": json.dumps(custom),
        "object-store-memory": OBJECT_STORE_BYTES,
        "temp-dir": folder / "ray",
        "include-dashboard": "false",
        "dashboard-agent-listen-port": free_port(),
        "ray-client-server-port": free_port(),
        "autoscaling-config": config,
    }
    environment = {
        **os.environ,
        **access,
        "RAY_FAKE_CLUSTER": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    with (folder / "head.log").open("w") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ray.scripts.scripts",
                "start",
                "--head",
                "--block",
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def _wait_until_up(process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while "Ray runtime started" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"no head came up; see {log}: {log.read_text()[-500:]}")
        time.sleep(0.2)


def worker_nodes(session: int) -> dict[int, str]:
    """{process of a raylet: its group} of the nodes that the autoscaler has started and that live."""
    nodes = {}
    for process in session_processes(session):
        if command_line(process).split(" ")[0].endswith("raylet/raylet"):
            environment = dict(line.partition("=")[::2] for line in _read(process, "environ"))
            if group := environment.get("RAY_NODE_TYPE_NAME"):
                nodes[process] = group
    return nodes


def command_line(process: int) -> str:
    """Of a process, which of a worker of Ray is a title; empty if it has ended."""
    return " ".join(_read(process, "cmdline"))


def _read(process: int, name: str) -> list[str]:
    try:
        return Path(f"/proc/{process}/{name}").read_text(errors="replace").split("\0")
    except OSError:  # ended meanwhile
        return []


def session_processes(session: int) -> list[int]:
    """Process ids of a session of the system, zombies left out."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        if fields[0] != "Z" and int(fields[3]) == session:
            found.append(int(status.parent.name))
    return found


def end_session(session: int) -> None:
    """SIGKILL to every process of a session, until there is none; its control store ignores SIGTERM."""
    while processes := session_processes(session):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.1)
