"""What a finished study prints: the grid, the verdict on each axis, the zero-shot scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from relscale.platform.progress import human_count

STYLE: dict[str, Any] = {
    "box": SIMPLE_HEAD,
    "title_justify": "left",
    "title_style": "bold",
    "pad_edge": False,
    "collapse_padding": True,
}


def summary(
    results: pd.DataFrame,
    fit: Mapping[str, Any],
    scores: Sequence[Mapping[str, Any]],
    verdict: Sequence[str],
) -> RenderableType:
    """Lay out the outcome of a study for a terminal.

    Parameters
    ----------
    results : the results table.
    fit : contents of fit.json.
    scores : contents of scores.json.
    verdict : one sentence per finding, as `relscale.analysis.report` words them.
    """
    sentences = [Text(f"• {sentence}") for sentence in [*failures(results), *verdict]]
    parts: list[RenderableType] = [grid_table(results), law_table(fit), *sentences]
    if scores:
        parts.append(score_table(scores))
    return Group(*parts)


def failures(results: pd.DataFrame) -> list[str]:
    """A sentence for each reason why trials have no loss, with their number."""
    failed = results[results["status"] != "ok"]
    counts = failed["reason"].fillna("no reason is known").value_counts()
    return [
        f"{count} of {len(results)} trials failed ({reason}); run the same command again to retry."
        for reason, count in counts.items()
    ]


def grid_table(results: pd.DataFrame) -> Table:
    """Held-out loss, mean over seeds: a row for each N, a column for each S."""
    known = results.get("loss_mean_predictor", pd.Series(dtype=float)).mean()
    title = "Held-out loss" + (f" (column means alone: {known:.4f})" if known == known else "")
    table = Table(title=title, **STYLE)
    table.add_column("databases", justify="right", style="bold")
    budgets = sorted(results["tokens"].unique())
    for tokens in budgets:
        table.add_column(f"{human_count(tokens)} tokens", justify="right")
    done = results[results["status"] == "ok"]
    means = done.groupby(["n_databases", "tokens"])["loss"].mean()
    for n in sorted(results["n_databases"].unique()):
        cells = [
            f"{means[n, tokens]:.4f}" if (n, tokens) in means.index else "[red]failed[/]"
            for tokens in budgets
        ]
        table.add_row(str(n), *cells)
    return table


def law_table(fit: Mapping[str, Any]) -> Table:
    """L(x) = E + A x^-alpha for each axis, or why there is none."""
    table = Table(title="L(x) = E + A x^-alpha", **STYLE)
    for name in ("axis", "status", "E", "A", "alpha", "95 % of alpha", "shape"):
        table.add_column(name, overflow="fold")
    for axis, law in fit["axes"].items():
        interval = (law["ci95"] or {}).get("alpha")
        table.add_row(
            axis,
            law["status"],
            *(_number(law[name]) for name in ("E", "A", "alpha")),
            f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "—",
            law["u_shape"],
        )
    return table


def score_table(scores: Sequence[Mapping[str, Any]]) -> Table:
    """Zero-shot scores on real databases beside the baselines under the same visibility."""
    seen = ", ".join(sorted({score["visibility"] for score in scores}))
    title = f"Zero-shot, all rows of the split (visibility of labels: {seen})"
    table = Table(title=title, **STYLE)
    for name in ("dataset and task", "rows", "metric", "model", "95 %", "best baseline"):
        table.add_column(name, no_wrap=name in ("dataset and task", "95 %"))
    dataset, several = None, "," in seen
    for score in scores:
        if score["dataset"] != dataset:
            dataset = score["dataset"]
            table.add_section()
            table.add_row(f"[bold]{dataset}[/]")
        table.add_row(
            f"  {score['task']}, {score['visibility']}" if several else f"  {score['task']}",
            str(score["rows"]),
            score["metric"],
            f"{score['value']:.3f}",
            "{:.3f}–{:.3f}".format(*(score.get("ci95_entities") or score["ci95"])),
            _best_baseline(score),
        )
    return table


def _best_baseline(score: Mapping[str, Any]) -> str:
    """Name and value, and whether the model is better; scores of earlier versions have no best one."""
    if "difference" not in score:
        return ", ".join(f"{name} {value:.3f}" for name, value in score["baselines"].items())
    best = score["best_baseline"]
    return f"{best['name'].replace('_', ' ')} {best['value']:.3f}, model {score['difference']['verdict']}"


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.4g}"
