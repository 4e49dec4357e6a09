import io

import pytest
from rich.console import Console

from relscale.platform import progress


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (950, "950"), (12_500, "12.5k"), (4_200_000, "4.2M"), (3.2e10, "32B")]
)
def test_human_number(value, text):
    assert progress.human_number(value) == text


def test_a_log_gets_one_line_for_every_tenth(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=log))
    with progress.bar("train", 1000, "tokens") as advance:
        for _ in range(1000):
            advance(1, note="loss 0.5")
    lines = log.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("train") and "1k/1k tokens" in lines[-1] and "loss 0.5" in lines[-1]


def test_a_terminal_gets_a_bar(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=log, force_terminal=True, width=140))
    with progress.bar("generate", 4, "databases") as advance:
        advance(4)
    assert "4/4 databases" in log.getvalue()
