"""The table, figure and page of an evaluation hold the numbers of scores.json, published ones apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from relscale.analysis.score_dots import score_dots
from relscale.analysis.score_report import write_scores
from relscale.analysis.score_tables import baseline_names, published_rows, score_rows, words


def entry(**changes: Any) -> dict[str, Any]:
    fields = {
        "value": 0.71,
        "ci95_entities": [0.65, 0.77],
        "baselines": {"entity_mean": 0.68, "last_label": 0.6},
        "best_baseline": {"name": "entity_mean", "value": 0.68},
        "difference": {"value": 0.03, "ci95": [0.01, 0.05], "verdict": "better"},
    }
    return {
        "dataset": "rel-f1", "task": "driver-dnf", "split": "test", "visibility": "temporal",
        "metric": "roc_auc", **fields, "rows": 702, "entities": 42, "own_label_share": 0.96,
        "context_seeds": [0, 1], "sampler": {"context_length": 128}, "checkpoint": "final", **changes,
    }  # fmt: skip


def regression() -> dict[str, Any]:
    r2 = {key: entry()[key] for key in ("ci95_entities", "baselines", "best_baseline", "difference")}
    changes = {"task": "driver-position", "metric": "nmae", "value": 0.5, "r2": 0.34, "own_label_share": None}
    return entry(**changes, **{f"r2_{key}": value for key, value in r2.items()})


def test_a_regression_has_a_row_for_each_of_its_metrics() -> None:
    table = score_rows([entry(), entry(visibility="strict", ci95_entities=None), regression()])
    assert list(table["metric"]) == ["roc_auc", "roc_auc", "nmae", "r2"]
    assert list(table["value"]) == [0.71, 0.71, 0.5, 0.34]
    assert baseline_names(table) == ["entity_mean", "last_label"]
    shown = words(table)
    assert [row[4] for row in shown["rows"][:2]] == ["0.710 [0.650, 0.770]", "0.710"]
    assert shown["rows"][0][7:9] == ["+0.030 [+0.010, +0.050]", "better"]
    assert [row[11] for row in shown["rows"]] == ["0.96", "0.96", "none", "none"]


def test_published_figures_are_those_of_the_task_and_say_what_differs() -> None:
    found = published_rows([entry()])
    plurel = found[found["visibility"] == "temporal"].set_index("model")["value"]
    assert dict(plurel) == pytest.approx(
        {
            "RT, other real databases": 0.807,
            "PluRel, synthetic then real": 0.81,
            "PluRel, synthetic only": 0.767,
        }
    )
    assert (found["protocol"].str.len() > 20).all() and found["source"].notna().all()
    assert published_rows([entry(split="val")]).empty
    assert published_rows([entry(dataset="shop")]).empty


def test_the_figure_draws_every_number_once() -> None:
    scores = [entry(), entry(visibility="strict", value=0.49)]
    (axes,) = score_dots(score_rows(scores), published_rows(scores)).figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:2] == ["temporal: better", "strict: better"] and len(labels) == 6
    dots = [np.asarray(line.get_xdata())[0] for line in axes.lines if line.get_marker() == "o"]
    diamonds = [np.asarray(line.get_xdata())[0] for line in axes.lines if line.get_marker() == "D"]
    assert dots == [0.71, 0.49]
    assert diamonds == pytest.approx([0.807, 0.81, 0.767, 0.73])


def test_the_page_stands_by_itself(tmp_path: Path) -> None:
    page = write_scores(tmp_path, [entry(), regression()], n_boot=50).read_text()
    assert 'src="data:image/' in page and "http" not in page.replace("http://www.w3.org", "")
    assert "worse" not in page and "0.710 [0.650, 0.770]" in page and "rel-f1" in page
    assert list(pd.read_csv(tmp_path / "scores.csv")["value"]) == [0.71, 0.5, 0.34]
    lines = (tmp_path / "scores.md").read_text().splitlines()
    assert len({line.count("|") for line in lines[:5]}) == 1 and "better" in lines[2]
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"scores.png", "scores.svg"}
