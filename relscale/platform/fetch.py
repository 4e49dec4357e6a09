"""The results of a job on the machine that asks for them: from their store, or through the cluster."""

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from relscale.platform import bundle, package
from relscale.platform.errors import DataError, ResourceError
from relscale.platform.following import follow, outcome
from relscale.platform.jobs import Job, JobServer, next_id
from relscale.platform.remote import place

LEFT_OUT = "left out: "


def fetch(server: JobServer, job: Job, to: Path) -> tuple[list[Path], Sequence[str]]:
    """Write the reports, tables and figures of a job below `to`; their paths, and what was too large.

    A URI is read from here if that is allowed. A path is one of the cluster's, whatever this machine has
    under that name, so a job of some seconds reads it there.

    Raises
    ------
    DataError : the job writes no folder, or nothing lies there yet. ResourceError : it cannot be read.
    """
    if job.out is None:
        raise DataError(f"job '{job.id}' names no output folder, so there is nothing to fetch but its log.")
    if "://" in job.out:
        try:
            data, left_out = bundle.pack(bundle.results(place(job.out)))
            return bundle.unpack(data, to), left_out
        except ResourceError:
            pass  # the nodes may have the rights that this machine lacks
    log = _packed_there(server, job)
    named = [line.removeprefix(LEFT_OUT) for line in log.splitlines() if line.startswith(LEFT_OUT)]
    return bundle.unpack(bundle.from_text(log), to), named


def _packed_there(server: JobServer, job: Job) -> str:
    """The log of a job that prints the results."""
    assert job.out is not None
    words = [job.python, "-m", "relscale.platform.bundle", job.out]
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "package.zip"
        if job.with_code:
            package.write(package.select([], out=None, with_code=True), file)
        id = server.submit(
            shlex.join(words),
            submission_id=next_id(f"{job.id}-fetch", [known.id for known in server.jobs()]),
            package=str(file) if job.with_code else None,
            about={"command": f"fetch {job.id}"},
        )
    ended = follow(server, id, show=len)
    log = server.log(id)
    outcome(ended, log)
    return log
