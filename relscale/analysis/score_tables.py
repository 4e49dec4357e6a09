"""The scores of an evaluation as a table: a row per task, visibility and metric; published ones apart."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import pandas as pd

from relscale.analysis.task_scores import LOWER_IS_BETTER

PUBLISHED = "published/zero_shot.csv"
"""Columns dataset, task, metric, value, model, visibility (whose labels were seen), protocol (how it differs
from ours) and source. None has our protocol, so they stand apart from the scores."""


def score_rows(scores: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row for each entry of scores.json and metric: a regression has both its NMAE and its R2.

    Columns: dataset, task, split, visibility, metric, value, low, high (95 %, over entities; NaN for too
    few), a column for each baseline, best_baseline, difference (value minus the best's), difference_low,
    difference_high, verdict, rows, entities, own_label_share, context_length (text: "128", or "8 + 16" for
    predictions averaged over lengths), context_seeds (their number).
    """
    rows = []
    for score in scores:
        rows.append(_row(score, score["metric"], score))
        if "r2" in score:
            fields = {key.removeprefix("r2_"): part for key, part in score.items() if key.startswith("r2_")}
            rows.append(_row(score, "r2", {**fields, "value": score["r2"]}))
    return pd.DataFrame(rows)


def published_rows(scores: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """What others published for the scored tasks, in the columns of `PUBLISHED`."""
    table = pd.read_csv(files("relscale.analysis").joinpath(PUBLISHED).open(encoding="utf-8"))
    tasks = {(score["dataset"], score["task"]) for score in scores if score["split"] == "test"}
    here = [pair in tasks for pair in zip(table["dataset"], table["task"], strict=True)]
    return table[here].reset_index(drop=True)


def baseline_names(table: pd.DataFrame) -> list[str]:
    """The columns of a table of `score_rows` that are baselines."""
    names = list(table.columns)
    return names[names.index("high") + 1 : names.index("best_baseline")]


def words(table: pd.DataFrame) -> dict[str, list[Any]]:
    """{"columns", "rows"} of a table of `score_rows` as one reads it: intervals beside their values."""
    baselines = baseline_names(table)
    names = ["dataset", "task", "visibility", "metric", "model [95 %]", *baselines]
    names += ["difference to the best [95 %]", "verdict", "rows", "entities", "own labels", "cells"]
    rows = [
        [
            row["dataset"],
            row["task"] if row["split"] == "test" else f"{row['task']} ({row['split']})",
            row["visibility"],
            f"{row['metric']} ({'lower' if row['metric'] in LOWER_IS_BETTER else 'higher'} is better)",
            _with_interval(row["value"], row["low"], row["high"], ".3f"),
            *(f"{row[name]:.3f}" for name in baselines),
            _with_interval(row["difference"], row["difference_low"], row["difference_high"], "+.3f"),
            row["verdict"],
            str(row["rows"]),
            str(row["entities"]),
            "none" if pd.isna(row["own_label_share"]) else f"{row['own_label_share']:.2f}",
            str(row["context_length"]),
        ]
        for row in table.to_dict("records")
    ]
    return {"columns": [name.replace("_", " ") for name in names], "rows": rows}


def published_words(table: pd.DataFrame) -> dict[str, list[Any]]:
    """{"columns", "rows"} of a table of `published_rows`."""
    names = ["dataset", "task", "metric", "model", "value", "labels seen", "not the same protocol", "source"]
    shown = table.assign(value=table["value"].map("{:.3g}".format))
    order = ["dataset", "task", "metric", "model", "value", "visibility", "protocol", "source"]
    return {"columns": names, "rows": shown[order].values.tolist()}


def markdown(table: Mapping[str, list[Any]]) -> str:
    """A table of words in GitHub's Markdown."""
    lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
    return "".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |\n" for line in lines)


def _row(score: Mapping[str, Any], metric: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    low, high = fields["ci95_entities"] or (None, None)
    difference = fields["difference"]
    difference_low, difference_high = difference["ci95"] or (None, None)
    return {
        **{name: score[name] for name in ("dataset", "task", "split", "visibility")},
        "metric": metric,
        "value": fields["value"],
        "low": low,
        "high": high,
        **fields["baselines"],
        "best_baseline": fields["best_baseline"]["name"],
        "difference": difference["value"],
        "difference_low": difference_low,
        "difference_high": difference_high,
        "verdict": difference["verdict"],
        **{name: score[name] for name in ("rows", "entities", "own_label_share")},
        "context_length": _cells(score["sampler"]),
        "context_seeds": len(score["context_seeds"]),
    }


def _with_interval(value: float, low: float, high: float, form: str) -> str:
    if pd.isna(low):
        return f"{value:{form}}"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _cells(sampler: Mapping[str, Any]) -> str:
    """Cells of a context, such as "128"; of several lengths "8 + 16 + 32"."""
    return " + ".join(map(str, sampler.get("context_lengths") or [sampler["context_length"]]))
