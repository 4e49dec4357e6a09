"""A process that generates databases on request, and the other end of its pipe.

Standard library only: the peer's own Python runs this file too.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Request = dict[str, Any]
Answer = dict[str, Any]
DatabaseT = TypeVar("DatabaseT")

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
"""Environment of a process that computes on one thread."""

HERE = Path(__file__).parent


def serve(generate: Callable[[Request], DatabaseT], size_of: Callable[[DatabaseT], dict[str, int]]) -> None:
    """Answer requests, one JSON object a line, until standard input ends.

    An answer holds `seconds` and `cpu_seconds` of `generate` alone, `peak_mb` of the process so far, and
    what `size_of` counts; or `error`, where the generator raised. What the generator prints goes to
    standard error, beside the answers.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(_measure(generate, size_of, json.loads(line))) + "\n")
        answers.flush()


def _measure(
    generate: Callable[[Request], DatabaseT],
    size_of: Callable[[DatabaseT], dict[str, int]],
    request: Request,
) -> Answer:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        database = generate(request)
    except Exception as error:  # a bad seed is a result, not the end of the benchmark
        return {"error": f"{type(error).__name__}: {error}", "peak_mb": peak_mb()}
    times = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    return {**times, "peak_mb": peak_mb(), **size_of(database)}


def peak_mb(process: int | str = "self") -> float:
    """The largest resident memory that a process has had since it began, in MB of 2**20 bytes.

    From /proc (Linux): ru_maxrss of a child starts at its parent's size.
    """
    return _status_mb(process, "VmHWM")


def resident_mb(process: int) -> float:
    """The resident memory of a process now, in MB of 2**20 bytes."""
    return _status_mb(process, "VmRSS")


def _status_mb(process: int | str, field: str) -> float:
    """A size from a process's status; ProcessLookupError once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"process {process} has ended")


class Worker:
    """A started worker; leaves with its `with` block."""

    def __init__(self, python: Path, script: str) -> None:
        """Start `script`, a file beside this one that calls `serve`, with an interpreter."""
        self._name = script
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the process)
        self._process = subprocess.Popen(
            [str(python), str(HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )

    def ask(self, request: Request) -> Answer:
        """The answer to a request; ChildProcessError with the worker's last words if it has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._log.seek(0)
            raise ChildProcessError(f"{self._name} ended: {self._log.read()[-1000:]}")
        return json.loads(line)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()  # closes its standard input, so it ends
        self._log.close()
