"""One page with everything a table of runs supports: verdict, figures, numbers, and what made them."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from relscale.analysis import figures
from relscale.analysis.fit import fit_results
from relscale.analysis.page import render_page, save_figure
from relscale.analysis.results import COLUMNS, check_results, load_results
from relscale.analysis.verdict import verdict_sentences
from relscale.platform import storage
from relscale.platform.progress import human_count

_SCORE_COLUMNS = ("dataset", "task", "split", "metric", "value", "ci95", "rows", "visibility", "baselines")
_CAPTIONS = {
    "loss_curves": "Every run (dots), the mean over seeds (lines), and the minimum of each line: filled "
    "inside the grid, hollow at its edge.",
    "loss_heatmap": "Mean held-out loss of every grid point.",
    "law_n_databases": "Loss along the number of databases; beside it the excess over the fitted offset.",
    "law_tokens": "Loss along the number of tokens; beside it the excess over the fitted offset.",
    "learning_curves": "Training loss of every run.",
    "zero_shot": "Zero-shot scores on real databases beside simple baselines; black: 95 % interval.",
}


def write_fit(
    out: Path, results_path: Path | str, *, drop_nonfinite: bool = False, n_boot: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Fit a results file and write fit.json, figures and report.html into `out`; returns the fit.

    Raises
    ------
    AnalysisError : the file is unusable (see `load_results` and `check_results`).
    """
    results = load_results(results_path)
    fit = fit_results(results, n_boot=n_boot, seed=seed, drop_nonfinite=drop_nonfinite)
    file = Path(results_path)
    facts = {
        "results": f"{file.name}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}",
        "bootstrap": f"{n_boot} draws, seed {seed}",
        "versions": ", ".join(f"{name} {version(name)}" for name in ("relscale", "numpy", "scipy", "pandas")),
    }
    write_report(out, title=f"Scaling laws of {file.name}", results=results, fit=fit, facts=facts)
    return fit


def write_report(
    out: Path,
    *,
    title: str,
    results: pd.DataFrame,
    fit: Mapping[str, Any],
    history: pd.DataFrame | None = None,
    scores: Sequence[Mapping[str, Any]] | None = None,
    facts: Mapping[str, str],
) -> Path:
    """Write report.html (self-contained), figures/*.png and *.svg, and fit.json.

    Parameters
    ----------
    out : folder, made if missing.
    results : the table that was fitted, failed rows included; they are listed and not drawn.
    fit : what `fit_results` returned for it.
    history : training curves for `figures.learning_curves`, if there are any.
    scores : entries of scores.json, if there are any.
    facts : what made this: configuration, fingerprints, versions, durations.

    Returns
    -------
    Path of report.html, written last.
    """
    drawn = _draw(results, fit, history, scores)
    pictures = [save_figure(figure, out, name, _caption(name, fit)) for name, figure in drawn.items()]
    storage.write_json(out / "fit.json", dict(fit))
    tables = [_results_table(results), *([_score_table(scores)] if scores else [])]
    page = render_page(
        "report.html.j2",
        title=title,
        sentences=verdict_sentences(fit),
        warnings=_limits(fit),
        figures=pictures,
        tables=tables,
        facts=facts,
    )
    storage.write_text(out / "report.html", page)
    return out / "report.html"


def _draw(
    results: pd.DataFrame,
    fit: Mapping[str, Any],
    history: pd.DataFrame | None,
    scores: Sequence[Mapping[str, Any]] | None,
) -> dict[str, figures.Figure]:
    used, _ = check_results(results, drop_nonfinite=True)
    drawn = {
        "loss_curves": figures.loss_curves(used, fit),
        "loss_heatmap": figures.loss_heatmap(used),
        "law_n_databases": figures.axis_law(fit, "n_databases"),
        "law_tokens": figures.axis_law(fit, "tokens"),
    }
    if scores:
        drawn["zero_shot"] = figures.zero_shot_bars(scores)
    if history is not None and len(history):
        drawn["learning_curves"] = figures.learning_curves(history)
    return drawn


def _caption(name: str, fit: Mapping[str, Any]) -> str:
    axis = name.removeprefix("law_")
    failed = axis in fit["axes"] and fit["axes"][axis]["status"] == "failed"
    return "The lowest loss of every slice, and why it makes no law." if failed else _CAPTIONS[name]


def _limits(fit: Mapping[str, Any]) -> list[dict[str, str]]:
    """The warnings of both axes, each once; a failed axis' reason is in the verdict already."""
    limits = []
    for entry in fit["axes"].values():
        for warning in entry["warnings"]:
            if warning["code"] != entry["code"] and warning not in limits:
                limits.append(warning)
    return limits


def _results_table(results: pd.DataFrame) -> dict[str, Any]:
    columns = [name for name in (*COLUMNS, "status", "reason") if name in results.columns]
    rows = [[_cell(name, row[name]) for name in columns] for row in results[columns].to_dict("records")]
    return {"title": f"All {len(results)} runs", "note": None, "columns": columns, "rows": rows}


def _score_table(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    extra = sorted(
        {
            name
            for score in scores
            for name, value in score.items()
            if name not in (*_SCORE_COLUMNS, "checkpoint") and isinstance(value, str | int | float)
        }
    )
    columns = [*_SCORE_COLUMNS, *extra]
    rows = [[_cell(name, score.get(name)) for name in columns] for score in scores]
    note = (
        "Visibility says which labels a prediction may see. Temporal: those of every row that is strictly "
        "earlier, of all splits. Baselines see the same."
    )
    headings = ["95 % interval" if name == "ci95" else name for name in columns]
    return {"title": "Zero-shot on real databases", "note": note, "columns": headings, "rows": rows}


def _cell(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(name, part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return " to ".join(_cell(name, part) for part in value)
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "none" if name != "reason" else ""
    if name == "tokens":
        return human_count(float(value))
    return f"{value:.5g}" if isinstance(value, float) else str(value)
