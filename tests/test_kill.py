"""A study killed with SIGKILL in the middle of its grid ends, when run again, as if it had not been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from relscale.sweeps.study import run_study

pytestmark = [pytest.mark.ray, pytest.mark.cluster]


def results_in(folder: Path) -> dict[str, int]:
    """Finished trials with the time of their result."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("trials/*/result.json")}


def test_a_killed_study_ends_as_an_unbroken_one(tiny_study, tiny, tmp_path):
    unbroken = tiny_study[1].results
    (tmp_path / "study.yaml").write_text(tiny().to_yaml())
    folder = tmp_path / "out"
    arguments = ["sweep", "--config", str(tmp_path / "study.yaml"), "--out", str(folder)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "relscale.cli", *arguments],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        )
        deadline = time.monotonic() + 180
        while len(results_in(folder)) < 2:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, "no trial has finished"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = results_in(folder)
    assert 2 <= len(before) < len(unbroken), "killed too late to show anything"
    again = run_study(tiny(), folder)
    assert again.n_trials_run == len(unbroken) - len(before)
    assert before.items() <= results_in(folder).items(), "finished trials stay as they are"
    same = ["n_databases", "tokens", "seed", "loss", "status", "key"]
    pd.testing.assert_frame_equal(again.results[same], unbroken[same])
