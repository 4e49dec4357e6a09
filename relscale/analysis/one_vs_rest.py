"""Multi-class tasks for a model with a yes-or-no output: one binary task for each class.

The label rows of a class say whether the label is that class, in all contexts too; the prediction is the
class of the highest probability.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from relscale.analysis.label_tables import SPLITS
from relscale.platform import storage


def class_task(task: str, place: int) -> str:
    """Name of the binary task of the class at that place."""
    return f"{task}-class-{place}"


def write_one_vs_rest(folder: Path, task: str, classes: np.ndarray, out: Path) -> Path:
    """Write a RelBench 3 folder with the same tables and the binary tasks of a multi-class task.

    Parameters
    ----------
    folder : RelBench 3 folder with label files of the task.
    classes : its sorted labels.
    out : folder to write; its tables are a link to those of `folder`.
    """
    out.mkdir(parents=True, exist_ok=True)
    storage.write_bytes(out / "manifest.yaml", (folder / "manifest.yaml").read_bytes())
    if not (out / "db").exists():
        (out / "db").symlink_to((folder / "db").resolve(), target_is_directory=True)
    manifest = yaml.safe_load((folder / "tasks" / task / "manifest.yaml").read_text())
    target = manifest["target_col"]
    tables = {name: pd.read_parquet(folder / "tasks" / task / f"{name}.parquet") for name in SPLITS}
    for place, label in enumerate(classes):
        place_of = out / "tasks" / class_task(task, place)
        for name, rows in tables.items():
            one = rows.assign(**{target: (rows[target] == label).astype(np.int64)})
            storage.write_bytes(place_of / f"{name}.parquet", one.to_parquet(index=False))
        changed = {**manifest, "name": place_of.name, "task_type": "binary_classification"}
        storage.write_text(place_of / "manifest.yaml", yaml.safe_dump(changed, sort_keys=False))
    return out
