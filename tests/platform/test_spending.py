"""What a cluster costs: hours by group, over several calls, in a file and as metrics."""

import time

import pytest

from relscale.platform import metrics
from relscale.platform.spending import SPENDING, Spending, group_of, watched
from relscale.platform.storage import read_json, write_json

PRICES = {"head": 0.25, "cpu_gen": 0.5}


def test_node_hours_add_up_by_group():
    spent = Spending().after({"head": 1, "cpu_gen": 4}, 2.0).after({"head": 1, "gpu_train": 2}, 0.5)
    assert spent.node_hours == {"head": 2.5, "cpu_gen": 8.0, "gpu_train": 1.0}
    assert spent.dollars(PRICES) == 2.5 * 0.25 + 8 * 0.5, "a group without a price is free"


@pytest.mark.parametrize(
    ("labels", "is_head", "group"),
    [
        ({"relscale-group": "cpu_gen", "ray.io/node-group": "c6i"}, False, "cpu_gen"),
        ({"ray.io/node-group": "gpu_train"}, True, "gpu_train"),
        ({}, True, "head"),
        ({}, False, "other"),
    ],
)
def test_a_node_s_group_is_its_label_s_else_its_part(labels, is_head, group):
    assert group_of(labels, is_head=is_head) == group


def test_what_is_spent_goes_on_from_an_earlier_call(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(metrics, "count_dollars", lambda dollars, per_hour: told.append((dollars, per_hour)))
    write_json(tmp_path / SPENDING, {"node_hours": {"head": 2.0}})
    with watched(PRICES, tmp_path, look=lambda: {"head": 1, "cpu_gen": 2}, seconds=0.02):
        time.sleep(0.2)
    record = read_json(tmp_path / SPENDING)
    hours = record["node_hours"]
    assert hours["cpu_gen"] == pytest.approx(2 * (hours["head"] - 2.0)) and hours["cpu_gen"] >= 0.4 / 3600
    assert record["dollars"] == pytest.approx(0.25 * hours["head"] + 0.5 * hours["cpu_gen"])
    assert record["dollars_per_hour"] == 1.25 and record["prices"] == PRICES
    assert sum(dollars for dollars, _ in told) == pytest.approx(record["dollars"] - 0.5)
    assert [rate for _, rate in told[:-1]] == [1.25] * (len(told) - 1) and told[-1] == (0, 0)


def test_without_prices_nothing_is_written(tmp_path):
    with watched({}, tmp_path, seconds=0.01):
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []
