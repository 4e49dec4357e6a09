"""Keys to receipts: all of them, small tasks batched, errors as they were raised, lost workers replaced."""

import os
import signal
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import relscale
from relscale.platform.dataflow import TASKS_PER_CPU, _call, map_keys, map_keys_here, peak_mb
from relscale.platform.errors import DataError


def receipt(key: int) -> dict:
    # Receipts need not share their fields.
    return {"key": key, "odd": "yes"} if key % 2 else {"key": key, "reason": None}


@pytest.mark.ray
def test_every_key_gives_its_receipt(ray_session):
    keys = [9, 4, 7, 1, 0, 12]
    spread = dict(map_keys(receipt, keys))
    assert spread == dict(map_keys_here(receipt, keys)) == {key: receipt(key) for key in keys}


@pytest.mark.ray
def test_after_the_first_keys_many_share_a_task(ray_session):
    def work(key: int) -> dict:
        import ray

        context = ray.get_runtime_context()
        return {"task": context.get_task_id(), "resources": context.get_assigned_resources()}

    receipts = [receipt for _, receipt in sorted(map_keys(work, range(400)))]
    n_first = TASKS_PER_CPU * 2
    assert len({receipt["task"] for receipt in receipts[:n_first]}) == n_first
    rest = receipts[n_first:]
    assert len({receipt["task"] for receipt in rest}) == TASKS_PER_CPU * 2, "few, as the work is little"
    assert all(receipt["resources"]["CPU"] == 1 for receipt in receipts)
    assert all(50e6 < receipt["resources"]["memory"] < 5e9 for receipt in rest), "as was measured"


def test_a_call_has_one_thread():
    import numpy as np

    def threads(key: int) -> dict:
        return {"threads": [pool["num_threads"] for pool in threadpool_info()]}

    assert np.ones((2, 2)).sum() == 4  # a BLAS is loaded
    with threadpool_limits(limits=2):
        assert 2 in threads(0)["threads"]
        result = _call(threads, 0, relscale.__version__)
    assert set(result["receipt"]["threads"]) == {1}
    assert result["cost"]["seconds"] < 60 < result["cost"]["peak_mb"]


@pytest.mark.ray
def test_an_error_arrives_as_it_was_raised(ray_session):
    def fail(key: int) -> dict:
        raise DataError(f"key {key} is bad; use another.")

    with pytest.raises(DataError, match=r"^key 3 is bad; use another\.$"):
        list(map_keys(fail, [3]))


@pytest.mark.ray
def test_a_killed_worker_is_replaced(ray_session, tmp_path: Path):
    folder = str(tmp_path)

    def die_once(key: int) -> dict:
        mark = Path(folder) / f"{key}"
        if key % 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"key": key}

    assert sorted(map_keys(die_once, range(4))) == [(key, {"key": key}) for key in range(4)]
    assert len(list(tmp_path.iterdir())) == 2


def test_no_key_needs_no_cluster():
    assert list(map_keys(receipt, [])) == []


def test_peak_memory_is_in_megabytes():
    before = peak_mb()
    block = bytearray(int(before + 100) * 2**20)
    assert peak_mb() > before + 90
    assert len(block) > 0
