"""A study on an object store that fails and delays, from nodes that keep nothing, equals one on the disk."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import TINY
from object_store import BUCKET, Store, serving

from relscale.platform import image, objects, remote
from relscale.platform.config import parse_config
from relscale.sweeps.config import StudyConfig

pytestmark = pytest.mark.cluster

URI = f"s3://{BUCKET}/study"
GRID = {"grid": {"n_databases": [1, 3], "tokens": [256, 1024]}, "cluster": {"num_cpus": 2}}
FAULTS = ("500", "503", "cut", "slow")


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with serving() as server:
        yield server


@pytest.fixture
def node(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this node keeps its mirror; commands are run here by `relscale`."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    monkeypatch.setenv(image.ENVIRONMENT, str(tmp_path / "node"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    objects._reached.cache_clear()
    store.fault = lambda number, method, path: None
    config = parse_config(StudyConfig, {**TINY, **GRID}, source="the test")
    (tmp_path / "study.yaml").write_text(config.to_yaml())
    return tmp_path / "node"


def start(node: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "relscale.cli", *arguments, "--config", str(node.parent / "study.yaml")]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def relscale(node: Path, *arguments: str) -> str:
    """Run a command, after which the node is gone: nothing survives but the bucket."""
    process = start(node, *arguments)
    shown, _ = process.communicate(timeout=600)
    assert process.returncode == 0, shown
    assert "the-secret" not in shown
    shutil.rmtree(node, ignore_errors=True)
    return " ".join(shown.split())


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and theirs."""
    texts = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    found = [int(child) for text in texts for child in text.split()]
    return [*found, *(below for child in found for below in descendants(child))]


def kill(process: "subprocess.Popen[str]") -> None:
    """SIGKILL to the command and all that it has started: Ray's workers would first end what they do."""
    for pid in [*descendants(process.pid), process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def stored(store: Store, name: str) -> Any:
    return json.loads(store.bytes_of(f"study/{name}"))


def losses(lines: str) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in map(json.loads, lines.splitlines())]


def test_a_study_on_a_store_that_fails_equals_one_on_the_disk(
    store: Store, node: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    relscale(node, "sweep", "--out", str(disk))
    number = itertools.count()
    # One request of 17 fails, in one of four ways.
    store.fault = lambda *_: FAULTS[(n // 17) % 4] if (n := next(number)) % 17 == 16 else None
    shown = relscale(node, "sweep", "--out", URI)
    assert f"report {URI}/report.html" in shown
    assert set(store.faults) == set(FAULTS)

    assert stored(store, "corpus/corpus.json") == json.loads((disk / "corpus" / "corpus.json").read_text())
    assert stored(store, "corpus-store/store.json") == json.loads(
        (disk / "corpus-store/store.json").read_text()
    )
    results = remote.place(f"{URI}/results.csv")
    assert remote.stage_file(results)
    same = ["n_databases", "tokens", "seed", "loss", "status", "key"]
    tables = [pd.read_csv(path)[same] for path in (results, disk / "results.csv")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert (tables[0]["status"] == "ok").all() and len(tables[0]) == 4

    # Run again, a finished study trains nothing and sends no results again.
    store.fault = lambda *_: None
    before = {name: store.bytes_of(name) for name in store.objects("study/trials")}
    store.requests.clear()
    relscale(node, "sweep", "--out", URI)
    assert {name: store.bytes_of(name) for name in store.objects("study/trials")} == before
    sent = [path for method, path, _ in store.requests if method == "PUT"]
    assert not [path for path in sent if "/trials/" in path or "/databases/" in path or "results" in path]


def test_a_killed_generation_leaves_only_whole_databases_and_goes_on_elsewhere(
    store: Store, node: Path, tmp_path: Path
) -> None:
    out = f"{URI}/killed"
    relscale(node, "generate", "-n", "24", "--out", str(tmp_path / "disk"))
    # One of a database's objects takes its time, so that the kill falls between the others and the record.
    store.fault = lambda number, method, path: (
        time.sleep(1.5) if path.endswith("db/table_1.parquet") else None
    )
    process = start(node, "generate", "-n", "24", "--out", out)
    while True:
        sent = store.objects("study/killed/databases")
        n_begun = len({name.split("/")[3] for name in sent})
        if 3 <= sum(name.endswith(f"/{remote.RECORD}") for name in sent) < n_begun:
            break
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        time.sleep(0.02)
    kill(process)
    store.fault = lambda *_: None
    begun = remote.names(remote.place(f"{out}/databases"))
    folders = [remote.place(f"{out}/databases/{name}") for name in begun]
    whole = [folder for folder in folders if remote.committed(folder)]
    assert 3 <= len(whole) < len(begun) < 24, "killed when there was nothing half sent"
    shutil.rmtree(node)
    assert all(map(remote.stage, whole)), "what counts as whole has all its bytes"
    shutil.rmtree(node)
    store.requests.clear()
    relscale(node, "generate", "-n", "24", "--out", out)
    again = {path for method, path, _ in store.requests if method == "PUT"}
    assert not [folder for folder in whole if any(f"/{folder.name}/" in path for path in again)]
    assert stored(store, "killed/corpus.json") == json.loads((tmp_path / "disk/corpus.json").read_text())


def test_a_run_goes_on_on_another_node_when_its_own_is_gone(store: Store, node: Path, tmp_path: Path) -> None:
    shown = relscale(node, "generate", "-n", "1", "--out", f"{URI}/one")
    assert f"under {URI}/one/databases" in shown
    relscale(node, "tokenize", "--corpus", f"{URI}/one", "--out", f"{URI}/one-store")
    run = ("pretrain", "--store", f"{URI}/one-store", "--tokens", "8192", "--out")
    assert f"checkpoint {URI}/unbroken/final" in relscale(node, *run, f"{URI}/unbroken")
    process = start(node, *run, f"{URI}/broken")
    while not any(
        f"step-{step:09d}/{remote.RECORD}" in name
        for name in store.objects("study/broken/checkpoints")
        for step in range(10, 64)
    ):
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        time.sleep(0.01)
    kill(process)
    assert not store.objects("study/broken/final"), "killed too late to show anything"
    shutil.rmtree(node)
    steps = remote.names(remote.place(f"{URI}/broken/checkpoints"))
    store.requests.clear()
    relscale(node, *run, f"{URI}/broken")
    read = {
        path
        for method, path, _ in store.requests
        if method == "GET" and path.endswith("training.safetensors")
    }
    assert len(read) == 1 and read.pop().split("/")[-2] in steps
    ends = [losses(store.bytes_of(f"study/{name}/metrics.jsonl").decode()) for name in ("broken", "unbroken")]
    assert ends[0] == ends[1] and ends[0][-1][0] == 64
    weights = [store.bytes_of(f"study/{name}/final/model.safetensors") for name in ("broken", "unbroken")]
    assert weights[0] == weights[1]
    assert not [name for name in store.objects("study/broken/checkpoints") if not name.endswith("/")]
