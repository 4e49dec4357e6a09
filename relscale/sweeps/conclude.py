"""What a finished grid says: its tables, scores on real databases, fits, report, and the record in MLflow."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from relscale.analysis.compare_report import write_comparison
from relscale.analysis.fit import fit_with_draws
from relscale.analysis.report import write_report
from relscale.platform import storage
from relscale.platform.errors import DataError, RelscaleError
from relscale.sweeps.collect import collect_curves, collect_results, trial_folder, write_table
from relscale.sweeps.config import StudyConfig, dataset_name
from relscale.sweeps.databases import Databases
from relscale.sweeps.grid import Trial
from relscale.sweeps.record import SweepRecord
from relscale.sweeps.variants import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantGrid:
    """The grid of one variant: its databases, its trials, and where its results go."""

    variant: Variant
    folder: Path
    training: Databases
    held_out: Databases
    trials: list[Trial]
    facts: dict[str, str]
    record: SweepRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantOutcome:
    """What one variant's grid has given."""

    variant: Variant
    folder: Path
    results: pd.DataFrame
    fit: dict[str, Any]
    scores: list[dict[str, Any]]


def conclude(
    grid: VariantGrid, out: Path, failures: Mapping[str, str], real: Mapping[str, Path]
) -> VariantOutcome:
    """Collect, record, score on real databases, fit and report what the trials of one grid have left."""
    columns = {**grid.variant.settings, "held_out_fingerprint": grid.held_out.fingerprint}
    results, per_database = collect_results(out, grid.trials, failures, columns)
    write_table(grid.folder / "results", results)
    storage.write_bytes(grid.folder / "per_database.parquet", per_database.to_parquet(index=False))
    _record_grid(out, grid, results)
    if not (results["status"] == "ok").any():
        raise DataError(f"every trial failed; the first: {results['reason'].iloc[0]}")
    try:
        scores = _zero_shot(grid, out, results, real)
    except RelscaleError:
        _analyse(grid, out, results, per_database, [])  # the grid has its report all the same
        raise
    fit = _analyse(grid, out, results, per_database, scores)
    grid.record.study(grid.trials, results, fit, scores, grid.folder)
    return VariantOutcome(variant=grid.variant, folder=grid.folder, results=results, fit=fit, scores=scores)


def _record_grid(out: Path, grid: VariantGrid, results: pd.DataFrame) -> None:
    """Bring MLflow up to the files, whatever a killed call has left out."""
    from relscale.model.run_folder import read_metrics

    marker, record = grid.folder / "tracking.json", grid.record
    rows = results.set_index("key")
    recorded = set(storage.read_json(marker)) if marker.is_file() else set()
    for trial in grid.trials:
        if f"{record.parent}/{trial.key}" in recorded:
            continue
        row = {name: None if pd.isna(value) else value for name, value in rows.loc[trial.key].items()}
        record.trial_lines(trial, read_metrics(trial_folder(out, trial)))
        record.trial_result(trial, row)
        if row["status"] == "ok":
            recorded.add(f"{record.parent}/{trial.key}")
            storage.write_json(marker, sorted(recorded))


def _zero_shot(
    grid: VariantGrid, out: Path, results: pd.DataFrame, real: Mapping[str, Path]
) -> list[dict[str, Any]]:
    """Score the checkpoint with the lowest held-out loss on the real databases."""
    from relscale.analysis.zero_shot import evaluate_checkpoint
    from relscale.model.source import source_digest

    config = grid.variant.config
    finished_rows = results[results["status"] == "ok"]
    best = finished_rows.loc[finished_rows["loss"].idxmin()]
    scores = []
    for dataset, source in real.items():
        folder = grid.folder / "zero-shot" / dataset_name(dataset)
        inputs = {
            "trial": best["key"],
            "database": source_digest(source),
            "context_seeds": config.zero_shot.context_seeds,
            "n_boot": config.analysis.n_boot,
        }
        with storage.unless_current(folder / "inputs.json", inputs, [folder / "scores.json"]) as must_run:
            if must_run:
                evaluate_checkpoint(
                    out / "trials" / best["key"] / "final",
                    source,
                    folder,
                    context_seeds=config.zero_shot.context_seeds,
                    n_boot=config.analysis.n_boot,
                )
        scores += storage.read_json(folder / "scores.json")
    return scores


def _analyse(
    grid: VariantGrid,
    out: Path,
    results: pd.DataFrame,
    per_database: pd.DataFrame,
    scores: list[dict[str, Any]],
) -> dict[str, Any]:
    """Fit, draw and report, unless the report at hand is of the same results; the content of fit.json."""
    config, folder = grid.variant.config, grid.folder
    digest = hashlib.sha256(results.to_csv(index=False).encode()).hexdigest()
    inputs = {
        "results": digest,
        "scores": scores,
        "analysis": config.analysis.model_dump(),
        "facts": grid.facts,
    }
    outputs = [folder / "report.html", folder / "fit.json"]
    with storage.unless_current(folder / "report.json", inputs, outputs) as must_run:
        if must_run:
            fit = fit_with_draws(
                results, n_boot=config.analysis.n_boot, per_database=per_database, allow_missing=True
            )
            write_report(
                folder,
                title=f"Scaling study {config.name} {grid.variant.name}".rstrip(),
                results=results,
                fit=fit.entry,
                draws=fit.draws,
                history=collect_curves(out, grid.trials),
                scores=scores,
                facts=grid.facts,
            )
    return storage.read_json(folder / "fit.json")


def write_study_comparison(config: StudyConfig, out: Path, outcomes: Sequence[VariantOutcome]) -> list[str]:
    """Write all rows into one table, and the comparison of the variants; its sentences."""
    results = pd.concat([outcome.results for outcome in outcomes], ignore_index=True)
    write_table(out / "results", results)
    inputs = {
        "results": hashlib.sha256(results.to_csv(index=False).encode()).hexdigest(),
        "n_boot": config.analysis.n_boot,
    }
    outputs = [out / "compare.html", out / "compare.json"]
    with storage.unless_current(out / "compare-inputs.json", inputs, outputs) as must_run:
        if must_run:
            write_comparison(out, [outcome.folder for outcome in outcomes], n_boot=config.analysis.n_boot)
    return list(storage.read_json(out / "compare.json")["sentences"])
