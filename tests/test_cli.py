"""What a person meets at the command line: help, and one sentence with exit code 2 for every mistake."""

import json
import shutil
import sys
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from two_shops import LetterEncoder
from two_shops import write_shop as write_two_year_shop

from relscale import __version__
from relscale.cli import app, main
from relscale.generation.making import make_database
from relscale.generation.priors import PRIORS
from relscale.model.config import TargetsConfig, TextConfig
from relscale.model.tokenize import tokenize_folders
from relscale.platform.config import load_config
from relscale.platform.dataflow import map_keys_here
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
def jobs(monkeypatch):
    """The jobs that `relscale pretrain` would do; texts are letters."""
    asked = []
    monkeypatch.setattr("relscale.model.tokenize.TextEncoder", LetterEncoder)
    monkeypatch.setattr("relscale.model.text.check_encoder", lambda store, text: None)
    monkeypatch.setattr(
        "relscale.sweeps.pretraining.run_pretraining", lambda job, *rest: asked.append(job) or job.out
    )
    return asked


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


# They look at, or send off, what other commands compute, so they have no settings of their own.
ABOUT_OTHER_COMMANDS = {"status", "submit", "jobs"}


@pytest.mark.parametrize(
    "name", [command.name or command.callback.__name__ for command in app.registered_commands]
)
def test_every_command_explains_itself(command, name):
    code, shown, _ = command(name, "--help")
    assert code == 0
    if name in ABOUT_OTHER_COMMANDS:
        assert "--address" in shown and "--set" not in shown
    else:
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
    return write_shop(tmp_path / "shop", customers=[1, 7])


