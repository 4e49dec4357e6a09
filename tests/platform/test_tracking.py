import os
import shlex
from pathlib import Path

import pytest

from relscale.platform import tracking
from relscale.platform.errors import ResourceError
from relscale.platform.tracking import Point, Tracker, TrackingConfig, patiently


@pytest.fixture(scope="module")
def tracker(tmp_path_factory) -> Tracker:
    return Tracker(TrackingConfig(), tmp_path_factory.mktemp("mlflow"), "a study")


def history(tracker, run_id, metric):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracker.uri)
    return [(entry.step, entry.value) for entry in client.get_metric_history(run_id, metric)]


def test_a_run_is_made_once_and_found_again(tracker, tmp_path):
    parent = tracker.run("sweep-1", "sweep", params={"grid": "2x2"})
    child = tracker.run("trial-1", "N=4", params={"N": 4}, parent=parent)
    again = Tracker(TrackingConfig(uri=tracker.uri), tmp_path, "a study")
    assert again.run("sweep-1", "sweep", params={}) == parent
    assert again.run("trial-1", "N=4", params={}, parent=parent) == child
    assert again.run("trial-1", "N=4", params={}, parent=child) != child, "another parent, another run"


def test_a_run_that_lost_its_params_gets_them(tracker, monkeypatch):
    def cut_off(*args, **kwargs):
        raise OSError("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(tracker._client, "log_batch", cut_off)
        with pytest.raises(ResourceError, match="connection reset"):
            tracker.run("cut-off", "N=4", params={"N": 4, "S": 8})
    run = tracker.run("cut-off", "N=4", params={"N": 4, "S": 8})
    assert tracker._client.get_run(run).data.params == {"N": "4", "S": "8"}
    assert len(tracker.find(tracking.KEY_TAG, "cut-off")) == 1


def test_a_repeated_curve_adds_no_point(tracker):
    run = tracker.run("curve", "curve", params={})
    first = [Point("loss", 1.0, 10), Point("rate", 0.1, 10), Point("loss", 0.9, 20)]
    tracker.log_points(run, first)
    tracker.log_points(run, [*first, Point("loss", 0.8, 30)])
    assert history(tracker, run, "loss") == [(10, 1.0), (20, 0.9), (30, 0.8)]
    assert history(tracker, run, "rate") == [(10, 0.1)]


def test_a_corrected_or_late_point_is_added(tracker):
    run = tracker.run("late", "late", params={})
    tracker.log_points(run, [Point("loss", 1.0, 20), Point("alpha", 0.5, 0)])
    tracker.log_points(run, [Point("loss", 2.0, 10), Point("alpha", 0.9, 0)])
    assert sorted(history(tracker, run, "loss")) == [(10, 2.0), (20, 1.0)]
    assert history(tracker, run, "alpha")[-1] == (0, 0.9)
    again = Tracker(TrackingConfig(uri=tracker.uri), Path("unused"), "a study")
    again.log_points(run, [Point("loss", 2.0, 10), Point("loss", 1.0, 20)])
    assert len(history(tracker, run, "loss")) == 2


def test_files_of_a_sqlite_run_stay_in_the_output_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = TrackingConfig(uri=f"sqlite:///{tmp_path / 'own.db'}")
    tracker = Tracker(config, tmp_path / "out", "x")
    (tmp_path / "a.txt").write_text("a")
    tracker.log_artifacts(tracker.run("k", "k", params={}), tmp_path, ["a.txt"])
    assert list((tmp_path / "out").rglob("a.txt"))
    assert not (tmp_path / "mlruns").exists()


def test_the_command_that_shows_the_runs_exists(tracker):
    program, *arguments = shlex.split(tracker.open_command)
    assert Path(program).is_file() and os.access(program, os.X_OK)
    assert arguments == ["ui", "--host", "127.0.0.1", "--backend-store-uri", tracker.uri]


def test_a_long_curve_is_split_into_requests(tracker):
    run = tracker.run("long", "long", params={})
    tracker.log_points(run, [Point("loss", float(i), i) for i in range(2100)])
    assert len(history(tracker, run, "loss")) == 2100


def test_tags_and_files(tracker, tmp_path):
    run = tracker.run("files", "files", params={})
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.svg").write_text("<svg/>")
    (tmp_path / "report.html").write_text("<p>")
    tracker.log_artifacts(run, tmp_path, ["figures", "report.html", "absent"])
    tracker.set_tags(run, {"verdict": "none"})
    tracker.end(run)
    assert tracker.tag(run, "verdict") == "none"
    assert tracker.tag(run, "other") is None
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracker.uri)
    assert {item.path for item in client.list_artifacts(run)} == {"figures", "report.html"}
    assert client.get_run(run).info.status == "FINISHED"


def test_a_server_that_is_not_there_is_named_at_once(tmp_path):
    with pytest.raises(ResourceError, match=r"http://127\.0\.0\.1:9' does not answer"):
        Tracker(TrackingConfig(uri="http://127.0.0.1:9"), tmp_path, "x")


def test_a_loss_that_is_no_number_is_recorded_once(tracker):
    run = tracker.run("diverged", "diverged", params={})
    for _ in range(2):
        tracker.log_points(run, [Point("loss", float("nan"), 10)])
    assert len(history(tracker, run, "loss")) == 1


def test_a_request_without_an_answer_is_not_recorded_twice(tracker, monkeypatch):
    run = tracker.run("no answer", "no answer", params={})
    tracker.log_points(run, [Point("loss", 1.0, 10)])
    taken = tracker._client.log_batch

    def answer_is_lost(*arguments, **options):
        taken(*arguments, **options)
        raise OSError("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(tracker._client, "log_batch", answer_is_lost)
        with pytest.raises(ResourceError, match="connection reset"):
            tracker.log_points(run, [Point("loss", 0.9, 20)])
    tracker.log_points(run, [Point("loss", 0.9, 20), Point("loss", 0.8, 30)])
    assert history(tracker, run, "loss") == [(10, 1.0), (20, 0.9), (30, 0.8)]


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(tracking, "RETRY_SECONDS", 0.01)
    answers = iter([ResourceError("away"), ResourceError("away"), "done"])

    def action():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(action) == "done"

    def never():
        raise ResourceError("still away")

    with pytest.raises(ResourceError, match="still away"):
        patiently(never, seconds=0.03)


def test_runs_are_found_in_every_experiment_by_a_tag(tracker, tmp_path):
    other = Tracker(TrackingConfig(uri=tracker.uri), tmp_path, "another study")
    run = other.run("tagged", "tagged", params={})
    other.set_tags(run, {"relscale.results": "0123"})
    assert tracker.find("relscale.results", "0123") == [(other.experiment_id, run)]
    assert tracker.find("relscale.results", "4567") == []
