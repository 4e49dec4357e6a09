"""Servers that tests and benchmarks start for themselves: PostgreSQL, MLflow over a database, a Ray head."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class Absent(Exception):
    """A server cannot be started on this machine; the message says what is missing."""


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL in a folder of its own, for the length of the block; yields its URL with the password.

    It listens on a socket in that folder alone, as the user postgres where this process is root.
    Raises Absent where the server's programs, or that user, are missing.
    """
    found = [str(path.parent) for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    path = os.pathsep.join([*found, os.environ["PATH"]])
    if shutil.which("initdb", path=path) is None:
        raise Absent("PostgreSQL's server programs are not installed (apt-get install postgresql)")
    user: dict[str, str] = {}
    if os.getuid() == 0:  # the server refuses to run as root
        try:
            account = pwd.getpwnam("postgres")
        except KeyError as error:
            raise Absent("PostgreSQL does not run as root, and there is no user postgres") from error
        user = {"user": "postgres"}
    # Not in a test's folder, which other users may not enter; and names of sockets may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        if user:
            os.chown(name, account.pw_uid, account.pw_gid)
        yield from _postgresql(Path(name), path, user)


def _postgresql(folder: Path, path: str, user: Mapping[str, str]) -> Iterator[str]:
    def run(program: str, *words: str, **options: object) -> None:
        command = [str(shutil.which(program, path=path)), "-D", str(folder / "data"), *words]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **user, **options)  # type: ignore[call-overload]

    password = secrets.token_urlsafe(16)
    file = folder / "password"
    file.write_text(password)
    run("initdb", "-U", "ann", "-A", "scram-sha-256", f"--pwfile={file}", "--no-sync")
    file.unlink()
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql://ann:{password}@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")


@dataclass(frozen=True, slots=True, kw_only=True)
class RayHead:
    """A Ray head on loopback, for drivers with `environment`, which holds its token.

    address  host:port for ray.init; dashboard, metrics  URLs; folder  of its sessions
    """

    folder: Path
    address: str
    dashboard: str
    metrics: str
    environment: Mapping[str, str]


@contextlib.contextmanager
def ray_folder() -> Iterator[Path]:
    """A folder outside a test's own: the names of Ray's sockets may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextlib.contextmanager
def ray_head(*options: str) -> Iterator[RayHead]:
    """`ray start --head` with a token, for the length of the block; further `options` are its own."""
    with ray_folder() as folder:
        yield from _ray_head(folder, options)


def _ray_head(folder: Path, options: Sequence[str]) -> Iterator[RayHead]:
    ports = _free_ports(5)
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    names = (
        "port",
        "dashboard-port",
        "dashboard-agent-listen-port",
        "ray-client-server-port",
        "metrics-export-port",
    )
    command = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
    ]
    command += ["--node-ip-address=127.0.0.1", "--num-cpus=2", f"--temp-dir={folder / 'ray'}", *options]
    command += [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
    with (folder / "ray.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not all(map(_listens, ports)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"ray does not start: {(folder / 'ray.log').read_text()[-2000:]}")
            time.sleep(0.2)
        yield RayHead(
            folder=folder / "ray",
            address=f"127.0.0.1:{ports[0]}",
            dashboard=f"http://127.0.0.1:{ports[1]}",
            metrics=f"http://127.0.0.1:{ports[4]}/metrics",
            environment=environment,
        )
    finally:
        process.terminate()  # it ends what it has started
        process.wait(60)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


class MlflowServer:
    """`mlflow server` on loopback; it can be stopped and started again at the same address."""

    def __init__(self, folder: Path, store: str | None = None) -> None:
        """`store` is the URL of its database; None is a SQLite file in `folder`, where its log lies too."""
        (port,) = _free_ports(1)
        self.uri = f"http://127.0.0.1:{port}"
        self.log = folder / "server.log"
        self._command = [str(Path(sys.executable).with_name("mlflow")), "server", "--host", "127.0.0.1"]
        self._command += ["--port", str(port), "--workers", "1"]
        self._command += ["--artifacts-destination", str(folder / "artifacts")]
        self._environment = {
            **os.environ,
            # Other users of the machine read command lines, but not environments.
            "MLFLOW_BACKEND_STORE_URI": store or f"sqlite:///{folder / 'server.db'}",
            # Without its eight helpers for jobs of language models, which take most of the start.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }

    def __enter__(self) -> "MlflowServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers; RuntimeError with its log if it does not."""
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return
            time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"mlflow server does not start: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """Kill it with its workers, as a lost machine would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def be_away(self, *, after: float, seconds: float) -> None:
        """Stop it some seconds from now, and start it again so many seconds later."""
        time.sleep(after)
        self.stop()
        time.sleep(seconds)
        self.start()
