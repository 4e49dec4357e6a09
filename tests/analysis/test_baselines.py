"""Baselines against a plain loop and against published figures of rel-f1."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.baselines import Visibility, baseline_predictions
from relscale.platform.errors import DataError
from relscale.platform.seeds import Purpose, stream

COLUMNS = {"time_col": "time", "entity_col": "entity", "target_col": "label"}


def label_tables(n_rows: int = 60, seed: int = 0) -> dict[str, pd.DataFrame]:
    rng = stream(seed, Purpose.EVALUATION)
    start = {"train": "2020-01-01", "val": "2021-01-01", "test": "2022-01-01"}
    return {
        split: pd.DataFrame(
            {
                "time": pd.Timestamp(day) + pd.to_timedelta(rng.integers(0, 9, n_rows), unit="D"),
                "entity": rng.integers(0, 40, n_rows),
                "label": rng.normal(size=n_rows),
            }
        )
        for split, day in start.items()
    }


def plain_loop(tables: dict[str, pd.DataFrame], known: list[str], split: str) -> dict[str, np.ndarray]:
    past = [row for name in known for row in tables[name].itertuples()]
    global_mean, entity_mean = [], []
    for row in tables[split].itertuples():
        seen = [other.label for other in past if other.time < row.time]
        own = [other.label for other in past if other.time < row.time and other.entity == row.entity]
        global_mean.append(np.mean(seen))
        entity_mean.append(np.mean(own or seen))
    return {"global_mean": np.array(global_mean), "entity_mean": np.array(entity_mean)}


@pytest.mark.parametrize(
    ("split", "visibility", "known"),
    [
        ("test", "temporal", ["train", "val", "test"]),
        ("test", "strict", ["train", "val"]),
        ("val", "temporal", ["train", "val"]),
        ("val", "strict", ["train"]),
    ],
)
def test_equals_a_plain_loop(split: str, visibility: Visibility, known: list[str]) -> None:
    tables = label_tables()
    found = baseline_predictions(tables, **COLUMNS, split=split, visibility=visibility)
    wanted = plain_loop(tables, known, split)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12)


def test_a_row_never_sees_its_own_time_nor_later() -> None:
    tables = label_tables()
    first = baseline_predictions(tables, **COLUMNS)
    last_day = tables["test"].time.max()
    tables["test"].loc[tables["test"].time == last_day, "label"] = 1e9
    for name, values in baseline_predictions(tables, **COLUMNS).items():
        np.testing.assert_array_equal(values, first[name])


def test_labels_that_are_missing_do_not_count() -> None:
    tables = label_tables()
    full = baseline_predictions(tables, **COLUMNS)
    tables["train"] = pd.concat([tables["train"], tables["train"].assign(label=np.nan)])
    for name, values in baseline_predictions(tables, **COLUMNS).items():
        np.testing.assert_allclose(values, full[name])


def test_a_row_without_any_past_is_refused() -> None:
    tables = label_tables()
    tables["train"] = tables["train"].iloc[:0]
    with pytest.raises(DataError, match="60 of 60 rows of split 'val' have no earlier label in 'time'"):
        baseline_predictions(tables, **COLUMNS, split="val", visibility="strict")


@pytest.mark.parametrize(
    ("task", "visibility", "global_mean", "entity_mean"),
    [
        ("driver-dnf", "temporal", "53.6", "78.0"),
        ("driver-top3", "temporal", "47.8", "86.3"),
        ("driver-position", "temporal", "-10.9 (0.640)", "38.9 (0.467)"),
        ("driver-dnf", "strict", "50.0", "69.9"),
        ("driver-top3", "strict", "50.0", "55.7"),
        ("driver-position", "strict", "-11.9 (0.642)", "12.4 (0.578)"),
    ],
)
def test_figures_of_rel_f1(
    rel_f1: Path, task: str, visibility: str, global_mean: str, entity_mean: str
) -> None:
    from relbench.manifest import TaskManifest
    from sklearn.metrics import r2_score, roc_auc_score

    folder = rel_f1 / "tasks" / task
    manifest = TaskManifest.load(folder / "manifest.yaml")
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "val", "test")}
    found = baseline_predictions(
        tables,
        time_col=manifest.time_col,
        entity_col=manifest.entity_col,
        target_col=manifest.target_col,
        visibility=visibility,
    )
    label = tables["test"][manifest.target_col].to_numpy()
    scale = tables["train"][manifest.target_col].std()

    def figure(prediction: np.ndarray) -> str:
        if manifest.task_type == "regression":
            error = np.abs(prediction - label).mean() / scale
            return f"{100 * r2_score(label, prediction):.1f} ({error:.3f})"
        return f"{100 * roc_auc_score(label, prediction):.1f}"

    assert figure(found["global_mean"]) == global_mean
    assert figure(found["entity_mean"]) == entity_mean
