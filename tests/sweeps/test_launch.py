"""Trials on Ray Tune: a failure is this trial's answer, what cannot run is refused before it waits."""

import pytest

from relscale.platform.errors import ResourceError
from relscale.platform.storage import read_json
from relscale.sweeps.config import TrialConfig
from relscale.sweeps.launch import run_trials
from relscale.sweeps.trial import TrialJob, run_trial

pytestmark = pytest.mark.ray


@pytest.fixture
def job(tiny_study, tiny, tmp_path):
    """A trial of the tiny study's stores, as plain values."""
    folder, _ = tiny_study
    study = tiny()
    return TrialJob(
        key="one",
        folder=tmp_path / "one",
        store=folder / "corpus-store",
        held_out_store=folder / "held-out-store",
        held_out=("plurel-1000000", "plurel-1000001"),
        n_databases=2,
        tokens=512,
        seed=0,
        model=study.model,
        sampler=study.sampler,
        training=study.training,
        evaluation=study.evaluation,
        trial=study.trial,
    )


def test_a_failed_trial_gives_its_reason_and_stops_no_other(job, tmp_path):
    many = job.replace(key="many", folder=tmp_path / "many", n_databases=99)
    seen = []
    failures = run_trials([many, job], tmp_path / "tune", lambda key, line: seen.append((key, line)))
    assert set(failures) == {"many"}
    assert "databases is 99, but" in failures["many"] and "holds 3" in failures["many"]
    assert not (tmp_path / "many" / "result.json").exists()
    result = read_json(tmp_path / "one" / "result.json")
    assert result["status"] == "ok" and result["loss"] > 0
    assert [line["tokens"] for key, line in seen if key == "one" and "loss" in line] == [256, 512]


def test_a_trial_is_the_same_in_any_process(job, tmp_path):
    run_trials([job], tmp_path / "tune", lambda key, line: None)
    here = job.replace(folder=tmp_path / "here")
    result = run_trial(here, lambda line: None)
    spread = read_json(job.folder / "result.json")
    assert result["per_database"] == spread["per_database"]
    assert result["loss"] == spread["loss"]


def test_a_finished_trial_returns_at_once(job):
    first = run_trial(job, lambda line: None)
    seen: list[dict] = []
    assert run_trial(job, seen.append) == first
    assert seen == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trial": {"n_workers": 3}}, "one trial needs 1 CPUs x 3 workers, the cluster has 2"),
        ({"trial": {"n_workers": 1, "use_gpu": True}}, "one trial needs 1 GPUs, the cluster has 0"),
        ({"trial": {"n_workers": 2}}, "leave none for the trial's driver"),
    ],
)
def test_a_trial_that_can_never_run_is_refused(job, tmp_path, changes, message):
    impossible = job.replace(trial=TrialConfig(**changes["trial"]))
    with pytest.raises(ResourceError) as refused:
        run_trials([impossible], tmp_path / "tune", lambda key, line: None)
    assert message in str(refused.value)


def test_no_trial_needs_no_cluster(tmp_path):
    assert run_trials([], tmp_path, lambda key, line: None) == {}
