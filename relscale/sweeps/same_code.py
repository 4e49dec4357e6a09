"""Trials of an earlier code version, taken over only after one of them has given the same numbers again.

A trial's address holds the code's fingerprint, so that numbers of two versions never mix. Most changes of
the code move no number, though, and a study of days should not be run again for them.
"""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from relscale.platform import storage
from relscale.platform.cluster import ClusterConfig, connect
from relscale.platform.errors import ConfigError
from relscale.platform.progress import console
from relscale.sweeps.config import SweepConfig
from relscale.sweeps.launch import run_trials
from relscale.sweeps.trial import TrialJob, code_fingerprint, finished

RTOL = 1e-5
"""Another type of CPU rounds otherwise; a changed method moves a loss far more."""


def trial_code(sweep: SweepConfig) -> str:
    """The code fingerprint in the trials' addresses: this code's, or the one that `sweep.code` states."""
    return sweep.code or code_fingerprint()


def check_same_code(jobs: Sequence[TrialJob], out: Path, sweep: SweepConfig, cluster: ClusterConfig) -> None:
    """Run the shortest finished trial of `sweep.code` again with this code; once for each code.

    Raises
    ------
    ConfigError : its losses differ by more than `RTOL`; there is no finished trial; or none that can be run
        alone, since all are branches of longer runs.
    """
    own = code_fingerprint()
    if sweep.code in (None, own):
        return
    known = [job for job in jobs if finished(job.folder) is not None and job.shorter is None]
    if not known:
        raise ConfigError(
            f"sweep.code is {sweep.code}, but '{out}' holds no finished trial of that code; unset it."
        )
    job = min(known, key=lambda job: (job.tokens, job.n_databases, job.seed))
    with storage.unless_current(out / "same-code.json", {"code": sweep.code, "own": own}, []) as must_run:
        if must_run:
            console.print(f"sweep.code: one trial of code {sweep.code} again with this code, {own}")
            _compare(job, out / "same-code", sweep, cluster)


def _compare(job: TrialJob, folder: Path, sweep: SweepConfig, cluster: ClusterConfig) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    again = job.replace(folder=folder.resolve() / "trial")
    with connect(cluster.address, cluster.num_cpus):
        failures = run_trials([[again]], folder.resolve() / "tune", lambda key, line: None, sweep)
    before, now = finished(job.folder), finished(again.folder)
    shutil.rmtree(folder)
    assert before is not None
    if now is None:
        reason = failures.get(job.key, "it left no result")
        raise ConfigError(
            f"the trial {job.key} of code {sweep.code} fails with this code ({reason}); unset sweep.code to "
            f"run the study anew."
        )
    for name, loss in before["per_database"].items():
        if not math.isclose(now["per_database"][name], loss, rel_tol=RTOL):
            raise ConfigError(
                f"the trial {job.key} of code {sweep.code} lost {loss:.6f} on database '{name}', and "
                f"{now['per_database'][name]:.6f} with this code; unset sweep.code to run the study anew."
            )
