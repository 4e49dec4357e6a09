"""Zero-shot scores of all trials: equal to evaluate's, made once, and resumed after a kill."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient, pyfunc, set_tracking_uri

from relscale.analysis import label_tables
from relscale.analysis.zero_shot import evaluate_checkpoint
from relscale.platform.config import parse_config
from relscale.platform.dataflow import map_keys_here
from relscale.platform.errors import ConfigError, DataError
from relscale.sweeps.collect import checkpoint_folder
from relscale.sweeps.config import ZeroShotConfig
from relscale.sweeps.study import run_study
from relscale.sweeps.zero_shot import Question, check_tasks, score_best, score_networks

pytestmark = pytest.mark.ray

GUIDE = Path(__file__).parents[2] / "docs" / "tracking.md"


@pytest.fixture(scope="module")
def shop(tiny_study, tmp_path_factory) -> Path:
    """A RelBench 3 folder with autocomplete tasks, outside the study."""
    source = sorted((tiny_study[0] / "held-out" / "databases").iterdir())[0]
    return Path(shutil.copytree(source, tmp_path_factory.mktemp("real") / "shop"))


@pytest.fixture(scope="module")
def tasks(shop) -> tuple[str, ...]:
    return tuple(sorted(path.parent.name for path in (shop / "tasks").glob("*/manifest.yaml"))[:3])


@pytest.fixture(scope="module")
def networks(tiny_study) -> dict[str, Path]:
    folder, outcome = tiny_study
    return {key: checkpoint_folder(folder, key) for key in outcome.results["key"][:3]}


@pytest.fixture(scope="module")
def question(shop, tasks, networks, tmp_path_factory) -> Question:
    """Answered in full by the first network."""
    asked = Question(
        source=shop, folder=tmp_path_factory.mktemp("answers"), tasks=tasks, visibility="temporal",
        context_seeds=(0,), sampler={}, n_boot=100,
    )  # fmt: skip
    score_best(asked, next(iter(networks.values())))
    return asked


@pytest.fixture
def no_fitting(monkeypatch) -> None:
    """Baselines and tokens are there already."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this is done once for all networks")

    monkeypatch.setattr(label_tables, "tree_predictions", refuse)
    monkeypatch.setattr("relscale.model.tokenize.write_arrays", refuse)


@pytest.mark.usefixtures("no_fitting")
def test_every_network_has_the_scores_of_an_evaluation(question, networks, tmp_path, monkeypatch):
    done = []
    found = score_networks(question, networks, map_keys_here, lambda: done.append(1))
    assert len(done) == 3 and set(found) == set(networks)
    first, *_, last = networks
    monkeypatch.undo()
    shutil.copytree(question.folder / "store", tmp_path / "store")
    alone = evaluate_checkpoint(networks[last], question.source, tmp_path, tasks=question.tasks, n_boot=100)
    for whole, entries in ((score_best(question, networks[first]), found[first]), (alone, found[last])):
        assert [entry["task"] for entry in entries] == [entry["task"] for entry in whole]
        for one, other in zip(entries, whole, strict=True):
            for name in ("dataset", "metric", "visibility", "baselines", "difference", "ci95"):
                assert one[name] == other[name]
            assert one["value"] == pytest.approx(other["value"], abs=1e-12)
            if "r2" in other:
                assert one["r2"]["value"] == pytest.approx(other["r2"], abs=1e-12)


@pytest.mark.usefixtures("no_fitting")
def test_a_killed_call_goes_on_and_changed_networks_are_scored_anew(question, networks):
    shutil.rmtree(question.folder / "trials", ignore_errors=True)

    def killed(function, keys) -> Iterator:
        for pair in map_keys_here(function, keys):
            yield pair
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_networks(question, networks, killed, lambda: None)
    calls = []

    def counting(function, keys) -> Iterator:
        calls.extend(keys)
        return map_keys_here(function, keys)

    def count(asked: Question, which: dict[str, Path]) -> int:
        calls.clear()
        score_networks(asked, which, counting, lambda: None)
        return len(calls)

    assert count(question, networks) == 2
    assert count(question, networks) == 0
    keys = list(networks)
    assert count(question, {**networks, keys[0]: networks[keys[1]]}) == 1, "a network is known by content"
    assert count(replace(question, n_boot=101), networks) == 3


