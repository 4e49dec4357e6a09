"""Baselines against a plain loop and against published figures of rel-f1."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.baselines import Visibility, baseline_predictions
from relscale.platform.errors import DataError
from relscale.platform.seeds import Purpose, stream


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
    past = [row for name in known for row in tables[name].sort_values("time", kind="stable").itertuples()]
    found: dict[str, list[float]] = {}
    for row in tables[split].itertuples():
        seen = [other.label for other in past if other.time < row.time]
        own = [other.label for other in past if other.time < row.time and other.entity == row.entity] or None
        fallback = np.mean(seen)
        weights = 0.5 ** (np.arange(len(own or []))[::-1] / 5)
        values = {
            "global_mean": fallback,
            "entity_mean": np.mean(own) if own else fallback,
            "last_label": own[-1] if own else fallback,
            "mean_of_last_5": np.mean(own[-5:]) if own else fallback,
            "exponential_mean": np.average(own, weights=weights) if own else fallback,
        }
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize(
    ("split", "visibility", "known"),
    [
        ("test", "temporal", ["train", "val", "test"]),
        ("test", "strict", ["train", "val"]),
        ("val", "temporal", ["train", "val"]),
        ("val", "strict", ["train"]),
        ("test", "train-only", ["train"]),
    ],
)
def test_equals_a_plain_loop(split: str, visibility: Visibility, known: list[str]) -> None:
    tables = label_tables()
    found = baseline_predictions(tables, split=split, visibility=visibility)
    wanted = plain_loop(tables, known, split)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12)


def test_a_row_never_sees_its_own_time_nor_later() -> None:
    tables = label_tables()
    first = baseline_predictions(tables)
    last_day = tables["test"].time.max()
    tables["test"].loc[tables["test"].time == last_day, "label"] = 1e9
    for name, values in baseline_predictions(tables).items():
        np.testing.assert_array_equal(values, first[name])


def test_labels_that_are_missing_do_not_count() -> None:
    tables = label_tables()
    full = baseline_predictions(tables)
    tables["train"] = pd.concat([tables["train"], tables["train"].assign(label=np.nan)])
    for name, values in baseline_predictions(tables).items():
        np.testing.assert_allclose(values, full[name])


def test_a_row_without_any_past_is_refused() -> None:
    tables = label_tables()
    tables["train"] = tables["train"].iloc[:0]
    with pytest.raises(DataError, match="60 of 60 rows of split 'val' have no earlier label"):
        baseline_predictions(tables, split="val", visibility="strict")


NAMES = ("global_mean", "entity_mean", "last_label", "mean_of_last_5", "exponential_mean")


@pytest.mark.parametrize(
    ("task", "split", "visibility", "figures"),
    [
        ("driver-dnf", "test", "temporal", "53.6 78.0 68.5 81.2 82.2"),
        ("driver-top3", "test", "temporal", "47.8 86.3 78.9 88.4 90.2"),
        ("driver-position", "test", "temporal",
         "-10.9/0.640 38.9/0.467 42.2/0.434 55.3/0.393 52.9/0.405"),
        ("driver-dnf", "test", "strict", "50.0 69.9 40.3 60.2"),
        ("driver-top3", "test", "strict", "50.0 55.7 42.3 49.8"),
        ("driver-position", "test", "strict", "-11.9/0.642 12.4/0.578 -9.4/0.636 10.1/0.580"),
        ("driver-dnf", "test", "train-only", "50.0 57.3"),
        ("driver-top3", "test", "train-only", "50.0 64.6"),
        ("driver-position", "test", "train-only", "-14.4/0.648 -5.4/0.624"),
        ("driver-dnf", "val", "temporal", "50.2 69.9 63.3 71.9"),
        ("driver-top3", "val", "temporal", "46.0 78.0 76.4 87.0"),
        ("driver-position", "val", "temporal", "-34.7/0.612 22.6/0.460 14.9/0.478 32.8/0.417"),
    ],
)  # fmt: skip
def test_figures_of_rel_f1(rel_f1: Path, task: str, split: str, visibility: Visibility, figures: str) -> None:
    """AUROC x 100, or R2 x 100 and NMAE."""
    from sklearn.metrics import r2_score, roc_auc_score

    folder = rel_f1 / "tasks" / task
    target = {"driver-dnf": "did_not_finish", "driver-top3": "qualifying", "driver-position": "position"}[
        task
    ]
    names = {"date": "time", "driverId": "entity", target: "label"}
    tables = {
        name: pd.read_parquet(folder / f"{name}.parquet").rename(columns=names)
        for name in ("train", "val", "test")
    }
    found = baseline_predictions(tables, split=split, visibility=visibility)
    label = tables[split]["label"].to_numpy()

    def figure(prediction: np.ndarray) -> str:
        if task == "driver-position":
            error = np.abs(prediction - label).mean() / tables["train"]["label"].std()
            return f"{100 * r2_score(label, prediction):.1f}/{error:.3f}"
        return f"{100 * roc_auc_score(label, prediction):.1f}"

    wanted = figures.split()
    assert [figure(found[name]) for name in NAMES[: len(wanted)]] == wanted
