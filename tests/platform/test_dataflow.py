import pytest

from relscale.platform.dataflow import map_keys, map_keys_here


def receipt(key: int) -> dict:
    # Receipts need not share their fields.
    return {"key": key, "odd": "yes"} if key % 2 else {"key": key, "reason": None}


@pytest.mark.ray
def test_receipts_come_in_the_order_of_the_keys(ray_session):
    keys = [9, 4, 7, 1, 0, 12]
    seen: list[dict] = []
    spread = map_keys(receipt, keys, seconds_per_key=10, on_done=seen.append)
    assert spread == map_keys_here(receipt, keys) == [receipt(key) for key in keys]
    assert sorted(item["key"] for item in seen) == sorted(keys)


def test_no_key_needs_no_cluster():
    assert map_keys(receipt, []) == []
