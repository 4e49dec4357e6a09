"""The documents tell the truth: their commands run, their links lead somewhere."""

import ast
import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from relscale.cli import app, main

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_in(document: Path) -> list[str]:
    """The lines of a document's bash blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", document.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def tour(tmp_path, monkeypatch) -> Path:
    """An empty folder with the study files and a results table where the documents have them."""
    for folder in ("configs", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "shop.sql").symlink_to(ROOT / "docs" / "examples" / "shop.sql")
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    rows = [f"{n},{s},0,{0.4 + 0.1 / n + 1e4 / s}" for n in (2, 4, 8) for s in (65536, 131072, 262144)]
    table = "\n".join(["n_databases,tokens,seed,loss", *rows])
    (tmp_path / "runs" / "demo" / "results.csv").write_text(table)
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "other" / "results.csv").write_text(table.replace(",0.", ",0.0"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    return tmp_path


def run_commands(document: Path, monkeypatch: pytest.MonkeyPatch, *, at_least: int = 4) -> None:
    """Run a document's commands of relscale one after the other; each must end well."""
    commands = [command for command in commands_in(document) if command.startswith("relscale ")]
    assert len(commands) >= at_least
    for command in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(os.path.expandvars(command)))
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, command


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_looking_at_databases_runs_as_written(tour, monkeypatch):
    run_commands(ROOT / "docs" / "inspect.md", monkeypatch)
    pages = sorted(path.parent.name for path in (tour / "runs").rglob("inspection.html"))
    assert pages == ["compared", "page", "plurel-0"]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_generating_databases_runs_as_written(tour, monkeypatch):
    run_commands(ROOT / "docs" / "generation.md", monkeypatch)
    made = tour / "runs" / "made"
    counts = {path.name: len(list((path / "databases").iterdir())) for path in made.iterdir()}
    assert counts == {"corpus": 6, "independent": 2, "paper": 2, "shop": 2}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_the_prior_of_events_runs_as_written(tour, monkeypatch):
    run_commands(ROOT / "docs" / "prior.md", monkeypatch)
    made = tour / "runs" / "events"
    assert len(list((made / "corpus" / "databases").iterdir())) == 2
    assert "What the past tells" in (made / "page" / "inspection.html").read_text()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_the_tour_of_the_pipeline_runs_as_written(tour, monkeypatch):
    run_commands(ROOT / "docs" / "pipeline.md", monkeypatch)
    made = tour / "runs" / "tour"
    assert len(list((made / "corpus" / "databases").iterdir())) == 4
    assert (made / "run" / "final" / "model.safetensors").is_file()
    assert (made / "fit" / "report.html").is_file()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_storage_by_uri_runs_as_written(tour, monkeypatch):
    monkeypatch.setenv("RELSCALE_MIRROR", str(tour / "node"))
    run_commands(ROOT / "docs" / "storage.md", monkeypatch, at_least=5)
    made = tour / "shared"
    assert len(list((made / "corpus" / "databases").iterdir())) == 4
    assert (made / "run" / "final" / "model.safetensors").is_file()
    assert (made / "page" / "inspection.html").is_file()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_planning_runs_as_written(tour, monkeypatch):
    run_commands(ROOT / "docs" / "planning.md", monkeypatch)
    plan = json.loads((tour / "runs" / "paper-plan.json").read_text())
    assert len(plan["trials"]) == 56
    assert plan["new_tokens"] == sum(trial["tokens"] for trial in plan["trials"]) == 532_676_608_000
    assert sum(stage["hours"] for stage in plan["stages"]) == pytest.approx(plan["hours"])


