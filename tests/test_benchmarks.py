"""The scripts under benchmarks/ start, and the one that times a generating process does so without a peer."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = [
    "generation",
    "row_scaling",
    "corpus",
    "chaos",
    "cluster",
    "scale",
    "official_preprocess",
    "official_sampler",
    "official_model",
    "sampler",
    "training_speed",
    "learning",
    "store",
    "exact_training",
    "steady",
    "startup",
    "surface_recovery",
    "tracking",
]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess:
    """A script as a process, with what it printed."""
    command = [sys.executable, str(BENCHMARKS / f"{script}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_tells_how_to_run_it(script, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / f"{script}.py"), run_name="__main__")
    assert not ended.value.code
    assert f"python benchmarks/{script}.py" in capsys.readouterr().out


def test_every_seed_is_measured_and_recorded(tmp_path):
    settings = ["rows_entity=[20, 30]", "rows_activity=[40, 50]", "num_columns=[3, 3]"]
    done = run(
        "generation",
        "--tables=4",
        "--seeds=2",
        "--modes=exact",
        *(f"--set={setting}" for setting in settings),
        f"--out={tmp_path / 'record.json'}",
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "record.json").read_text())
    assert [(m["tables"], m["seed"]) for m in record["measurements"]] == [(4, 0), (4, 1)]
    assert all(m["seconds"] > 0 and m["peak_mb"] > 10 and m["cells"] > 0 for m in record["measurements"])
    assert [row["tables"] for row in record["summary"]] == [4]


def test_settings_are_refused_beside_a_peer():
    done = run("generation", f"--peer-python={sys.executable}", "--set=num_columns=[3, 3]")
    assert done.returncode == 2
    assert "leave --set out" in done.stderr


def test_a_peer_that_cannot_start_is_reported_with_its_last_words(tmp_path):
    done = run("generation", f"--peer-python={sys.executable}", "--tables=3", f"--out={tmp_path / 'r.json'}")
    assert done.returncode == 1
    assert "No module named 'plurel'" in done.stderr
