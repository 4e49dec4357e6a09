"""The whole flow at toy size, twice: the second run does no work and changes no file."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from relscale.platform.config import load_config
from relscale.platform.errors import ConfigError, DataError, ResourceError, ResumeError
from relscale.platform.storage import read_json, write_json
from relscale.platform.tracking import Tracker
from relscale.sweeps import same_code
from relscale.sweeps.config import StudyConfig
from relscale.sweeps.study import run_study
from relscale.sweeps.trial import code_fingerprint

pytestmark = pytest.mark.ray


def snapshot(folder: Path) -> dict[str, int]:
    """Every file with the time of its last change, but for MLflow's own database."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {"mlflow.db", "relscale.lock"}
    }


def test_the_grid_is_complete(tiny_study, tiny):
    folder, first = tiny_study
    table = pd.read_parquet(folder / "results.parquet")
    assert first.n_trials_run == 9
    assert list(table.columns[:5]) == ["n_databases", "tokens", "seed", "loss", "status"]
    assert set(zip(table["n_databases"], table["tokens"], strict=True)) == {
        (n, s) for n in (1, 2, 3) for s in (256, 512, 1024)
    }
    assert (table["status"] == "ok").all()
    assert table["loss"].between(0.05, 5).all()
    same = ["n_databases", "tokens", "seed", "loss", "status", "key"]
    pd.testing.assert_frame_equal(table[same], pd.read_csv(folder / "results.csv")[same])


def test_every_stage_left_its_output(tiny_study, tiny):
    folder, _ = tiny_study
    assert set(read_json(folder / "fit.json")["axes"]) == {"n_databases", "tokens"}
    assert "<html" in (folder / "report.html").read_text()
    assert len(list((folder / "figures").glob("*.png"))) >= 5
    assert len(pd.read_parquet(folder / "corpus" / "index.parquet")) >= 3
    resolved = load_config(StudyConfig, folder / "study.yaml")
    assert resolved == tiny()
    trial = next((folder / "trials").iterdir())
    assert (trial / "final" / "model.safetensors").is_file() and (trial / "final" / "config.json").is_file()


def test_training_and_held_out_databases_are_apart(tiny_study, tiny):
    folder, _ = tiny_study
    seeds = [set(pd.read_parquet(folder / name / "index.parquet")["seed"]) for name in ("corpus", "held-out")]
    assert seeds[0].isdisjoint(seeds[1])


def test_mlflow_holds_every_trial_with_its_curve(tiny_study, tiny):
    folder, _ = tiny_study
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    (parent,) = [run for run in runs if run not in children]
    assert len(children) == 9
    for run in children:
        history = client.get_metric_history(run.info.run_id, "train_loss")
        steps = [point.step for point in history]
        assert steps == sorted(set(steps)) and steps[-1] == int(run.data.params["S"])
        assert run.data.metrics["held_out_loss"] > 0
        assert {"N", "S", "seed", "model", "preset", "corpus_fingerprint", "code_fingerprint"} <= set(
            run.data.params
        )
    assert {f"held_out_loss/N_{n:04d}" for n in (1, 2, 3)} <= set(parent.data.metrics)
    assert {"report.html", "fit.json", "results.csv", "figures"} <= {
        item.path for item in client.list_artifacts(parent.info.run_id)
    }


def test_a_second_run_does_no_work(tiny_study, tiny):
    folder, first = tiny_study
    before = snapshot(folder)
    again = run_study(tiny(), folder)
    assert again.n_trials_run == 0
    assert snapshot(folder) == before
    pd.testing.assert_frame_equal(again.results, first.results)
    assert again.variants[0].fit == first.variants[0].fit


@pytest.fixture
def copy(tiny_study, tmp_path) -> Path:
    """A copy of the finished study, to be changed; its MLflow starts anew."""
    shutil.copytree(tiny_study[0], tmp_path / "copy", ignore=shutil.ignore_patterns("mlflow*"))
    return tmp_path / "copy"


SAME = ["n_databases", "tokens", "seed", "loss", "status", "key"]


def test_a_lost_trial_is_run_again_with_the_same_result(tiny_study, tiny, copy):
    first = tiny_study[1]
    shutil.rmtree(copy / "trials" / first.results.iloc[4]["key"])
    again = run_study(tiny(), copy)
    assert again.n_trials_run == 1
    pd.testing.assert_frame_equal(again.results[SAME], first.results[SAME])


