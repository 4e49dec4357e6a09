"""Zero-shot: the finding in the title, missing scores named, whether a lower loss means a better score."""

import pytest
from study_fit import study_scores, study_table

from relscale.analysis.score_figures import best_trial_scores, zero_shot_against_loss, zero_shot_bars

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


def test_scores_of_three_networks_are_drawn_against_their_loss() -> None:
    scores, table = study_scores(), study_table()
    drawing = zero_shot_against_loss(scores, table)
    assert drawing is not None
    first, second, third = drawing.figure.axes
    assert first.get_title(loc="left") == (
        "rel-f1 / driver-dnf: lower loss, better score\n(rank correlation 1.00, 5 networks)"
    )
    assert list(first.lines[0].get_xdata()) == pytest.approx([1.0 - score["value"] for score in scores])
    assert list(second.lines[0].get_xdata()) == [score["n_databases"] for score in scores]
    assert third.lines[-1].get_ydata()[0] == 0.6  # the best baseline
    assert len(drawing.data) == 5
    worse = zero_shot_against_loss([score | {"metric": "mae"} for score in scores], table)
    assert worse is not None
    assert "worse score" in worse.figure.axes[0].get_title(loc="left")


def test_fewer_networks_and_scores_without_a_trial_show_no_relation() -> None:
    scores, table = study_scores(), study_table()
    assert zero_shot_against_loss(scores[:2], table) is None
    assert zero_shot_against_loss([SCORE] * 5, table) is None
    assert zero_shot_against_loss([score | {"value": None} for score in scores], table) is None


def test_bars_are_those_of_the_network_with_the_lowest_loss() -> None:
    scores, table = study_scores(), study_table()
    best = max(scores, key=lambda score: score["value"])  # a score is 1 - loss
    assert best_trial_scores(scores, table) == [best]
    assert best_trial_scores([SCORE], table) == [SCORE]
