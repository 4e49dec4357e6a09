"""The Slurm script: what it refuses, and a job of two nodes that are this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "slurm.sh"
SCRIPTS = sorted((ROOT / "deploy").glob("*.sh"))

SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
echo localhost
"""


@pytest.fixture
def slurm(tmp_path) -> dict[str, str]:
    """The environment of a job of one node: this machine, with srun and scontrol of its own."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_"))},
        "HOME": str(tmp_path),
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_JOB_ID": str(_free_job()),
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_JOB_NODELIST": "node1",
        "SLURM_CPUS_PER_TASK": "1",
    }


def _free_job() -> int:
    """A job number whose three ports nobody uses."""
    for job in range(os.getpid() % 3000, 3000):
        try:
            for port in range(20000 + 3 * job, 20003 + 3 * job):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return 3000 * 30 + job
    raise AssertionError("no free port")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(script):
    subprocess.run(["bash", "-n", script], check=True)
    assert os.access(script, os.X_OK)


def test_a_job_without_a_command_says_so(slurm):
    ended = subprocess.run(["bash", SCRIPT], env=slurm, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "no command was given" in ended.stderr


@pytest.mark.cluster
def test_a_job_runs_its_command_on_a_cluster_of_its_own(slurm, tmp_path):
    look = (
        "import json, ray; ray.init(log_to_driver=False); "
        "print(json.dumps([[n['Labels'].get('relscale-group'), n['Resources']] for n in ray.nodes()]))"
    )
    command = tmp_path / "bin" / "relscale"
    command.write_text(
        f"#!{sys.executable}\n{look}\nprint(oct(__import__('os').stat({_token(slurm)!r}).st_mode))"
    )
    command.chmod(0o755)
    process = subprocess.Popen(
        ["bash", SCRIPT, "look"], env=slurm, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        printed, _ = process.communicate(timeout=240)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0
    nodes, mode = printed.splitlines()[-2:]
    groups = dict(json.loads(nodes))
    assert groups["head"].get("CPU", 0) == 0 and groups["head"]["trial_driver"] == 64
    assert groups["cpu_gen"]["CPU"] == 1 and groups["cpu_gen"]["cpu_spot"] == 1
    assert mode == "0o100600"
    assert not Path(_token(slurm)).parent.exists()


def _token(slurm: dict[str, str]) -> str:
    return f"{slurm['HOME']}/.relscale-slurm/{slurm['SLURM_JOB_ID']}/token"
