"""What a person meets at the command line: help, and one sentence with exit code 2 for every mistake."""

import sys
from pathlib import Path

import pytest
import yaml

from relscale import __version__
from relscale.cli import app, main
from relscale.platform.config import load_config
from relscale.sweeps.config import StudyConfig


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `relscale ARGUMENTS`; gives (exit code, output, error text)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["relscale", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), shown.out, shown.err

    return run


@pytest.fixture
def refused(command):
    """Run a command that must be refused; gives its one sentence."""

    def run(*arguments: object) -> str:
        code, _, error = command(*arguments)
        assert code == 2, error
        assert error.startswith("relscale: ")
        assert error.count("\n") == 1, f"one sentence, not {error}"
        return error

    return run


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_version(command):
    assert command("--version")[:2] == (0, f"{__version__}\n")


@pytest.mark.parametrize(
    "name", [command.name or command.callback.__name__ for command in app.registered_commands]
)
def test_every_command_explains_itself(command, name):
    code, shown, _ = command(name, "--help")
    assert code == 0
    assert "--set" in shown and "--config" in shown
    assert "--out" in shown or name == "settings"


def test_settings_are_a_study_file_that_explains_itself(command, tmp_path):
    code, shown, _ = command("settings", "-s", "model.n_blocks=3")
    assert code == 0
    assert "n_blocks: 3" in shown and "# Transformer blocks" in shown
    (tmp_path / "study.yaml").write_text(shown)
    assert load_config(StudyConfig, tmp_path / "study.yaml") == load_config(
        StudyConfig, None, ["model.n_blocks=3"]
    )


@pytest.mark.parametrize("arguments", [["nonsense"], ["generate"], ["generate", "--out", "x", "-n", "0"]])
def test_wrong_usage_ends_with_2(command, arguments):
    assert command(*arguments)[0] == 2


def test_an_unknown_setting(refused, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text("grid: {token: [1]}\n")
    message = refused("sweep", "--config", study, "--out", tmp_path / "out")
    assert "unknown setting 'grid.token'; did you mean 'tokens'?" in message
    assert "study.yaml" in message
    assert files_below(tmp_path) == ["study.yaml"]


def test_a_missing_and_a_malformed_study_file(refused, tmp_path):
    assert "none.yaml' is not a file" in refused(
        "sweep", "-c", tmp_path / "none.yaml", "-o", tmp_path / "out"
    )
    (tmp_path / "bad.yaml").write_text("grid: [")
    assert "bad.yaml' is not valid YAML" in refused(
        "sweep", "-c", tmp_path / "bad.yaml", "-o", tmp_path / "out"
    )
    assert not (tmp_path / "out").exists()


def test_an_unknown_preset(refused, tmp_path):
    message = refused("generate", "-o", tmp_path / "c", "-n", 1, "--preset", "plurel-9")
    assert "prior 'plurel' has no preset 'plurel-9'; valid are: plurel-1.1" in message
    assert files_below(tmp_path) == []


@pytest.fixture
def no_ray(monkeypatch):
    """As in a fresh process, although the tests share a running Ray."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)


@pytest.mark.usefixtures("no_ray")
def test_an_unreachable_cluster(refused, tmp_path):
    message = refused("generate", "-o", tmp_path / "c", "-n", 1, "-s", "cluster.address=127.0.0.1:9")
    assert "Ray address '127.0.0.1:9' does not answer" in message
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "is not a file"),
        ("results.txt", "a", "results are read from .csv or .parquet"),
        ("results.csv", "n_databases,tokens,loss\n1,2,3\n", "no column 'seed'"),
        ("results.csv", "n_databases,tokens,seed,loss\n8,1000,0,nan\n", "row 1 (n_databases=8"),
        ("results.parquet", "not parquet", "cannot be read"),
    ],
)
def test_unusable_results(refused, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    assert message in refused("fit", tmp_path / name, "--out", tmp_path / "fit")
    assert not (tmp_path / "fit").exists()


def test_a_folder_that_is_no_corpus(refused, tmp_path):
    message = refused("tokenize", "--corpus", tmp_path, "--out", tmp_path / "store")
    assert "neither a corpus (no index.parquet) nor a RelBench 3 folder" in message
    assert files_below(tmp_path) == []


def test_what_cannot_be_inspected(refused, dangling, tmp_path):
    message = refused("inspect", tmp_path / "none", "--out", tmp_path / "page")
    assert "neither a corpus (no index.parquet) nor a RelBench 3 folder" in message
    assert "lies inside" in refused("inspect", dangling, "--out", dangling / "page")
    (dangling / "db" / "orders.parquet").write_bytes(b"PAR1")
    assert "is not a readable Parquet file" in refused("inspect", dangling, "--out", tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_a_page_of_a_database_goes_to_runs_by_default(command, dangling, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, shown, _ = command("inspect", "shop")
    assert code == 0 and shown.split() == ["page", "runs/inspect/shop/inspection.html"]
    page = (tmp_path / "runs" / "inspect" / "shop" / "inspection.html").read_text()
    assert "Some keys name no row of their parent table: orders.customer" in page


def test_a_dangling_foreign_key(refused, dangling, tmp_path):
    message = refused("tokenize", "--corpus", dangling, "--out", tmp_path / "store")
    assert "orders" in message and "customer" in message and "7" in message
    assert files_below(tmp_path / "store") == []


@pytest.fixture
def dangling(tmp_path) -> Path:
    """A RelBench 3 folder with an order of customer 7 where there are three customers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "shop"
    (folder / "db").mkdir(parents=True)
    pq.write_table(
        pa.table({"id": [0, 1, 2], "age": [30.0, 40.0, 50.0]}), folder / "db" / "customers.parquet"
    )
    pq.write_table(
        pa.table({"id": [0, 1], "customer": [1, 7], "price": [1.0, 2.0]}), folder / "db" / "orders.parquet"
    )
    tables = {
        "customers": {"pkey": "id", "time_col": None, "fkeys": {}},
        "orders": {"pkey": "id", "time_col": None, "fkeys": {"customer": "customers"}},
    }
    manifest = {
        "name": "shop",
        "manifest_version": 1,
        "val_timestamp": "2020-01-01",
        "test_timestamp": "2021-01-01",
        "tables": tables,
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def test_a_missing_store_and_checkpoint(refused, tmp_path):
    message = refused("pretrain", "--store", tmp_path / "none", "-o", tmp_path / "run", "--tokens", 1000)
    assert "is not a finished token store" in message
    message = refused(
        "evaluate", "--checkpoint", tmp_path / "none", "--dataset", tmp_path, "-o", tmp_path / "e"
    )
    assert "is not a RelBench 3 folder (no manifest.yaml)" in message


@pytest.mark.ray
def test_a_corpus_smaller_than_n(refused, tiny_study, tmp_path):
    store = tiny_study[0] / "corpus-store"
    message = refused("pretrain", "--store", store, "-n", 99, "--tokens", 1000, "-o", tmp_path / "run")
    assert "databases is 99, but" in message and "holds 3" in message
    assert files_below(tmp_path) == []
