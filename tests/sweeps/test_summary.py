import io

import pandas as pd
from rich.console import Console

from relscale.sweeps.summary import summary

RESULTS = pd.DataFrame(
    {
        "n_databases": [2, 2, 4, 4],
        "tokens": [1024, 2048, 1024, 2048],
        "seed": 0,
        "loss": [0.5, 0.45, 0.4567, None],
        "status": ["ok", "ok", "ok", "failed"],
        "reason": [None, None, None, "the loss is nan"],
        "loss_mean_predictor": [0.48, 0.48, 0.48, None],
    }
)
FIT = {
    "axes": {
        "n_databases": {
            "status": "ok",
            "E": 0.36,
            "A": 0.07,
            "alpha": 0.38,
            "ci95": {"alpha": [0.3, 0.46]},
            "u_shape": "u_shape",
        },
        "tokens": {
            "status": "failed",
            "E": None,
            "A": None,
            "alpha": None,
            "ci95": None,
            "u_shape": "inconclusive",
        },
    }
}
SCORES = [
    {
        "dataset": "shop",
        "task": "churn",
        "rows": 77,
        "metric": "roc_auc",
        "value": 0.7123,
        "ci95": [0.65, 0.77],
        "visibility": "temporal",
        "baselines": {"global_mean": 0.5, "entity_mean": 0.61},
    }
]


def shown(*arguments) -> str:
    page = io.StringIO()
    Console(file=page, width=100).print(summary(*arguments))
    return page.getvalue()


def test_every_number_and_every_gap_is_shown():
    text = " ".join(shown(RESULTS, FIT, SCORES, ["No law [is] claimed."]).split())
    for part in (
        "0.5000",
        "0.4500",
        "0.4567",
        "failed",
        "column means alone: 0.4800",
        "0.30 to 0.46",
        "u_shape",
    ):
        assert part in text
    for part in ("shop", "churn", "77", "0.712", "0.650–0.770", "0.610", "temporal"):
        assert part in text
    assert "• No law [is] claimed." in text, "a sentence is not markup"
    assert "1 of 4 trials failed (the loss is nan)" in text


def test_a_study_without_real_databases_has_no_score_table():
    assert "Zero-shot" not in shown(RESULTS, FIT, [], [])
