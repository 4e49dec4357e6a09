""" "Better" only where the paired interval over entities excludes zero."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error

from relscale.analysis.task_scores import difference_sentence, task_scores
from relscale.platform.seeds import Purpose, stream


def rows(error: float, n_entities: int = 30) -> pd.DataFrame:
    rng = stream(0, Purpose.EVALUATION)
    entity = np.repeat(np.arange(n_entities), 10)
    target = rng.normal(size=len(entity))
    far = rng.normal(size=len(entity))
    return pd.DataFrame(
        {
            "entity": entity,
            "target": target,
            "prediction": target + error * rng.normal(size=len(entity)),
            "global_mean": target + 3 * far,
            "entity_mean": target + far,
        }
    )


@pytest.mark.parametrize(("error", "verdict"), [(0.3, "better"), (1.0, "level"), (3.0, "worse")])
def test_the_verdict_follows_the_interval(error: float, verdict: str) -> None:
    entry = task_scores("nmae", mean_absolute_error, rows(error), ["global_mean", "entity_mean"], n_boot=200)
    assert entry["best_baseline"]["name"] == "entity_mean"
    difference = entry["difference"]
    assert difference["verdict"] == verdict
    assert difference["value"] == pytest.approx(entry["value"] - entry["baselines"]["entity_mean"])
    low, high = difference["ci95"]
    assert (low <= 0 <= high) == (verdict == "level")
    assert ("better" in difference_sentence(entry)) == (verdict == "better")


def test_few_entities_decide_nothing() -> None:
    entry = task_scores("nmae", mean_absolute_error, rows(0.1, 4), ["entity_mean"], n_boot=50)
    assert entry["ci95"] is not None
    assert (entry["ci95_entities"], entry["difference"]["ci95"]) == (None, None)
    assert entry["difference"]["verdict"] == "level"
    assert "too few entities" in difference_sentence(entry)