def test_tasks_are_checked_before_anything_is_trained(shop, tasks):
    check_tasks(shop, tasks)
    with pytest.raises(DataError, match=f"names 'no-such', but the tasks of .* are .*{tasks[0]}"):
        check_tasks(shop, ["no-such"])
    settings = {"datasets": ["a/shop", "nycflights"], "tasks": ["shop/returns"]}
    config = parse_config(ZeroShotConfig, settings, source="the test")
    assert config.tasks_of("a/shop") == ("returns",) and config.tasks_of("nycflights") is None
    with pytest.raises(ConfigError, match="'other/returns' is not DATASET/TASK of one of the datasets"):
        parse_config(ZeroShotConfig, {**settings, "tasks": ["other/returns"]}, source="the test")


@pytest.fixture(scope="module")
def scored(tiny_study, tiny, shop, tasks, tmp_path_factory):
    """The tiny study, its trials scored on the database: folder, settings and outcome."""
    folder = tmp_path_factory.mktemp("scored") / "study"
    shutil.copytree(tiny_study[0], folder, ignore=shutil.ignore_patterns("mlflow*", "tracking.json"))
    config = tiny(zero_shot={"datasets": [str(shop)], "tasks": [f"shop/{task}" for task in tasks]})
    return folder, config, run_study(config, folder)


def test_a_sweep_scores_every_trial(scored, tasks):
    folder, _, outcome = scored
    assert outcome.n_trials_run == 0
    table = pd.read_csv(folder / "zero_shot.csv")
    n_tasks = len(outcome.variants[0].scores)
    assert 0 < n_tasks <= len(tasks)
    assert table.groupby("key")["task"].nunique().tolist() == [n_tasks] * 9
    assert table["low"].le(table["value"] + 1e-9).mean() > 0.9 and {"loss", "visibility"} <= set(table)
    assert (folder / "figures" / "zero_shot_trials.png").is_file()
    assert "rank correlation" in (folder / "report.html").read_text()
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'tiny'")
    row = table.iloc[0]
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`relscale.key` = '{row['key']}'")
    metric = f"zero_shot/{row['dataset']}/{row['task']}/{row['metric']}"
    assert run.data.metrics[metric] == pytest.approx(row["value"])


def test_a_second_sweep_changes_no_file_and_makes_no_version(scored):
    folder, config, _ = scored

    def times() -> dict[Path, int]:
        files = (path for path in folder.rglob("*") if path.is_file())
        kept = (path for path in files if path.name not in {"mlflow.db", "relscale.lock"})
        return {path: path.stat().st_mtime_ns for path in kept}

    before = times()
    run_study(config, folder)
    assert times() == before
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    assert len(client.search_model_versions("name = 'tiny'")) == 1


def test_the_best_network_is_a_model_that_predicts_as_evaluate(scored, shop, tmp_path, monkeypatch):
    folder, _, outcome = scored
    (one,) = outcome.variants
    set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    model = pyfunc.load_model("models:/tiny@best")
    tasks = [score["task"] for score in one.scores]
    asked = pd.DataFrame({"database": str(shop), "task": tasks, "split": "test"})
    answers = model.predict(asked)
    assert list(answers) == model.metadata.signature.outputs.input_names()
    for task in tasks:
        rows = pd.read_parquet(folder / "zero-shot" / "shop" / "predictions" / f"{task}.parquet")
        mine = answers[answers["task"] == task].reset_index(drop=True)
        assert mine["prediction"].to_numpy() == pytest.approx(rows["prediction"].to_numpy(), abs=1e-6)
        assert mine["entity"].tolist() == rows["entity"].tolist()
        assert (mine["timestamp"].to_numpy() == rows["time"].to_numpy()).all()
    other = model.predict(asked.head(1), params={"context_seeds": [1, 2]})
    assert other["prediction"].to_numpy() != pytest.approx(answers["prediction"].head(len(other)).to_numpy())
    (version,) = MlflowClient().search_model_versions("name = 'tiny'")
    best = one.results.loc[one.results["loss"].idxmin()]
    assert version.tags["trial"] == best["key"]
    place = Path(pyfunc.load_model("models:/tiny/1")._model_impl.context.artifacts["checkpoint"]).parents[1]
    assert not list(place.rglob("*.pkl")) and (place / "README.md").read_text().startswith(
        version.description
    )
    assert f"trial {best['key']}" in version.description and "| temporal |" in version.description
    assert "torch==" in (place / "requirements.txt").read_text()


def test_the_guide_to_the_model_runs_as_written(scored, shop, tmp_path, monkeypatch):
    folder, _, outcome = scored
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "demo").symlink_to(folder)
    (folder / "real").mkdir(exist_ok=True)
    (folder / "real" / "nycflights").symlink_to(shop)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    task = outcome.variants[0].scores[0]
    exec(code.replace("/demo@best", "/tiny@best").replace("plane-late", task["task"]), names)
    assert len(names["answers"]) == task["rows"]
