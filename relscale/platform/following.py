"""The log of a job while it grows, and how the job ended."""

import time
from collections.abc import Callable

from relscale.platform.errors import ResourceError
from relscale.platform.jobs import AwayError, Job, JobServer
from relscale.platform.masking import masked

AWAY_SECONDS = 600.0
"""So long a cluster that does not answer is asked again."""
PENDING_SECONDS = 15.0


def follow(server: JobServer, id: str, show: Callable[[str], object]) -> Job:
    """Show a job's log as it grows, until it has ended; the ended job.

    A connection that is lost is tried again for `AWAY_SECONDS`, and the log goes on where it was.

    Raises
    ------
    DataError : there is no such job. ResourceError : the cluster stays away.
    """
    n_shown, began, away_since, told = 0, time.monotonic(), None, False
    while True:
        try:
            job = server.job(id)  # before its log, so that the log of an ended job is whole
            log = server.log(id)
        except AwayError:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > AWAY_SECONDS:
                raise
            time.sleep(5)
            continue
        away_since = None
        if len(log) > n_shown:
            show(log[n_shown:])
            n_shown = len(log)
        if job.over:
            return job
        waited = time.monotonic() - began
        if job.state == "PENDING" and waited > PENDING_SECONDS and not told:
            show(f"waiting: {job.message} Ray gives a job 15 minutes to start.\n")
            told = True
        time.sleep(1 if waited < 60 else 3)


def outcome(job: Job, log: str) -> None:
    """ResourceError with the end of the log unless an ended job has succeeded."""
    if job.state == "SUCCEEDED":
        return
    if job.state == "STOPPED":
        raise ResourceError(
            f"job '{job.id}' was stopped; submit its command again to go on where it stopped."
        )
    lines = [line for line in log.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else job.message
    if "No module named relscale" in last or "No module named 'relscale'" in last:
        last = "the cluster has no relscale; install it there, or submit with --with-code"
    code = "" if job.exit_code is None else f" with exit code {job.exit_code}"
    raise ResourceError(f"job '{job.id}' failed{code}: {masked(last)[:500]}")