def write_shop(folder: Path, customers: list[int]) -> Path:
    """Three customers, an order a month by each of `customers`, and the task to tell an order's price."""
    import pyarrow as pa

    (folder / "db").mkdir(parents=True)
    (folder / "tasks" / "price").mkdir(parents=True)
    pq.write_table(
        pa.table({"id": [0, 1, 2], "age": [30.0, 40.0, 50.0]}), folder / "db" / "customers.parquet"
    )
    orders = {
        "id": range(len(customers)),
        "customer": customers,
        "placed": [datetime(2019 + i // 12, 1 + i % 12, 2) for i in range(len(customers))],
        "price": [1.0 + i % 3 for i in range(len(customers))],
    }
    pq.write_table(pa.table({name: list(v) for name, v in orders.items()}), folder / "db" / "orders.parquet")
    tables = {
        "customers": {"pkey": "id", "time_col": None, "fkeys": {}},
        "orders": {"pkey": "id", "time_col": "placed", "fkeys": {"customer": "customers"}},
    }
    manifest = {
        "name": "shop",
        "manifest_version": 1,
        "val_timestamp": "2020-01-01",
        "test_timestamp": "2021-01-01",
        "tables": tables,
    }
    task = {
        "name": "price",
        "kind": "autocomplete",
        "task_type": "regression",
        "entity_table": "orders",
        "target_col": "price",
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    (folder / "tasks" / "price" / "manifest.yaml").write_text(yaml.safe_dump(task))
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> tuple[Path, Path]:
    """A sound database folder and its token store, made with the packaged text encoder."""
    from relscale.model.config import TextConfig
    from relscale.model.tokenize import tokenize_folders

    base = tmp_path_factory.mktemp("sound")
    folder = write_shop(base / "shop", customers=[0, 1, 2] * 12)
    return folder, tokenize_folders([folder], base / "store", TextConfig()).path


@pytest.fixture
def shop(sound, tmp_path) -> tuple[Path, Path]:
    """Copies of both, to spoil."""
    return tuple(Path(shutil.copytree(path, tmp_path / path.name)) for path in sound)


def write_checkpoint(folder: Path, context_length: int) -> Path:
    from relscale.model.checkpoint import save_model
    from relscale.model.config import ModelConfig
    from relscale.model.network import RelationalTransformer

    network = RelationalTransformer(ModelConfig(n_blocks=1, d_model=8, n_heads=2, d_ff=8))
    about = {"model": network.config.model_dump(), "sampler": {"context_length": context_length}}
    save_model(folder, network, about)
    return folder


def test_a_store_is_verified_on_request(command, refused, shop):
    folder, store = shop
    code, shown, _ = command("tokenize", "--out", store, "--verify")
    assert code == 0 and "every file as it was written" in shown
    assert command("tokenize", "--out", store)[0] == 2
    file = store / "databases" / "shop" / "arrays.bin"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    for corpus in ([], ["--corpus", folder]):
        message = refused("tokenize", "--out", store, "--verify", *corpus)
        assert f"'{file}' is missing or differs from what was written" in message
        assert f"delete the folder '{file.parent}' and tokenize into '{store}' again" in message


def test_a_store_of_another_format_corpus_or_encoder(refused, shop, tmp_path):
    folder, store = shop
    other = write_shop(tmp_path / "other", customers=[0])
    manifest = (other / "manifest.yaml").read_text()
    (other / "manifest.yaml").write_text(manifest.replace("name: shop", "name: mall"))
    assert "holds database 'shop', which the sources lack" in refused(
        "tokenize", "--corpus", other, "--out", store
    )
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "model.safetensors").write_text("1")
    message = refused(
        "tokenize", "--corpus", folder, "-o", store, "-s", f"text.encoder={tmp_path / 'encoder'}"
    )
    assert "was made with text encoder 'packaged-minilm'" in message
    found = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps({**found, "format": 1}))
    message = refused("tokenize", "--verify", "--out", store)
    assert "has token store format 1, this version of relscale reads" in message


def test_checkpoints_that_cannot_be_used(refused, sound, tmp_path):
    import torch

    evaluate = ["evaluate", "--dataset", sound[0], "-o", tmp_path / "e", "--checkpoint"]
    torch.save({"norm_out.weight": torch.ones(8)}, tmp_path / "part.pt")
    assert "lacks 'blocks.0.attns.col.q_norm.weight'" in refused(*evaluate, tmp_path / "part.pt")
    torch.save({"code": print}, tmp_path / "code.pt")
    assert "code.pt' is not a file of weights alone" in refused(*evaluate, tmp_path / "code.pt")
    folder = write_checkpoint(tmp_path / "c", context_length=32)
    about = json.loads((folder / "config.json").read_text())
    about["model"]["d_ff"] = 9
    (folder / "config.json").write_text(json.dumps(about))
    message = refused(*evaluate, folder)
    assert "has 'blocks.0.ffn.w1.weight' of shape [8, 8], expected [9, 8]" in message
    assert files_below(tmp_path / "e") == []


def test_tasks_that_cannot_be_predicted(refused, shop, tmp_path):
    folder, _ = shop
    arguments = ["--dataset", folder, "-o", tmp_path / "e", "--task", "price"]
    narrow = write_checkpoint(tmp_path / "narrow", context_length=2)
    manifest = folder / "tasks" / "price" / "manifest.yaml"
    whole = manifest.read_text()
    manifest.write_text(whole.replace("target_col: price", "target_col: weight"))
    message = refused("evaluate", "--checkpoint", narrow, *arguments)
    assert "task 'price' names column 'weight', which table 'orders' lacks" in message
    manifest.write_text(whole.replace("target_col: price", "target_col: id"))
    assert "its target 'id' is a key" in refused("evaluate", "--checkpoint", narrow, *arguments)


def test_a_context_below_the_width_of_the_target_row(refused, tmp_path):
    folder = write_shop(tmp_path / "shop", customers=[0, 1, 2] * 12)
    narrow = write_checkpoint(tmp_path / "narrow", context_length=2)
    orders = pq.read_table(folder / "db" / "orders.parquet")
    pq.write_table(orders.append_column("weight", orders["price"]), folder / "db" / "orders.parquet")
    message = refused("evaluate", "--checkpoint", narrow, "--dataset", folder, "-o", tmp_path / "e")
    assert (
        "sampler.context_length is 2, but a row of table 'orders' of database 'shop' has 3 cells" in message
    )


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


def test_real_databases_are_trained_on_as_they_were_known(command, tmp_path, jobs):
    store = tmp_path / "store"
    tokenize_folders(
        [write_two_year_shop(tmp_path / "shop", "shop", 0)], store, TextConfig(), run=map_keys_here
    )
    for option in ([], ["--synthetic"], ["--set", "targets.columns=0"]):
        assert command("pretrain", "--store", store, "-o", tmp_path / "run", *option)[0] == 0
    assert [job.targets for job in jobs] == [TargetsConfig(), None, TargetsConfig(columns=0)]


def test_forecast_tasks_of_a_prior_do_not_make_a_database_real(command, tmp_path, jobs):
    prior, store = PRIORS["relational-events"], tmp_path / "store"
    make_database(0, out=tmp_path, prior=prior, config=prior.preset(), preset="events-2", tasks=False)
    folder = tmp_path / "databases" / "relational-events-0"
    made = tokenize_folders([folder], store, TextConfig(), run=map_keys_here).database(folder.name)
    assert made.prior == prior.name and [task.is_autocomplete for task in made.tasks] == [False] * 2
    assert command("pretrain", "--store", store, "-o", tmp_path / "run")[0] == 0
    assert [job.targets for job in jobs] == [None]
