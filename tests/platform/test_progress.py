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
