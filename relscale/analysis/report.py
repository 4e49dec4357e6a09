"""One page with everything a table of runs supports: verdict, figures, numbers, and what made them."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from relscale.analysis import diagnostic_figures, grid_figures, law_figures
from relscale.analysis.figures import Drawing, stamp
from relscale.analysis.fit import fit_with_draws
from relscale.analysis.headline import headline
from relscale.analysis.page import render_page, save_figure
from relscale.analysis.per_database import FILE as PER_DATABASE
from relscale.analysis.per_database import load_per_database
from relscale.analysis.report_tables import report_tables
from relscale.analysis.results import check_results, load_results
from relscale.analysis.score_figures import zero_shot_bars
from relscale.analysis.slice_chart import chart_data
from relscale.analysis.slice_figures import loss_curves
from relscale.analysis.surface_values import predicted
from relscale.analysis.training_figures import learning_curves
from relscale.analysis.trial_score_figures import trial_score_figure
from relscale.analysis.verdict import NAMES, verdict_sentences
from relscale.platform import storage

_SECTIONS = {
    "What was measured": (
        "The held-out loss of every run, first along one axis at a time, then over the whole grid.",
        ("loss_curves", "loss_heatmap", "loss_by_type"),
    ),
    "The laws": (
        "The lowest loss of every slice, and the power law with an offset through these points.",
        ("law_n_databases", "law_tokens"),
    ),
    "How far to trust them": (
        "Whether the small studies foretell the large, how well the numbers are known, what the fit misses.",
        ("extrapolation", "profiles", "bootstrap", "residuals"),
    ),
    "On real databases": (
        "What the same networks reach, without training, on databases that people made.",
        ("zero_shot", "zero_shot_trials"),
    ),
    "Training": ("How the runs went.", ("learning_curves",)),
}


def write_fit(
    out: Path,
    results_path: Path | str,
    *,
    drop_nonfinite: bool = False,
    allow_missing: bool = False,
    per_database: Path | None = None,
    forecasts: Sequence[tuple[str, float]] = (),
    n_boot: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit a results file and write fit.json, figures and report.html into `out`; returns the fit.

    `per_database` is the file of losses by held-out database, per_database.parquet beside the results if
    none is given and that is there; the other settings are those of `fit_results`.

    Raises
    ------
    AnalysisError : a file is unusable (see `load_results`, `load_per_database` and `fit_results`).
    """
    file = Path(results_path)
    results = load_results(file)
    beside = file.parent / PER_DATABASE
    databases = per_database or (beside if beside.is_file() else None)
    fitted = fit_with_draws(
        results,
        n_boot=n_boot,
        seed=seed,
        drop_nonfinite=drop_nonfinite,
        allow_missing=allow_missing,
        per_database=load_per_database(databases) if databases else None,
        forecasts=forecasts,
    )
    fit = fitted.entry
    facts = {
        "results": f"{file.name}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}",
        "bootstrap": f"{n_boot} draws, seed {seed}",
        "versions": ", ".join(f"{name} {version(name)}" for name in ("relscale", "numpy", "scipy", "pandas")),
    }
    title = f"Scaling laws of {file.name}"
    write_report(out, title=title, results=results, fit=fit, draws=fitted.draws, facts=facts)
    return fit


