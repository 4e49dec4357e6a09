"""Zero-shot: the finding in the title, missing scores named."""

import pytest

from relscale.analysis.score_figures import zero_shot_bars

SCORE = {
    "dataset": "rel-f1", "task": "driver-dnf", "split": "test", "metric": "roc_auc", "value": 0.71,
    "ci95": [0.69, 0.73], "rows": 702, "visibility": "temporal",
    "baselines": {"constant": 0.5, "entity mean": 0.68},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({}, "better than the best baseline"),
        ({"ci95": [0.66, 0.76]}, "level with the best baseline"),
        ({"difference": {"verdict": "level"}}, "level with the best baseline"),
        ({"difference": {"verdict": "worse"}}, "worse than the best baseline"),
        ({"metric": "mae"}, "worse than the best baseline"),
        ({"value": None, "ci95": None}, "no score"),
        ({"baselines": {}}, "no baseline"),
    ],
)
def test_panels_state_the_finding(changes: dict, finding: str) -> None:
    score = {**SCORE, **changes}
    first, second = zero_shot_bars([score, {**SCORE, "task": "driver-top3"}]).figure.axes
    assert first.get_title(loc="left") == f"rel-f1 / driver-dnf (test): {finding}"
    assert second.get_title(loc="left").startswith("rel-f1 / driver-top3")
    assert len(first.patches) == len(score["baselines"]) + (score["value"] is not None)
    assert (" no score" in [text.get_text() for text in first.texts]) == (score["value"] is None)
