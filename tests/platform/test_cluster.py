import pytest

from relscale.platform.cluster import available_cpus, connect
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
        assert available_cpus() == 2
    assert ray.is_initialized()