def write_report(
    out: Path,
    *,
    title: str,
    results: pd.DataFrame,
    fit: Mapping[str, Any],
    history: pd.DataFrame | None = None,
    scores: Sequence[Mapping[str, Any]] | None = None,
    trial_scores: pd.DataFrame | None = None,
    draws: Mapping[str, pd.DataFrame] | None = None,
    n_boot: int = 1000,
    facts: Mapping[str, str],
) -> Path:
    """Write report.html (self-contained), figures/ (PNG, SVG, CSV of each), fit.json and bootstrap.parquet.

    Parameters
    ----------
    out : folder, made if missing.
    results : the table that was fitted, failed rows included; they are listed and not drawn.
    fit : what `fit_results` returned for it. A figure is drawn where the fit has its numbers.
    history : training curves for `learning_curves`, if there are any.
    scores : entries of scores.json of the network with the lowest held-out loss, if there are any.
    trial_scores : the table of every network's scores as `score_table` makes it, if there is one.
    n_boot : draws behind the rank correlations of these with the held-out loss.
    draws : {axis: columns E, A, alpha, one row a bootstrap draw}, if there are any.
    facts : what made this: configuration, fingerprints, versions, durations.

    Returns
    -------
    Path of report.html, written last.
    """
    used, _ = check_results(results, drop_nonfinite=True)
    drawn = _draw(used, fit, history, scores or [], draws or {})
    if trial_scores is not None and (drawing := trial_score_figure(trial_scores, n_boot=n_boot)):
        drawn["zero_shot_trials"] = drawing
    incomplete = _incomplete(fit)
    if incomplete:
        for drawing in drawn.values():
            stamp(drawing.figure, incomplete)
    sections = _save(out, drawn)
    storage.write_json(out / "fit.json", dict(fit))
    if draws:
        table = pd.concat(draws, names=["axis", "draw"]).reset_index()
        storage.write_bytes(out / "bootstrap.parquet", table.to_parquet(index=False))
    page = render_page(
        "report.html.j2",
        title=title,
        headline=headline(fit),
        incomplete=incomplete,
        sentences=verdict_sentences(fit),
        warnings=_limits(fit),
        sections=sections,
        chart=chart_data(used, fit),
        tables=report_tables(results, fit, scores or []),
        facts=facts,
    )
    storage.write_text(out / "report.html", page)
    return out / "report.html"


def _draw(
    used: pd.DataFrame,
    fit: Mapping[str, Any],
    history: pd.DataFrame | None,
    scores: Sequence[Mapping[str, Any]],
    draws: Mapping[str, pd.DataFrame],
) -> dict[str, Drawing]:
    """The figures by name, those without numbers left out."""
    surface = predicted(fit["surface"], used)
    drawn = {
        "loss_curves": loss_curves(used, fit),
        "loss_heatmap": grid_figures.loss_heatmap(used, fit),
        "loss_by_type": grid_figures.loss_by_type(used),
        **{f"law_{axis}": law_figures.axis_law(fit, axis) for axis in NAMES},
        "extrapolation": law_figures.extrapolation(fit),
        "profiles": diagnostic_figures.profiles(fit),
        "bootstrap": diagnostic_figures.clouds(draws, fit),
        "residuals": diagnostic_figures.residuals(
            used, surface[1], model=surface[0], noise_sd=fit["noise"]["sd"]
        )
        if surface
        else None,
        "zero_shot": zero_shot_bars(scores) if scores else None,
        "learning_curves": learning_curves(history) if history is not None and len(history) else None,
    }
    return {name: drawing for name, drawing in drawn.items() if drawing is not None}


def _save(out: Path, drawn: Mapping[str, Drawing]) -> list[dict[str, Any]]:
    """Write the figures and their numbers; the sections of the page that have any."""
    sections = []
    for title, (lead, names) in _SECTIONS.items():
        shown = []
        for name in names:
            if drawing := drawn.get(name):
                picture = save_figure(drawing.figure, out, name, drawing.caption)
                file = f"figures/{name}.csv"
                storage.write_text(out / file, drawing.data.to_csv(index=False, float_format="%.10g"))
                shown.append({"picture": picture, "file": file})
        if shown:
            sections.append({"title": title, "lead": lead, "figures": shown})
    return sections


def _incomplete(fit: Mapping[str, Any]) -> str | None:
    """What is stamped on a study with missing grid points."""
    missing = fit.get("missing")
    if not missing:
        return None
    rows, columns = (
        {record["at"] for record in fit["axes"][axis]["slices"]} | {float(point[axis]) for point in missing}
        for axis in NAMES
    )
    return f"incomplete grid: {len(missing)} of {len(rows) * len(columns)} points missing"


def _limits(fit: Mapping[str, Any]) -> list[dict[str, str]]:
    """The warnings of axes and surfaces, each once; a failed axis' reason is in the verdict already."""
    limits = []
    for entry in fit["axes"].values():
        for warning in entry["warnings"]:
            if warning["code"] != entry["code"] and warning not in limits:
                limits.append(warning)
    return limits + [warning for warning in fit["surface"].get("warnings", []) if warning not in limits]
