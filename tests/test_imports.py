"""The arrows between packages, and what may import the heavy libraries: decisions kept as tests."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import relscale

PACKAGE = Path(relscale.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

ALLOWED = {
    "platform": {"platform"},
    "generation": {"platform", "generation"},
    "imports": {"platform", "generation", "imports"},
    "model": {"platform", "model"},
    "analysis": {"platform", "analysis"},
    "sweeps": {"platform", "generation", "model", "analysis", "sweeps"},
}
EXCEPTIONS = {
    ("analysis/zero_shot.py", "model"),
    ("analysis/task_predictions.py", "model"),
    ("analysis/audit.py", "model"),
    ("analysis/forecasts.py", "model"),
    ("analysis/known_at.py", "model"),
}

HOMES = {
    "ray": {
        "platform/autoscaling.py",
        "platform/cluster.py",
        "platform/dataflow.py",
        "platform/jobs.py",
        "platform/known_work.py",
        "platform/metrics.py",
        "platform/spending.py",
        "platform/waiting.py",
        "model/distributed.py",
        "sweeps/launch.py",
    },
    "mlflow": {"platform/tracking.py", "sweeps/served_model.py"},
    "matplotlib": {
        "analysis/figures.py",
        "analysis/compare_figures.py",
        "analysis/diagnostic_figures.py",
        "analysis/grid_figures.py",
        "analysis/history_figures.py",
        "analysis/inspect_figures.py",
        "analysis/joint_figures.py",
        "analysis/law_figures.py",
        "analysis/schema_figures.py",
        "analysis/score_dots.py",
        "analysis/score_figures.py",
        "analysis/slice_figures.py",
        "analysis/training_figures.py",
        "analysis/trial_score_figures.py",
        "analysis/transfer_figures.py",
    },
    "sentence_transformers": {"model/text.py"},
    "sqlglot": {"generation/sql_statements.py", "generation/sql.py", "generation/sql_types.py"},
    "sqlalchemy": {"imports/sql.py"},
    "duckdb": {"imports/tasks.py"},
}
TORCH_FREE_MODEL = {
    "config",
    "context",
    "groups",
    "kernels",
    "pointwise",
    "job",
    "schedule",
    "meter",
    "run_folder",
    "tasks",
    "source",
    "cells",
    "links",
    "store",
    "mapping",
    "checksums",
    "items",
    "sampler",
    "arrays",
    "tokenize",
    "walk",
    "draws",
    "graph",
    "visible",
    "pools",
    "further",
    "fill",
}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, in functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path):
    own = name_of(path)
    package = own.split("/")[0]
    if package not in ALLOWED:
        return
    siblings = {
        parts[1]
        for module in imports_of(path)
        if (parts := module.split("."))[0] == "relscale" and len(parts) > 1 and parts[1] in ALLOWED
    }
    forbidden = {sibling for sibling in siblings - ALLOWED[package] if (own, sibling) not in EXCEPTIONS}
    assert not forbidden, f"{own} imports {forbidden}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_heavy_libraries_have_one_home(path):
    libraries = {module.split(".")[0] for module in imports_of(path)}
    for library, homes in HOMES.items():
        assert library not in libraries or name_of(path) in homes, f"{name_of(path)} imports {library}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_torch_stays_with_the_model(path):
    if "torch" not in {module.split(".")[0] for module in imports_of(path)}:
        return
    own = name_of(path)
    assert own.startswith("model/"), f"{own} imports torch"
    assert path.stem not in TORCH_FREE_MODEL, f"{own} must work without torch"


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("relscale, relscale.cli", {"torch", "ray", "mlflow", "pandas", "numpy"}),
        ("relscale.sweeps.config, relscale.sweeps.grid", {"torch", "ray", "mlflow", "pandas"}),
        ("relscale.sweeps.budget, relscale.sweeps.measure", {"torch", "ray", "mlflow"}),
        ("relscale.analysis.report, relscale.analysis.inspection_corpus", {"torch", "ray", "mlflow"}),
        ("relscale.model.sampler, relscale.model.store", {"torch", "ray"}),
        ("relscale.generation.database", {"torch", "ray"}),
        ("relscale.generation.config", {"sqlglot", "numpy"}),
    ],
)
def test_light_modules_stay_light(modules, absent):
    """In a fresh interpreter, since this one has imported everything."""
    code = f"import sys, {modules}; print(*{absent!r} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['relscale', '--help']\n"
        "from relscale.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *{'torch', 'ray', 'mlflow', 'pandas'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: relscale" in shown.stdout
    assert shown.stdout.splitlines()[-1].split() == ["LOADED"]
