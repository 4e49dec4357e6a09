"""Scores against loss, N and S: what is drawn, the baselines, the sentence."""

import pytest
from study_fit import N, S, study_scores

from relscale.analysis.trial_score_figures import trial_score_figure


def test_panels_hold_the_networks_their_means_and_the_baselines() -> None:
    table = study_scores()
    drawing = trial_score_figure(table, n_boot=100)
    assert drawing is not None
    loss, against_n, against_s = drawing.figure.axes
    assert loss.get_title(loc="left") == "rel-f1 / driver-dnf"
    assert loss.get_ylabel() == "roc_auc (higher is better)"
    assert list(loss.lines[0].get_ydata()) == pytest.approx(list(1 - table["loss"]))
    assert list(against_n.lines[1].get_xdata()) == N and list(against_s.lines[1].get_xdata()) == S[1:4]
    bars = against_n.collections[0].get_segments()
    assert [bar[1][1] - bar[0][1] for bar in bars] == pytest.approx([0.2] * len(N))
    assert [line.get_ydata()[0] for line in against_s.lines[-2:]] == [0.6, 0.5]
    assert {"entity mean", "global mean"} <= {text.get_text() for text in against_s.texts}
    assert "a lower held-out loss goes with a better score (rank correlation 1.00" in drawing.caption
    assert "labels seen: temporal" in drawing.caption
    assert len(drawing.data) == len(table)


def test_two_networks_show_no_relation() -> None:
    assert trial_score_figure(study_scores().head(2), n_boot=10) is None