def test_the_plan_of_a_million_databases_runs_as_written(tour, monkeypatch, capsys):
    run_commands(ROOT / "docs" / "scale.md", monkeypatch, at_least=1)
    assert "1,000,100 databases" in capsys.readouterr().out


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_importing_a_database_runs_as_written(tour, monkeypatch):
    document = ROOT / "docs" / "import.md"
    make, join = re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)
    exec(make, {})
    run_commands(document, monkeypatch, at_least=5)
    names: dict[str, Any] = {}
    exec(join, names)
    assert len(names["predictions"]) == 80
    report = json.loads((tour / "runs" / "market" / "database" / "import.json").read_text())
    became = {(t["table"], c["source"]): c["became"] for t in report["tables"] for c in t["columns"]}
    assert became["product", "price"] == "number" and became["customer", "member"] == "boolean"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_watching_runs_as_written(tour, tiny_study, monkeypatch, capsys):
    (tour / "runs" / "study").symlink_to(tiny_study[0])
    run_commands(ROOT / "docs" / "status.md", monkeypatch)
    shown = capsys.readouterr().out
    assert "corpus watched: whole" in shown and "study tiny: finished" in shown
    assert shown.count("9 of 9 done") >= 2
    text = (ROOT / "docs" / "status.md").read_text()
    from relscale.platform.metrics import SERIES

    assert set(re.findall(r"`ray_(relscale_[a-z_]+)`", text)) == set(SERIES)


def test_comparing_studies_runs_as_written(tour, monkeypatch):
    run_commands(ROOT / "docs" / "tracking.md", monkeypatch)
    assert (tour / "runs" / "compared" / "compare.html").is_file()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tour / 'runs' / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'compare demo and other'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["verdict.tokens.other-demo"] == "no_law"


def test_analysing_a_table_runs_as_written(tour, monkeypatch):
    run_commands(ROOT / "docs" / "analysis.md", monkeypatch, at_least=2)
    made = tour / "runs" / "analysis"
    laws = json.loads((made / "known" / "fit.json").read_text())["axes"]
    joint = json.loads((made / "joint" / "fit.json").read_text())["joint"]
    for truth, (low, high) in (
        (0.38, laws["n_databases"]["ci95"]["alpha"]),
        (0.38 / 0.8, laws["tokens"]["ci95"]["alpha"]),
        (0.3478, joint["ci95"]["alpha"]),
        (0.3658, joint["ci95"]["beta"]),
    ):
        assert low < truth < high
    named = set(re.findall(r"`([A-Za-z_0-9]+)`", (ROOT / "docs" / "analysis.md").read_text()))
    assert {*laws["tokens"], *laws["tokens"]["slices"][0], *laws["tokens"]["extrapolation"], *joint} <= named


def test_every_code_of_the_analysis_is_explained():
    raised = r"""(?:AnalysisError\(|\.warn\(|"code": |return \(|found\.append\(\()\s*"([a-z]+_[a-z_]+)\""""
    sources = (ROOT / "relscale" / "analysis").glob("*.py")
    codes = {code for source in sources for code in re.findall(raised, source.read_text())}
    assert {"exponent_at_bound", "single_seed", "surface_ambiguous"} <= codes
    assert codes <= set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "analysis.md").read_text()))


def test_the_commands_of_the_readme_run_as_written(tour, monkeypatch):
    run_commands(ROOT / "README.md", monkeypatch)
    again = tour / "runs" / "again"
    fitted = json.loads((again / "laws" / "fit.json").read_text())
    kept = json.loads((ROOT / "docs" / "results" / "cpu-study" / "fit.json").read_text())
    assert fitted["rows"] == kept["rows"]
    assert (again / "compared" / "compare.html").is_file()


