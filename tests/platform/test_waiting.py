"""When a wait is spoken of, and in which words."""

from relscale.platform.autoscaling import Activity, first_autoscaler
from relscale.platform.waiting import Patience, waiting_sentence


def test_a_wait_is_explained_after_a_minute_and_then_less_often():
    patience = Patience(since=0.0)
    due = [second for second in range(0, 3000, 5) if patience.is_due(second)]
    assert due == [60, 120, 240, 480, 960, 1560, 2160, 2760]


def test_work_that_goes_on_starts_the_wait_anew():
    patience = Patience(since=0.0)
    assert patience.is_due(61.0)
    patience.went_on(100.0)
    assert not patience.is_due(159.0) and patience.is_due(160.0)


def test_one_line_says_what_is_asked_had_and_done():
    sentence = waiting_sentence("tasks ask for 1 CPU each", "0 CPUs on 1 node", "")
    assert sentence == "tasks ask for 1 CPU each; the cluster has 0 CPUs on 1 node; no node is being started."


def test_the_first_autoscaler_tells_launches_and_failures():
    report = {
        "pending_launches": {"cpu_gen": 2},
        "pending_nodes": [["10.0.0.7", "cpu_gen", "waiting-for-ssh"]],
        "node_availability_summary": {
            "node_availabilities": {
                "cpu_gen": {"unavailable_node_information": None},
                "gpu_train": {
                    "unavailable_node_information": {
                        "category": "Quota",
                        "description": "0 of 8 vCPUs",
                    }
                },
            }
        },
    }
    activity = first_autoscaler((), {"autoscaler_report": report})
    assert (
        activity.sentence == "3 cpu_gen being started, gpu_train could not be started (Quota: 0 of 8 vCPUs)"
    )
    assert first_autoscaler((), {}) == Activity(waiting=(), launching={}, failures={})


def test_what_no_group_can_hold_is_said():
    activity = Activity(waiting=(), launching={}, failures={}, impossible=({"CPU": 64, "memory": 2e12},))
    assert activity.sentence == "no group of nodes can hold 64 CPUs, 2 TB of memory"
