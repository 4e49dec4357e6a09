"""Metrics: silent without Ray, at Ray's endpoint with it, and in the dashboard under the right names."""

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from servers import RayHead, ray_head

from relscale.platform import metrics
from relscale.platform.dashboard import cluster_status
from relscale.platform.errors import ResourceError
from relscale.platform.metrics import SERIES

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "relscale.json"
NAME = re.compile(r"\bray_[a-z_]+\b")


def drawn() -> set[str]:
    """Metrics that the dashboard's queries name."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return {name for query in queries for name in NAME.findall(query)}


def test_nothing_is_counted_without_ray(monkeypatch):
    asked = []
    monkeypatch.setattr(metrics, "_metric", asked.append)
    for ray in ({}, {"ray": type("Ray", (), {"is_initialized": staticmethod(lambda: False)})}):
        monkeypatch.delitem(sys.modules, "ray", raising=False)
        for name, module in ray.items():
            monkeypatch.setitem(sys.modules, name, module)
        metrics.count_database(admitted=True)
        metrics.count_tokens(5)
        metrics.show_trials({"done": 1})
        metrics.count_dollars(1.0, per_hour=2.0)
    assert asked == []


def test_what_is_counted_carries_its_study(monkeypatch):
    calls = []

    class Recorder:
        def __init__(self, name: str) -> None:
            self.name = name

        def inc(self, amount: float, tags: dict[str, str]) -> None:
            calls.append((self.name, amount, tags))

        set = inc

    monkeypatch.setattr(metrics, "_metric", Recorder)
    monkeypatch.setattr(metrics, "_connected", lambda: True)
    with metrics.of_study("demo"):
        metrics.count_database(admitted=False)
        metrics.count_tokens(0)
        metrics.show_trials({"done": 3})
    metrics.count_tokens(8)
    states = [("relscale_trials", 3 * (s == "done"), {"study": "demo", "state": s}) for s in metrics.STATES]
    assert calls == [
        ("relscale_databases_total", 1, {"study": "demo", "outcome": "refused"}),
        *states,
        ("relscale_tokens_total", 8, {"study": "none"}),
    ]


def test_the_dashboard_draws_every_metric_of_relscale():
    model = json.loads(DASHBOARD.read_text())
    own = {name.removeprefix("ray_") for name in drawn() if name.startswith("ray_relscale_")}
    assert own == set(SERIES)
    ids = [panel["id"] for panel in model["panels"]]
    assert len(set(ids)) == len(ids) and model["schemaVersion"] >= 39
    variables = {variable["name"] for variable in model["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]+)\}?", DASHBOARD.read_text())) <= variables
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == ["/tmp/ray/prom_metrics_service_discovery.json"]


@pytest.mark.cluster
def test_a_sweep_appears_where_prometheus_reads(tiny, tmp_path):
    """A small sweep as a driver of its own, on a Ray that asks for a token."""
    study = tiny(name="watched", grid={"n_databases": [1, 2], "tokens": [256, 512]})
    (tmp_path / "study.yaml").write_text(study.to_yaml())
    with ray_head("--labels=relscale-group=cpu_gen") as head:
        command = [sys.executable, "-m", "relscale.cli", "sweep", "--config", str(tmp_path / "study.yaml")]
        command += ["--out", str(tmp_path / "out"), "--set", f"cluster.address={head.address}"]
        command += ["--set", "cluster.dollars_per_hour={cpu_gen: 0.5}"]
        found = scraped_during(command, head)
        dollars = json.loads((tmp_path / "out" / "spending.json").read_text())["dollars"]
        # Ray sends what a driver counts every few seconds, so the last of it may be lost with the driver.
        assert value_of(found, "relscale_databases_total", outcome="done") == 2 + 2
        assert 0 < value_of(found, "relscale_tokens_total") <= 2 * (256 + 512)
        assert 0 < value_of(found, "relscale_dollars_total") <= dollars * (1 + 1e-9)
        assert all(0 <= value_of(found, "relscale_trials", state=state) <= 4 for state in metrics.STATES)
        exported = {series.split("{")[0] for series in found}
        assert drawn() - exported == {"ray_node_gpus_utilization"}, "what needs a GPU"
        listed = json.loads((head.folder / "prom_metrics_service_discovery.json").read_text())
        assert any(
            target.endswith(head.metrics.split(":")[2].split("/")[0]) for target in listed[0]["targets"]
        )
        assert_status(tmp_path / "out", head)


def scraped_during(command: list[str], head: RayHead) -> dict[str, float]:
    """{series: last value} of what Prometheus would have read while a driver runs, and 10 s longer."""
    found: dict[str, float] = {}
    driver = subprocess.Popen(command, env=head.environment, stdout=subprocess.DEVNULL)
    ended = None
    while ended is None or time.monotonic() - ended < 10:
        with contextlib.suppress(OSError):  # of an agent that is busy
            text = urllib.request.urlopen(head.metrics, timeout=10).read().decode()
            lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
            found |= {series: float(value) for series, value in lines}
        time.sleep(1)
        if ended is None and driver.poll() is not None:
            ended = time.monotonic()
    assert driver.returncode == 0
    return found


def value_of(found: dict[str, float], name: str, **tags: str) -> float:
    wanted = [f'{tag}="{value}"' for tag, value in {"study": "watched", **tags}.items()]
    (series,) = [x for x in found if x.startswith(f"ray_{name}{{") and all(tag in x for tag in wanted)]
    return found[series]


def assert_status(folder: Path, head: RayHead) -> None:
    """The dashboard tells of nodes and jobs to who has the token; the others are told why not."""
    command = [sys.executable, "-m", "relscale.cli", "status", str(folder), "--address", head.dashboard]
    asked = {"capture_output": True, "text": True, "timeout": 120}
    told = subprocess.run(command, env=head.environment, **asked)
    assert "4 of 4 done" in told.stdout and "1 cpu_gen" in told.stdout, told.stderr
    wrong = {**head.environment, "RAY_AUTH_TOKEN": "0" * 64}
    refused = subprocess.run(command, env=wrong, **asked)
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    assert "refuses the token" in refused.stderr and "0" * 64 not in refused.stderr
    with pytest.raises(ResourceError, match="does not answer"):
        cluster_status("http://127.0.0.1:1")
