import io

import pytest
from rich.console import Console

from relscale.platform import progress


@pytest.mark.parametrize(
    ("value", "text"),
    [(8, "8"), (1024, "1,024"), (16_384, "16.4 K"), (524_288_000, "524 M"), (33_554_432_000, "33.6 B"),
     (999_999_999, "1 B"), (0.5, "0.5"), (2e12, "2 T")],
)  # fmt: skip
def test_human_count(value: float, text: str) -> None:
    assert progress.human_count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1024, "1.02 KB"), (524_288_000, "524 MB"), (33.6e9, "33.6 GB")],
)
def test_human_bytes(value: float, text: str) -> None:
    assert progress.human_bytes(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.2, "0 s"), (99, "99 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_human_seconds(value: float, text: str) -> None:
    assert progress.human_seconds(value) == text


def test_pace_and_time_left_are_those_of_late(monkeypatch):
    """1,000 found done at once, then 10 in 20 seconds: 0.5 a second, and 4.5 hours for the other 8,000."""
    log, clock = io.StringIO(), [0.0]
    monkeypatch.setattr(progress, "console", Console(file=log))
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress, "SECONDS_OF_PACE", 100.0)
    with progress.bar("generate", 10_000, "databases") as advance:
        advance(1000)
        for _ in range(990):
            clock[0] += 2
            advance(1, note="2 MB")
        clock[0] += 20
        advance(10, note="3 MB")
    last = log.getvalue().splitlines()[-1]
    assert last == "generate     2,000/10 K databases  33 min, 0.5/s, 4.4 h left  3 MB"


@pytest.mark.parametrize(("pause", "n_lines"), [(0.0, 10), (3600.0, 1)])
def test_a_log_gets_a_line_for_a_tenth_but_not_too_often(monkeypatch, pause, n_lines):
    log = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=log))
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", pause)
    with progress.bar("train", 1000, "tokens") as advance:
        for _ in range(1000):
            advance(1, note="loss 0.5")
    lines = log.getvalue().splitlines()
    assert len(lines) == n_lines
    assert lines[-1].startswith("train") and "1,000/1,000 tokens" in lines[-1] and "loss 0.5" in lines[-1]


def test_a_terminal_gets_a_bar(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=log, force_terminal=True, width=140))
    with progress.bar("generate", 4, "databases") as advance:
        advance(4)
    assert "4/4 databases" in log.getvalue()
