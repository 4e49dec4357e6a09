"""Logs that break off, and what failures say."""

import pytest

from relscale.platform import following
from relscale.platform.errors import ResourceError
from relscale.platform.jobs import AwayError, Job


class Answers:
    """A job server that gives what is written down, and raises what is an error."""

    def __init__(self, *turns: tuple[str, str] | Exception) -> None:
        self.turns = list(turns)

    def job(self, id: str) -> Job:
        if isinstance(self.turns[0], Exception):
            raise self.turns.pop(0)
        return Job(id=id, state=self.turns[0][0])

    def log(self, id: str) -> str:
        return self.turns.pop(0)[1]


def follow(*turns) -> tuple[str, Job]:
    shown: list[str] = []
    job = following.follow(Answers(*turns), "x", shown.append)
    return "".join(shown), job


def test_a_log_is_shown_once_and_whole_over_lost_connections(monkeypatch):
    monkeypatch.setattr(following.time, "sleep", lambda seconds: None)
    away = AwayError("away")
    shown, job = follow(
        ("PENDING", ""),
        ("RUNNING", "one\n"),
        away,
        away,
        ("RUNNING", "one\ntwo"),
        ("SUCCEEDED", "one\ntwo\n3\n"),
    )
    assert shown == "one\ntwo\n3\n" and job.state == "SUCCEEDED"


def test_a_cluster_that_stays_away_is_given_up(monkeypatch):
    now = iter(range(0, 10_000, 100))
    monkeypatch.setattr(following.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(following.time, "monotonic", lambda: next(now))
    with pytest.raises(AwayError):
        follow(("RUNNING", ""), *[AwayError("away")] * 50)


@pytest.mark.parametrize(
    ("job", "log", "said"),
    [
        (Job(id="x", state="STOPPED"), "", "was stopped; submit its command again"),
        (
            Job(id="x", state="FAILED", exit_code=2),
            "a\nrelscale: no\n\n",
            "failed with exit code 2: relscale: no",
        ),
        (Job(id="x", state="FAILED", message="the node died"), "", "failed: the node died"),
        (
            Job(id="x", state="FAILED"),
            "py: No module named relscale",
            "has no relscale; install it there, or",
        ),
        (Job(id="x", state="FAILED"), "at http://a:s3cret@h", r"http://a:\*\*\*@h"),
    ],
)
def test_a_failure_ends_with_the_log(job, log, said):
    with pytest.raises(ResourceError, match=said):
        following.outcome(job, log)


def test_a_success_says_nothing():
    following.outcome(Job(id="x", state="SUCCEEDED"), "")
