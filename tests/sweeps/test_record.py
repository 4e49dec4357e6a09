"""A sweep's runs in MLflow: over several attempts, while the server is away, and what they say."""

import math
import threading

import pytest
from mlflow import MlflowClient

from relscale.platform.errors import ResourceError
from relscale.platform.tracking import Point, Tracker, TrackingConfig
from relscale.sweeps import record as module
from relscale.sweeps.grid import Trial
from relscale.sweeps.record import SweepRecord, fit_points

TRIAL = Trial(key="a" * 16, n_databases=2, tokens=1024, seed=0)
DONE = {"status": "ok", "loss": 0.4, "loss_boolean": None, "loss_number": 0.4}


def line(tokens: int) -> dict[str, float]:
    return {"tokens": tokens, "loss": 1 / tokens, "learning_rate": 0.1, "tokens_per_second": 9.0, "cells": 7}


@pytest.fixture(scope="module")
def tracker(tmp_path_factory) -> Tracker:
    return Tracker(TrackingConfig(), tmp_path_factory.mktemp("mlflow"), "a study")


def child(tracker: Tracker, sweep: SweepRecord):
    client = MlflowClient(tracking_uri=tracker.uri)
    where = f"tags.`relscale.key` = '{TRIAL.key}' and tags.`mlflow.parentRunId` = '{sweep.parent}'"
    (run,) = client.search_runs([tracker.experiment_id], where)
    return run


def test_a_failure_that_a_later_attempt_mends_leaves_no_trace(tracker):
    record = SweepRecord(tracker, "sweep", "sweep", {"model": "tiny"})
    record.trial_result(TRIAL, {"status": "failed", "reason": "the loss is nan"})
    run = child(tracker, record)
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", "the loss is nan")
    again = SweepRecord(tracker, "sweep", "sweep", {"model": "tiny"})
    again.trial_lines(TRIAL, [line(1024)])
    again.trial_result(TRIAL, DONE)
    run = child(tracker, again)
    assert run.info.status == "FINISHED" and "failure" not in run.data.tags
    assert run.data.metrics["held_out_loss"] == 0.4 and "held_out_loss_boolean" not in run.data.metrics
    assert (run.data.params["N"], run.data.params["S"], run.data.params["model"]) == ("2", "1024", "tiny")


def test_logarithms_for_charts_with_linear_axes(tracker):
    record = SweepRecord(tracker, "logs", "sweep", {})
    record.trial_lines(TRIAL, [line(1024)])
    record.trial_result(TRIAL, DONE)
    metrics = child(tracker, record).data.metrics
    assert metrics["log10_n_databases"] == pytest.approx(math.log10(2))
    assert metrics["log10_tokens"] == pytest.approx(math.log10(1024))
    assert metrics["log10_held_out_loss"] == pytest.approx(math.log10(0.4))
    assert "cells" not in metrics, "what nobody compares stays in metrics.jsonl"


def test_lines_that_the_server_misses_wait_and_follow(tracker, monkeypatch, capsys):
    record = SweepRecord(tracker, "away", "sweep", {})
    sends = []

    def away(*_: object) -> None:
        sends.append(1)
        raise ResourceError("MLflow is away.")

    with monkeypatch.context() as patch:
        patch.setattr(tracker, "log_points", away)
        for tokens in (128, 256, 384):
            record.trial_lines(TRIAL, [line(tokens)])
            record._finish_sending()
    assert len(sends) == 1, "a server that is away is not asked again for every line"
    assert capsys.readouterr().out.count("MLflow is away. Training goes on") == 1
    record.trial_lines(TRIAL, [line(512)])
    client = MlflowClient(tracking_uri=tracker.uri)
    run = child(tracker, record)
    assert "train_loss" not in run.data.metrics
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    record.trial_result(TRIAL, DONE)
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")]
    assert steps == [128, 256, 384, 512]


def test_training_does_not_wait_for_a_slow_server(tracker, monkeypatch):
    record = SweepRecord(tracker, "slow", "sweep", {})
    answer, sent = threading.Event(), []

    def slow(_: str, points: list[Point]) -> None:
        answer.wait(60)
        sent.append([point.tokens for point in points if point.metric == "train_loss"])

    monkeypatch.setattr(tracker, "log_points", slow)
    for tokens in (128, 256, 384):
        record.trial_lines(TRIAL, [line(tokens)])
    assert not sent, "the lines were taken before the server answered"
    answer.set()
    record.trial_result(TRIAL, DONE)
    assert sent[:2] == [[128], [256, 384]], "lines that come meanwhile go out together"


def test_only_numbers_that_the_fit_has_become_metrics():
    law = {"E": 0.3, "A": 0.1, "alpha": 0.4, "ci95": {"alpha": [0.3, 0.5]}}
    none = {"E": None, "A": None, "alpha": None, "ci95": None}
    ridge = {"tokens_of_n": {"exponent": 0.8}, "n_of_tokens": {"exponent": None}}
    points = fit_points({"axes": {"n_databases": law, "tokens": none}, "ridge": ridge})
    assert {point.metric: point.value for point in points} == {
        "fit/n_databases/E": 0.3,
        "fit/n_databases/A": 0.1,
        "fit/n_databases/alpha": 0.4,
        "fit/n_databases/alpha_low": 0.3,
        "fit/n_databases/alpha_high": 0.5,
        "fit/ridge/tokens_of_n": 0.8,
    }
