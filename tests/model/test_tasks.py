"""Task manifests become specs; tasks without an output in the model are named."""

from pathlib import Path

import pytest

from relscale.model.tasks import read_tasks
from relscale.platform.errors import DataError


def test_manifests_become_specs_in_name_order(handmade: Path):
    tasks, skipped = read_tasks(handmade)
    churn, spend, status = tasks
    assert (churn.name, churn.table, churn.entity_col, churn.time_col) == (
        "churn",
        "churn",
        "customer",
        "day",
    )
    assert churn.remove_columns == (("orders", "late"), ("customers", "vip"))
    assert (spend.task_type, spend.is_autocomplete) == ("regression", False)
    assert (status.table, status.entity_col, status.is_autocomplete) == ("orders", None, True)
    assert list(skipped) == ["next-product"]
    assert "recommendation" in skipped["next-product"]


def test_a_folder_without_tasks_has_none(tmp_path: Path):
    assert read_tasks(tmp_path) == ((), {})


@pytest.mark.parametrize("task_type", ["multiclass_classification", "multilabel_classification"])
def test_labels_without_an_output_are_kept_with_the_reason(tmp_path: Path, make_shop, task_type: str):
    manifest = make_shop(tmp_path / "shop") / "tasks" / "churn" / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("binary_classification", task_type))
    tasks, skipped = read_tasks(tmp_path / "shop")
    assert [task.name for task in tasks] == ["churn", "spend", "status"]
    assert sorted(skipped) == ["churn", "next-product"]
    assert task_type in skipped["churn"]


def test_a_contradictory_manifest_is_named(tmp_path: Path, make_shop):
    manifest = make_shop(tmp_path / "shop") / "tasks" / "churn" / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("entity_table: customers\n", ""))
    with pytest.raises(DataError, match=r"churn/manifest\.yaml.*entity_table.*mend or remove it"):
        read_tasks(tmp_path / "shop")
