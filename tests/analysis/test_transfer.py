"""The table of a transfer study: values, intervals over entities and seeds, paired differences."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind
from sklearn.metrics import r2_score, roc_auc_score

from relscale.analysis.resampling import welch_interval
from relscale.analysis.transfer import Evaluation, markdown, transfer_table
from relscale.analysis.transfer_figures import transfer_figure
from relscale.platform.seeds import Purpose, stream

BASELINE = {"name": "entity_mean", "value": 0.6}
METRIC = {"visits": "r2", "returns": "roc_auc"}


def evaluation(dataset: str, arm: str, seed: int, noise: float) -> Evaluation:
    """Predictions that are the target plus noise."""
    rng, frames, scores = stream(1, Purpose.EVALUATION), {}, []
    own = stream(2, Purpose.EVALUATION, seed, int(100 * noise))
    for task, metric in METRIC.items():
        entity = np.repeat(np.arange(40), 5)
        target = rng.normal(size=40)[entity] + rng.normal(size=200)
        prediction = target + noise * own.normal(size=200)
        target = target if metric == "r2" else (target > 0).astype(float)
        frames[task] = pd.DataFrame({"entity": entity, "target": target, "prediction": prediction})
        kind = "regression" if metric == "r2" else "binary_classification"
        value = (r2_score if metric == "r2" else roc_auc_score)(target, prediction)
        entry = {"task": task, "task_type": kind, "value": value, "best_baseline": BASELINE}
        scores.append({**entry, "r2": value, "r2_best_baseline": BASELINE})
    return Evaluation(dataset=dataset, arm=arm, seed=seed, scores=scores, predictions=frames)


@pytest.fixture(scope="module")
def evaluations() -> list[Evaluation]:
    return [
        evaluation(dataset, arm, seed, noise)
        for dataset in ("a", "b")
        for arm, noise, seeds in (("real", 1.0, (0, 1, 2)), ("synthetic", 0.3, (0,)), ("both", 1.0, (3, 4)))
        for seed in seeds
    ]


@pytest.fixture(scope="module")
def table(evaluations):
    return transfer_table(evaluations, n_boot=200)


def test_a_value_is_the_mean_over_seeds_within_its_interval(evaluations, table):
    rows = {(r["dataset"], r["task"], r["arm"]): r for r in table["values"]}
    row = rows["a", "visits", "real"]
    by_seed = [one.scores[0]["r2"] for one in evaluations if (one.dataset, one.arm) == ("a", "real")]
    assert row["value"] == pytest.approx(np.mean(by_seed))
    assert (row["seed_low"], row["seed_high"]) == pytest.approx((min(by_seed), max(by_seed)))
    assert row["low"] < row["value"] < row["high"] and row["seeds"] == 3


def test_differences_are_paired_and_point_from_first_to_second(table):
    row = next(r for r in table["differences"] if r["task"] == "visits" and r["second"] == "synthetic")
    values = {r["arm"]: r for r in table["values"] if (r["dataset"], r["task"]) == ("a", "visits")}
    assert row["difference"] == pytest.approx(values["synthetic"]["value"] - values["real"]["value"])
    assert row["low"] > 0  # less noise is better
    assert row["welch_low"] is None  # of one seed nobody knows how runs differ
    level = next(r for r in table["differences"] if r["task"] == "visits" and r["second"] == "both")
    assert level["low"] < 0 < level["high"]  # equal noise is level
    assert level["welch_high"] - level["welch_low"] > level["high"] - level["low"]


def test_the_interval_of_welch_is_that_of_scipy():
    rng = stream(3, Purpose.EVALUATION)
    first, second = rng.normal(0, 1, 3), rng.normal(1, 3, 5)
    parts = [(values.var(ddof=1) / len(values), len(values) - 1) for values in (first, second)]
    expected = ttest_ind(second, first, equal_var=False).confidence_interval()
    assert welch_interval(second.mean() - first.mean(), parts) == pytest.approx(list(expected))
    assert welch_interval(0.0, [(0.0, 2)]) is None


def test_the_mean_is_over_the_tasks_of_one_metric(table):
    rows = [r for r in table["values"] if (r["metric"], r["arm"]) == ("roc_auc", "synthetic")]
    single = [r["value"] for r in rows if r["task"] == "returns"]
    (mean,) = (r for r in rows if r["task"] == "mean")
    assert mean["dataset"] == "all" and mean["value"] == pytest.approx(np.mean(single))


def test_the_page_and_the_figure_show_every_row(table):
    page = markdown(table, "title", "note")
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    n_groups = len({(r["dataset"], r["task"], r["metric"]) for r in table["values"]})
    assert len(lines) == n_groups + len(table["differences"]) + 2
    drawing = transfer_figure(table["values"])
    assert len(drawing.figure.axes) == n_groups and len(drawing.data) == len(table["values"])


def test_rows_in_another_order_are_an_error(evaluations):
    first = evaluations[0]
    turned = {task: frame.iloc[::-1].reset_index(drop=True) for task, frame in first.predictions.items()}
    other = Evaluation(dataset="a", arm="x", seed=0, scores=first.scores, predictions=turned)
    with pytest.raises(AssertionError, match="another order"):
        transfer_table([first, other], n_boot=10)