def test_a_larger_grid_keeps_what_is_done(tiny_study, tiny, copy):
    first = tiny_study[1]
    grown = run_study(tiny(grid={"n_databases": [1, 2, 3, 4], "tokens": [256, 512, 1024]}), copy)
    assert grown.n_trials_run == 3
    kept = grown.results[grown.results["n_databases"] < 4].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept[SAME], first.results[SAME])
    shrunk = run_study(tiny(), copy)
    assert shrunk.n_trials_run == 0, "databases that other grids have added change nothing"
    pd.testing.assert_frame_equal(shrunk.results[SAME], first.results[SAME])


def test_trials_of_earlier_code_count_once_one_has_given_the_same_losses(tiny, copy, monkeypatch):
    code = code_fingerprint()
    monkeypatch.setattr(same_code, "code_fingerprint", lambda: "0" * 16)
    study = tiny(sweep={"code": code})
    assert run_study(study, copy).n_trials_run == 0
    assert not (copy / "same-code").exists(), "what was run to compare is gone"
    with monkeypatch.context() as patch:
        patch.setattr(same_code, "run_trials", lambda *arguments: 1 / 0)
        assert run_study(study, copy).n_trials_run == 0, "compared once"
    results = pd.read_parquet(copy / "results.parquet")
    changed = copy / "trials" / results.iloc[0]["key"] / "result.json"
    result = read_json(changed)
    name, loss = next(iter(result["per_database"].items()))
    write_json(changed, result | {"per_database": {name: loss + 0.001}})
    (copy / "same-code.json").unlink()
    with pytest.raises(ConfigError, match=f"of code {code} lost .* on database '{name}', and .* anew"):
        run_study(study, copy)
    with pytest.raises(ConfigError, match="holds no finished trial of that code"):
        run_study(tiny(sweep={"code": "f" * 16}), copy)


def test_more_held_out_databases_in_the_folder_change_no_loss(tiny_study, tiny, copy):
    first = tiny_study[1]
    corpus = {**tiny().corpus.model_dump(), "held_out_databases": 3}
    one_point = {"n_databases": [1], "tokens": [256]}
    more = run_study(tiny(corpus=corpus, grid=one_point), copy)
    assert more.n_trials_run == 1 and more.results["loss"][0] != first.results["loss"][0]
    shutil.rmtree(copy / "trials")
    again = run_study(tiny(grid=one_point), copy)
    assert again.results["loss"][0] == first.results["loss"][0]


def test_a_killed_record_is_made_good(tiny, copy, monkeypatch):
    """MLflow has every file, although an earlier call died while it attached them."""
    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "log_artifacts", lambda *arguments: exec("raise KeyboardInterrupt"))
        with pytest.raises(KeyboardInterrupt):
            run_study(tiny(), copy)
    run_study(tiny(), copy)
    client = MlflowClient(tracking_uri=f"sqlite:///{copy / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.status == "FINISHED"
    assert "report.html" in {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert len(runs) == 10
    note = parent.data.tags["mlflow.note.content"]
    assert all(run.info.run_id in note for run in runs if run is not parent), "all trials can be compared"


def test_a_real_database_that_is_none_is_refused_before_any_work(ray_session, tiny, tmp_path):
    with pytest.raises(DataError, match="is not a RelBench 3 folder"):
        run_study(tiny(zero_shot={"datasets": [str(tmp_path)]}), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"relscale.lock"}


def test_a_refused_study_leaves_the_folder_as_it_was(tiny, copy):
    before = snapshot(copy)
    corpus = {**tiny().corpus.model_dump(), "seed_offset": 7}
    with pytest.raises(ResumeError, match="seed_offset"):
        run_study(tiny(name="other", corpus=corpus), copy)
    assert snapshot(copy) == before


def test_one_process_at_a_time(tiny_study, tiny):
    folder, _ = tiny_study
    import fcntl

    with (folder / "relscale.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ResourceError, match="another relscale process works in"):
            run_study(tiny(), folder)


def test_training_seeds_must_not_reach_the_held_out_ones(ray_session, tiny, tmp_path):
    corpus = {**tiny().corpus.model_dump(), "held_out_seed_offset": 1}
    with pytest.raises(DataError, match="reach the other corpus"):
        run_study(tiny(corpus=corpus), tmp_path)
