"""A run's folder: lines that survive kills, and a listener that hears each line once."""

import time

import pytest

from relscale.model.run_folder import append_metrics, following, prepare, read_metrics


def test_lines_after_the_resumed_step_and_a_cut_one_are_dropped(tmp_path):
    for step in (2, 4, 6):
        append_metrics(tmp_path, {"step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8')
    assert [line["step"] for line in read_metrics(tmp_path)] == [2, 4, 6]
    prepare(tmp_path, {"seed": 1}, step=4, trunk=None)
    assert [line["step"] for line in read_metrics(tmp_path)] == [2, 4]


def test_a_listener_hears_each_line_once_and_the_last_one_too(tmp_path):
    heard: list[int] = []
    append_metrics(tmp_path, {"step": 1})
    with following(tmp_path, lambda lines: heard.extend(line["step"] for line in lines), seconds=0.01):
        while heard != [1]:
            time.sleep(0.01)
        append_metrics(tmp_path, {"step": 2})
        append_metrics(tmp_path, {"step": 3})
    assert heard == [1, 2, 3]


def test_a_listeners_error_is_raised_when_the_work_is_done(tmp_path):
    append_metrics(tmp_path, {"step": 1})

    def fail(lines: list[dict]) -> None:
        raise ValueError("deaf")

    done = False
    with pytest.raises(ValueError, match="deaf"), following(tmp_path, fail, seconds=0.01):
        time.sleep(0.05)
        done = True
    assert done
