import time

import pytest

from relscale.platform.cluster import connect, node_resources, on_each_node
from relscale.platform.errors import ResourceError


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", "'127.0.0.1:9' does not answer"),
        ("ray://127.0.0.1:9", "does not answer"),
        ("nowhere", "not of the form host:port"),
    ],
)
def test_an_unreachable_cluster_is_named_at_once(address, message, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ResourceError, match=message), connect(address):
        pass


@pytest.mark.ray
def test_a_connected_process_keeps_its_connection(ray_session):
    import ray

    with connect("127.0.0.1:9"):
        assert ray.cluster_resources()["CPU"] == 2
    assert ray.is_initialized()


def _halved(number: int) -> float:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number / 2


def _slow() -> None:
    time.sleep(3)


@pytest.mark.ray
def test_every_node_answers_or_says_why_not(ray_session):
    (node,) = node_resources()
    assert node_resources()[node]["CPU"] == 2
    assert on_each_node(_halved, 4) == ({node: 2.0}, {})
    assert on_each_node(_halved, 3) == ({}, {node: "ValueError: 3 is odd"})
    results, failures = on_each_node(_slow, seconds=0.1)
    assert results == {} and failures == {node: "no answer within 0.1 s"}
