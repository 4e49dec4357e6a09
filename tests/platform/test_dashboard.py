"""What Ray's dashboard says, in relscale's words."""

from relscale.platform.dashboard import _status
from relscale.platform.jobs import Job


def node(state: str = "ALIVE", *, head: bool = False, **labels: str) -> dict:
    return {"raylet": {"state": state, "isHeadNode": head, "labels": labels}}


def test_nodes_demand_launches_and_jobs():
    nodes = [
        node(head=True),
        node(**{"relscale-group": "cpu_gen"}),
        node(**{"relscale-group": "cpu_gen"}),
        node("DEAD"),
    ]
    load = {
        "loadMetricsReport": {"resourceDemand": [[{"CPU": 1.0, "memory": 2e9}, 40], [{"GPU": 1.0}, 0]]},
        "autoscalerReport": {
            "pendingLaunches": {"cpu_gen": 3},
            "pendingNodes": [["10.0.0.4", "gpu_train", "setting-up"]],
        },
    }
    command = "relscale sweep --set tracking.uri=http://ann:s3cret@host"
    jobs = [Job(id="study-1", state="RUNNING", command=command), Job(id="study-0", state="SUCCEEDED")]
    seen = _status(nodes, load, jobs)
    assert seen.nodes == {"head": 1, "cpu_gen": 2}
    assert seen.demand == {"CPU: 1, memory: 2e+09": 40}
    assert seen.coming == ["3 new cpu_gen", "1 new gpu_train (setting-up)"]
    assert seen.jobs == ["study-1 running: relscale sweep --set tracking.uri=http://ann:***@host"]


def test_a_cluster_without_an_autoscaler_waits_for_nothing():
    seen = _status([node(head=True)], None, [])
    assert (seen.nodes, seen.demand, seen.coming, seen.jobs) == ({"head": 1}, {}, [], [])
