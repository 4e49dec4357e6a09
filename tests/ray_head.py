"""A Ray head with a token, as `ray start --head` gives one: for tests and benchmarks of submitted jobs."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A running head: the address of its dashboard, and what a process needs to submit to it."""

    address: str
    environment: dict[str, str]
    token: str


@contextlib.contextmanager
def ray_head(folder: Path, *, num_cpus: int = 2) -> Iterator[Head]:
    """Start it with all its files in `folder`, and end it with all its processes after the block.

    `folder` must be short: Ray's sockets lie in it, and their paths have a limit of 107 characters.
    """
    token = secrets.token_hex(32)
    file = folder / "auth"
    file.touch(mode=0o600)
    file.write_text(token)
    gcs, dashboard, agent, client = _free_ports(4)
    address = f"http://127.0.0.1:{dashboard}"
    binaries = Path(sys.executable).parent
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "RELSCALE_"))}
    environment = {
        **plain,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",  # of the jobs too: their `python`
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(file),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # by default 15, where anything else on the machine starves workers
    }
    command = [
        *(str(binaries / "ray"), "start", "--head", "--block", f"--num-cpus={num_cpus}"),
        *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--temp-dir={folder / 'ray'}"),
        *(f"--port={gcs}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"),
        *(f"--ray-client-server-port={client}", f"--object-store-memory={150 * 2**20}"),
    ]
    log = folder / "head.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_until_up(process, address, log)
        yield Head(
            address=address,
            environment={**environment, "RAY_API_SERVER_ADDRESS": address},
            token=token,
        )
    finally:
        _end(process.pid, file)
        process.wait()


def _end(session: int, token_file: Path) -> None:
    """SIGKILL to every process of the head and its jobs, until there is none."""
    while left := _processes(session, token_file):
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.1)


def _processes(session: int, token_file: Path) -> list[int]:
    """Process ids of the head's session, and of its jobs, which have sessions of their own."""
    found, mark = [], f"RAY_AUTH_TOKEN_PATH={token_file}\0".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            own = int(fields[3]) == session or mark in (folder / "environ").read_bytes()
            if own and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_until_up(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api/version", timeout=5).close()
        except urllib.error.HTTPError:
            return  # it answers, and asks for the token
        except OSError:
            time.sleep(0.2)
            continue
        raise RuntimeError(f"{address} answers without a token")
    raise RuntimeError(f"no head came up: {log.read_text()[-1000:]}")
