"""The rehearsed cluster: its toy sizes, its log as a table, its victims; and a short one with kills."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules of benchmarks/ and deploy/ can be imported, and are forgotten after the test."""
    before = set(sys.modules)
    for folder in ("benchmarks", "deploy"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    yield
    for name in set(sys.modules) - before:
        if (file := getattr(sys.modules[name], "__file__", None)) and Path(file).parent.parent == ROOT:
            del sys.modules[name]


@pytest.fixture
def fake_cluster(scripts: None) -> ModuleType:
    import fake_cluster

    return fake_cluster


@pytest.fixture
def kills(scripts: None) -> ModuleType:
    import kills

    return kills


@pytest.fixture
def rehearse(scripts: None) -> ModuleType:
    import rehearse

    return rehearse


def test_toy_nodes_are_those_of_the_cluster_file(fake_cluster: ModuleType) -> None:
    groups = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    del groups["head"]
    toy = fake_cluster.toy_config(groups, gcs_address="127.0.0.1:1", max_nodes=3, idle_seconds=12)
    types = toy["available_node_types"]
    assert set(types) == {fake_cluster.HEAD, "cpu_gen", "gpu_train"}
    assert types[fake_cluster.HEAD]["resources"] == {"CPU": 0}
    for name, group in groups.items():
        assert {*types[name]["resources"], "memory"} == {*group["resources"], "object_store_memory"}
        assert types[name]["resources"]["CPU"] == 1
        assert types[name]["labels"] == group["labels"]
        assert (types[name]["min_workers"], types[name]["max_workers"]) == (0, 3)
    assert toy["idle_timeout_minutes"] == pytest.approx(0.2)


def test_moments_are_spread_over_the_work(kills: ModuleType) -> None:
    victims = [kills.TASK] * 6 + [kills.NODE] * 2 + [kills.DRIVER] * 2
    planned = kills.moments(victims, np.random.default_rng(0))
    assert sorted(victim for _, victim in planned) == sorted(victims)
    assert [victim for _, victim in planned] != victims, "in random order"
    for place, (share, _) in enumerate(planned):
        assert 0.02 + 0.083 * place <= share <= 0.02 + 0.083 * (place + 1)
    assert planned == kills.moments(victims, np.random.default_rng(0))


def test_a_job_is_started_again_after_its_driver_was_killed(kills: ModuleType, tmp_path: Path) -> None:
    done = tmp_path / "done"
    program = "import sys, time\nfor _ in range(20):\n open(sys.argv[1], 'a').write('x')\n time.sleep(0.1)"
    started = []

    def start() -> subprocess.Popen[str]:
        started.append(subprocess.Popen([sys.executable, "-c", program, str(done)], text=True))
        return started[-1]

    def progress() -> float:
        return min(1.0, done.stat().st_size / 20) if done.exists() else 0.0

    job = kills.Job(name="count", start=start, log=tmp_path / "log", progress=progress)
    hits = kills.under_fire(job, [(0.2, kills.DRIVER)], -1, rng=np.random.default_rng(0))
    assert [(kill.job, kill.victim) for kill in hits] == [("count", kills.DRIVER)]
    assert [process.returncode for process in started] == [-9, 0]


@pytest.fixture
def log(rehearse: ModuleType) -> tuple[list, list]:
    """What a rehearsal saw: two nodes come, one is killed, another comes, both go."""
    counts = [(1, 0, 0), (2, 1, 0), (3, 2, 5), (4, 2, 9), (5, 1, 9), (6, 2, 12), (7, 0, 20)]
    looks = [
        rehearse.Look(seconds=s, nodes={"cpu_gen": n} if n else {}, databases=done) for s, n, done in counts
    ]
    return looks, [rehearse.Kill(job="generate", victim="node", seconds=4.5, share=0.45)]


def test_the_table_tells_when_nodes_came_and_went(rehearse: ModuleType, log: tuple) -> None:
    headings, rows = rehearse.table(*log)
    assert headings == ["seconds", "cpu_gen", "databases", ""]
    assert rows == [
        ["1", "0", "0", ""],
        ["2", "1", "0", ""],
        ["3", "2", "5", ""],
        ["4", "", "", "node killed"],
        ["5", "1", "9", ""],
        ["6", "2", "12", ""],
        ["7", "0", "20", ""],
    ]


def test_what_a_rehearsal_must_show(rehearse: ModuleType, log: tuple) -> None:
    looks, hits = log
    assert rehearse.failures(looks, hits, 1, 0) == []
    assert rehearse.failures(looks, hits, 2, 0) == ["only 1 of 2 kills hit; ask for more --databases"]
    assert rehearse.failures(looks[:-1], hits, 1, 3) == ["nodes stayed: {'cpu_gen': 2}", "3 differences"]
    assert rehearse.failures(looks[:1], hits, 1, 0) == ["no node was ever added"]


def test_the_figure_marks_the_kills(rehearse: ModuleType, log: tuple) -> None:
    above, below = rehearse.draw(*log).axes
    assert [text.get_text().strip() for text in above.texts] == ["node killed"]
    assert below.lines[0].get_ydata()[-1] == 20


def run(script: str, *arguments: object) -> str:
    """What a script printed; it must end well."""
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.cluster
def test_a_rehearsal_that_loses_a_node(tmp_path: Path) -> None:
    files = {name: tmp_path / f"rehearsal.{name}" for name in ("svg", "json")}
    run(
        "deploy/rehearse.py",
        "--databases=40",
        "--kill=node",
        f"--figure={files['svg']}",
        f"--log={files['json']}",
    )
    log = json.loads(files["json"].read_text())
    looks = log["measurements"]
    assert [kill["victim"] for kill in log["kills"]] == ["node"]
    assert not looks[0]["nodes"] and not looks[-1]["nodes"], "from no node to no node"
    assert max(look["nodes"].get("cpu_gen", 0) for look in looks) >= 1
    assert not any(look["nodes"].get("gpu_train") for look in looks), "no GPU is woken for databases"
    assert looks[-1]["databases"] == 40
    assert "</svg>" in files["svg"].read_text()


@pytest.mark.cluster
def test_chaos_in_short(tmp_path: Path) -> None:
    printed = run(
        "benchmarks/chaos.py",
        "--generate=3",
        "--databases=150",  # so many that two nodes work on them
        "--pretrain=0",
        "--sweep=0",
        f"--out={tmp_path / 'chaos.json'}",
    )
    assert "identical" in printed
    victims = [kill["victim"] for kill in json.loads((tmp_path / "chaos.json").read_text())["measurements"]]
    assert sorted(victims) == ["driver", "node", "task worker"]