def test_evaluating_runs_as_written(tour, monkeypatch, rel_f1):
    from relscale.model.checkpoint import save_model
    from relscale.model.config import ModelConfig, SamplerConfig
    from relscale.model.network import RelationalTransformer

    sizes = ModelConfig(n_blocks=1, d_model=16, n_heads=2, d_ff=16)
    about = {"model": sizes.model_dump(), "sampler": SamplerConfig(context_length=64).model_dump()}
    save_model(tour / "runs" / "demo" / "checkpoint", RelationalTransformer(sizes, seed=0), about)
    (tour / "rel-f1").symlink_to(rel_f1)
    monkeypatch.setattr("relscale.analysis.audit.N_ROWS", 8)
    run_commands(ROOT / "docs" / "evaluate.md", monkeypatch)
    written = sorted(path.name for path in (tour / "runs").glob("f1*/*.json"))
    assert written == ["audit.json", *["left_out.json"] * 6, *["scores.json"] * 6]
    entry = json.loads((tour / "runs" / "f1-train-only" / "scores.json").read_text())[0]
    assert (entry["task"], entry["rows"], entry["visibility"]) == ("driver-dnf", 702, "train-only")
    wide = json.loads((tour / "runs" / "f1-wide" / "scores.json").read_text())[0]["sampler"]
    assert (wide["context_length"], wide["own_rows_first"], wide["bfs_width"]) == (128, True, 128)
    mixed = json.loads((tour / "runs" / "f1-lengths" / "scores.json").read_text())[0]["sampler"]
    assert mixed["context_lengths"] == [8, 16, 32]

    from relbench.submit import evaluate_submission

    monkeypatch.setattr("relbench.submit._prefetch_hf_data", lambda *_, **__: None)
    scores = json.loads((tour / "runs" / "f1" / "scores.json").read_text())
    strict = {f"rel-f1/{one['task']}": one["value"] for one in scores if one["visibility"] == "strict"}
    accepted = evaluate_submission(tour / "runs" / "f1" / "submission" / "strict", num_workers=1)["tasks"]
    assert len(strict) == 3
    assert {task: one["metric"] for task, one in accepted.items()} == pytest.approx(strict)


def test_the_cluster_guide_plans_and_its_jobs_are_well_formed(tour, monkeypatch, capsys):
    guide = ROOT / "docs" / "cluster.md"
    run_commands(guide, monkeypatch, at_least=1)
    planned = " ".join(capsys.readouterr().out.split())
    for said in ("1479.7", "$1,793.34"):
        assert said in planned and said in guide.read_text()
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    documents = [guide, ROOT / "docs" / "operations.md"]
    jobs = [
        line for document in documents for line in indented_commands(document) if "relscale submit" in line
    ]
    assert len(jobs) >= 4
    for job in jobs:
        words = job.replace("$BUCKET", "s3://bucket").replace("FINGERPRINT", "0" * 16)
        monkeypatch.setattr(sys, "argv", shlex.split(words))
        with pytest.raises(SystemExit) as ended:
            main()
        # All is in order but the address: nothing answers there.
        assert ended.value.code == 2 and "does not answer" in capsys.readouterr().err


def test_every_message_of_the_operations_guide_is_one_of_the_code():
    guide = (ROOT / "docs" / "operations.md").read_text()
    tables = re.findall(r"^\| message \|.*\n\|[-|]+\n((?:\|.*\n)+)", guide, re.MULTILINE)
    messages = [row.split(" | ")[0].removeprefix("| ") for table in tables for row in table.splitlines()]
    sources = "\n".join(sorted(literals(ROOT / "relscale")))
    assert len(messages) >= 25
    for message in messages:
        parts = [re.escape(part) for part in message.split("…")]
        assert re.search("…".join(parts), sources), message


def indented_commands(document: Path) -> list[str]:
    """Commands that need a cloud: the lines of a document's indented blocks, without their numbers."""
    lines = re.findall(r"^ {4,}(?:\d+ {2})?(\S.*)$", document.read_text(), re.MULTILINE)
    return [line for line in lines if line.startswith(("relscale ", "ray ", "aws "))]


def literals(folder: Path) -> set[str]:
    """Texts in the Python files of a folder, with "…" for what is filled in."""
    texts = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                texts.add(
                    "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                )
    return texts


def test_every_make_target_of_the_readme_exists():
    targets = [
        command.split()[1] for command in commands_in(ROOT / "README.md") if command.startswith("make")
    ]
    makefile = (ROOT / "Makefile").read_text()
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_named_command_exists(document):
    known = {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }
    named = set(re.findall(r"`relscale ([a-z]+)", document.read_text()))
    assert named <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target
