"""Trials on Ray Tune: a failure is this trial's answer, what cannot run is refused before it waits."""

import pytest

from relscale.platform.errors import ResourceError
from relscale.platform.storage import read_json
from relscale.sweeps.config import SweepConfig, TrialConfig
from relscale.sweeps.launch import _Watch, run_trials
from relscale.sweeps.trial import TrialJob, run_trial

pytestmark = pytest.mark.ray

LIMITS = SweepConfig()


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
    failures = run_trials(
        [[many], [job]], tmp_path / "tune", lambda key, line: seen.append((key, line)), LIMITS
    )
    assert set(failures) == {"many"}
    assert "databases is 99, but" in failures["many"] and "holds 3" in failures["many"]
    assert not (tmp_path / "many" / "result.json").exists()
    result = read_json(tmp_path / "one" / "result.json")
    assert result["status"] == "ok" and result["loss"] > 0
    assert [line["tokens"] for key, line in seen if key == "one" and "loss" in line] == [256, 512]


def test_a_trial_is_the_same_in_any_process(job, tmp_path):
    run_trials([[job]], tmp_path / "tune", lambda key, line: None, LIMITS)
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
        ({"trial": {"n_workers": 3}}, "a trial needs 3 x 1 CPU, and one 'trial_driver' (or a CPU)"),
        ({"trial": {"n_workers": 1, "use_gpu": True}}, "set trial.use_gpu=false, or add GPU nodes"),
        ({"trial": {"n_workers": 2}}, "spares drivers a CPU"),
    ],
)
def test_a_trial_that_can_never_run_is_refused(job, tmp_path, changes, message):
    impossible = job.replace(trial=TrialConfig(**changes["trial"]))
    with pytest.raises(ResourceError) as refused:
        run_trials([[impossible]], tmp_path / "tune", lambda key, line: None, LIMITS)
    assert message in str(refused.value)


def test_no_trial_needs_no_cluster(tmp_path):
    assert run_trials([], tmp_path, lambda key, line: None, LIMITS) == {}


def test_branches_of_a_chain_are_the_runs_that_they_would_be_alone(job, tmp_path):
    training = job.training.replace(schedule="wsd-branch", warmup_steps=1, decay_share=0.25)
    short, long = (
        job.replace(
            key=f"{tokens}", folder=tmp_path / f"{tokens}", tokens=tokens, training=training.model_dump()
        )
        for tokens in (512, 1024)
    )
    branch = long.replace(shorter=short.folder, trunk="t")
    failures = run_trials([[short, branch]], tmp_path / "tune", lambda key, line: None, LIMITS)
    assert failures == {}
    found = read_json(long.folder / "result.json")
    alone = run_trial(long.replace(folder=tmp_path / "alone"), lambda line: None)
    assert found["loss"] == alone["loss"]
    assert (alone["tokens_trained"], found["tokens_trained"]) == (1024, 1024 - 3 * 128)


def test_a_sweep_ends_at_its_time_and_goes_on_later(job, tmp_path):
    jobs = [[job.replace(key=f"{n}", folder=tmp_path / f"{n}", seed=n)] for n in range(6)]
    hurried = LIMITS.replace(max_hours=1e-7)
    failures = run_trials(jobs, tmp_path / "tune", lambda key, line: None, hurried)
    assert failures
    assert set(failures.values()) == {"sweep.max_hours (1e-07) is over; run the same command to go on"}
    left = [chain for chain in jobs if chain[0].key in failures]
    assert run_trials(left, tmp_path / "tune-2", lambda key, line: None, LIMITS) == {}


def test_waiting_for_a_place_ends_with_what_is_waited_for():
    said: list[str] = []
    watch = _Watch(LIMITS.replace(max_pending_minutes=2), "1 GPU, 4 cpu", now=0.0, explain=said.append)
    watch.look(placed=True, now=100.0)
    watch.look(placed=False, now=159.0)
    assert said == []
    watch.look(placed=False, now=161.0)
    watch.look(placed=False, now=219.0)
    assert said == ["no trial has a place since 61 s: one asks for 1 GPU, 4 cpu"]
    assert not watch.stop_all()
    watch.look(placed=False, now=221.0)
    assert watch.stop_all()
    assert watch.reason is not None
    assert watch.reason.startswith(
        "no trial could be placed for 2 min: one asks for 1 GPU, 4 cpu; add such nodes"
    )
