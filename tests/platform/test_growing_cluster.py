"""A cluster that starts with a head alone: it grows, says what it waits for, refuses what it cannot hold.

The cluster is Ray's own autoscaler with nodes on this machine; each test talks to it from a process of its
own.
"""

import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from servers import ray_folder

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))

from fake_cluster import FakeCluster, end_session, fake_cluster, free_port  # noqa: E402

pytestmark = pytest.mark.cluster

PLACES = """
import ray
from relscale.platform import waiting
from relscale.platform.cluster import connect
from relscale.platform.dataflow import map_keys

waiting.SECONDS_BETWEEN_LOOKS = 0.5
waiting.Patience.__init__.__defaults__ = (2.0,)

def place(key):
    import time
    time.sleep(1.0)
    return {"group": ray.get_runtime_context().get_node_labels()["relscale-group"]}

with connect():
    for key, receipt in map_keys(place, range(40)):
        print("KEY", key, receipt["group"], ray.cluster_resources()["CPU"])
"""

IMPOSSIBLE = """
import sys, time
from relscale.platform.cluster import connect
from relscale.sweeps.config import SweepConfig, StudyConfig
from relscale.sweeps.launch import run_trials
from relscale.sweeps.trial import TrialJob

study = StudyConfig()
job = TrialJob(
    key="k", folder="t", store="s", held_out_store="h", held_out=("d",), n_databases=1, tokens=1, seed=0,
    model=study.model, sampler=study.sampler, evaluation=study.evaluation, trial=study.trial,
    training=study.training.replace(n_threads=int(sys.argv[1])),
)
with connect():
    started = time.monotonic()
    try:
        run_trials([[job]], "tune", lambda key, line: None, SweepConfig())
    finally:
        print("SECONDS", time.monotonic() - started)
"""


@pytest.fixture(scope="module")
def growing() -> Iterator[FakeCluster]:
    """The groups of cluster.yaml, two nodes of one CPU each."""
    with ray_folder() as folder, fake_cluster(ROOT / "cluster.yaml", folder, max_nodes=2) as cluster:
        yield cluster


Done = subprocess.CompletedProcess[str]


def run(*command: str, cwd: Path | None = None, **environment: str | None) -> Done:
    """Run Python with variables set or, where None, taken away."""
    own = {name: value for name, value in (os.environ | environment).items() if value is not None}
    return subprocess.run(
        [sys.executable, *command], env=own, cwd=cwd, capture_output=True, text=True, timeout=150
    )


def test_generation_starts_its_nodes_and_says_what_it_waits_for(growing):
    done = run("-c", PLACES, **growing.environment)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("KEY")]
    assert sorted(int(key) for _, key, _, _ in lines) == list(range(40)), done.stderr[-2000:]
    assert Counter(group for _, _, group, _ in lines) == {"cpu_gen": 40}
    assert max(float(cpus) for *_, cpus in lines) == 2, "both CPU nodes, and none for training"
    (first, *_) = [line for line in done.stdout.splitlines() if line.startswith("nothing finished")]
    assert "tasks ask for 1 CPU each; the cluster has 0 CPUs and 0 GPUs on 1 node, and can start" in first


def test_a_trial_that_no_group_holds_is_refused_at_once(growing):
    done = run("-c", IMPOSSIBLE, "64", **growing.environment)
    (seconds,) = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("SECONDS")]
    assert seconds < 10
    assert "a trial needs 64 CPUs, the cluster has" in done.stderr
    assert "can start 2 cpu_gen of 1 CPU" in done.stderr


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"RAY_AUTH_MODE": None, "RAY_AUTH_TOKEN_PATH": None},
            "refuses the token that was sent, or that none was",
        ),
        ({"RAY_AUTH_TOKEN_PATH": "WRONG"}, "refuses the token that was sent, or that none was"),
        ({"RAY_AUTH_TOKEN_PATH": "/nowhere"}, "none can be read; set RAY_AUTH_TOKEN_PATH"),
    ],
    ids=["none", "wrong", "no file"],
)
def test_a_token_that_is_wrong_is_one_sentence(growing, tmp_path, environment, sentence):
    wrong = tmp_path / "token"
    wrong.write_text(secrets.token_hex(32))
    changes = {name: str(wrong) if value == "WRONG" else value for name, value in environment.items()}
    started = time.monotonic()
    done = generate(tmp_path / "corpus", growing.environment | changes)
    assert done.returncode == 2, done.stderr[-2000:]
    told = " ".join((done.stdout + done.stderr).split())
    assert sentence in told and "RAY_AUTH_TOKEN_PATH" in told
    assert wrong.read_text() not in told and "Traceback" not in told
    assert time.monotonic() - started < 30
    assert not (tmp_path / "corpus" / "databases").exists()


def generate(out: Path, environment: Mapping[str, str | None]) -> Done:
    # Not from the checkout: Ray lets workers import from the driver's working folder.
    command = ("-m", "relscale", "generate", "--out", str(out), "--num-databases", "2")
    return run(*command, cwd=out.parent, **environment)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    with ray_folder() as folder:
        yield folder


def test_a_node_without_relscale_is_one_sentence(tmp_path, short_folder):
    shadow = tmp_path / "shadow" / "relscale"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'relscale'\")\n")
    port = free_port()
    options = {
        "port": port,
        "node-ip-address": "127.0.0.1",
        "num-cpus": 1,
        "object-store-memory": 100 * 2**20,
        "temp-dir": short_folder,
        "include-dashboard": "false",
        "dashboard-agent-listen-port": free_port(),
        "ray-client-server-port": free_port(),
    }
    access = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    with (tmp_path / "head.log").open("w") as log:
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
            + [f"--{name}={value}" for name, value in options.items()],
            env=os.environ | access | {"PYTHONPATH": str(shadow.parent)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        while "Ray runtime started" not in (tmp_path / "head.log").read_text():
            assert head.poll() is None
            time.sleep(0.2)
        done = generate(tmp_path / "corpus", access | {"RAY_ADDRESS": f"127.0.0.1:{port}"})
    finally:
        end_session(head.pid)
        head.wait()
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, told[-2000:]
    assert "a node cannot run relscale's code (No module named 'relscale" in told
    assert "Traceback" not in told, told
