"""SIGKILL at random moments of a command's work on a fake cluster.

What is killed: a worker while it runs a task of Ray Data, a worker of Ray Train, the process of a trial of
Ray Tune, the raylet of a node, or the driver, after which the same command is started again. Only processes
of the cluster and of the command are touched.
"""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from fake_cluster import command_line, session_processes, worker_nodes

T = TypeVar("T")

TASK, TRAIN, TRIAL, NODE, DRIVER = "task worker", "train worker", "trial", "node", "driver"

TITLES: Mapping[str, str] = {
    TASK: "Map(",  # as in "ray::ReadRange->Map(call)"
    TRAIN: "ray::RayTrainWorker",
    TRIAL: "ray::ImplicitFunc",
}
"""What the title of a worker of Ray holds while it does such work."""

PATIENCE_SECONDS = 300.0
"""Without progress for so long a command is taken for hung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command that is to be killed on its way."""

    name: str
    start: "Callable[[], subprocess.Popen[str]]"
    """Starts it, or goes on with what it left."""
    log: Path
    """Where it writes what it prints."""
    progress: Callable[[], float]
    """The share of its work that is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill, as it is printed."""

    job: str
    victim: str
    seconds: float
    """Since the job was started first."""
    share: float
    """Of the work that was done then."""


def moments(victims: Sequence[str], rng: np.random.Generator) -> list[tuple[float, str]]:
    """A share of the work for each victim, one at random in each of as many equal parts of the first 85 %.

    The victims come in random order. Later ones would meet work that has ended while they were looked for.
    """
    parts = np.arange(len(victims)) + rng.uniform(size=len(victims))
    shares = 0.02 + 0.83 * parts / len(victims)
    return list(zip(shares.tolist(), rng.permutation(victims).tolist(), strict=True))


def under_fire(
    job: Job, planned: Iterable[tuple[float, str]], session: int, *, rng: np.random.Generator
) -> list[Kill]:
    """Run the job to its end and kill at the planned shares of its work; what was killed.

    A kill is left out if the work ends before its victim is there. Ends this process if the command fails, or
    makes no progress for `PATIENCE_SECONDS`.
    """
    kills: list[Kill] = []
    started = time.monotonic()
    process = job.start()
    for share, victim in planned:
        _wait_for(process, job, lambda share=share: job.progress() >= share)
        time.sleep(rng.uniform(0, 0.3))  # not always just behind a finished piece
        look = functools.partial(_targets, victim, process, session)
        if (targets := _wait_for(process, job, look)) is None:
            break
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(int(rng.choice(targets)), signal.SIGKILL)
            seconds = time.monotonic() - started
            kills.append(Kill(job=job.name, victim=victim, seconds=seconds, share=job.progress()))
            print(f"{job.name}: {seconds:.0f} s, {kills[-1].share:.0%} done: {victim} killed", flush=True)
        if victim == DRIVER:
            process.wait()
            process = job.start()
    _wait_for(process, job, lambda: None)
    if process.returncode:
        sys.exit(f"{job.name} ended with exit code {process.returncode}: {last_words(job.log)}")
    print(f"{job.name}: {time.monotonic() - started:.0f} s: done", flush=True)
    return kills


def _targets(victim: str, driver: "subprocess.Popen[str]", session: int) -> list[int]:
    """Process ids to choose from, at this moment."""
    if victim == DRIVER:
        return [driver.pid]
    if victim == NODE:
        return list(worker_nodes(session))
    return [process for process in session_processes(session) if TITLES[victim] in command_line(process)]


def _wait_for(process: "subprocess.Popen[str]", job: Job, look: Callable[[], T]) -> T | None:
    """What `look` finds as soon as that is something; None once the process has ended."""
    progress, moved = job.progress(), time.monotonic()
    while process.poll() is None:
        if found := look():
            return found
        if (now := job.progress()) != progress:
            progress, moved = now, time.monotonic()
        if time.monotonic() - moved > PATIENCE_SECONDS:
            process.kill()
            waited = f"{job.name} made no progress for {PATIENCE_SECONDS:g} s, at {progress:.0%}"
            sys.exit(f"{waited}: {last_words(job.log)}")
        time.sleep(0.05)
    return None


def last_words(log: Path) -> str:
    """The end of what a command has printed."""
    return log.read_text(errors="replace")[-1000:]
