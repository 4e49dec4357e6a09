"""What a finished grid says: its tables, scores on real databases, fits, report, and the record in MLflow."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from relscale import analysis
from relscale.analysis.compare_report import write_comparison
from relscale.analysis.fit import fit_with_draws
from relscale.analysis.report import write_report
from relscale.analysis.trial_scores import score_table
from relscale.platform import remote, storage
from relscale.platform.dataflow import Run
from relscale.platform.errors import DataError, RelscaleError
from relscale.platform.progress import bar
from relscale.platform.tracking import Model
from relscale.sweeps.artefact import best_model, best_row, model_name
from relscale.sweeps.collect import (
    checkpoint_folder,
    collect_curves,
    collect_results,
    trial_folder,
    write_table,
)
from relscale.sweeps.config import StudyConfig, dataset_name
from relscale.sweeps.databases import Databases
from relscale.sweeps.grid import Trial
from relscale.sweeps.record import SweepRecord
from relscale.sweeps.trial import code_of
from relscale.sweeps.variants import Variant
from relscale.sweeps.zero_shot import Question, score_best, score_networks


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
    grid: VariantGrid, out: Path, failures: Mapping[str, str], real: Mapping[str, Path], run: Run
) -> VariantOutcome:
    """Collect, record, score on real databases, fit and report what the trials of one grid have left.

    `run` spreads the scoring over the cluster, as `map_keys` does.
    """
    columns = {**grid.variant.settings, "held_out_fingerprint": grid.held_out.fingerprint}
    results, per_database = collect_results(out, grid.trials, failures, columns)
    write_table(grid.folder / "results", results)
    storage.write_bytes(grid.folder / "per_database.parquet", per_database.to_parquet(index=False))
    _record_grid(out, grid, results)
    if not (results["status"] == "ok").any():
        raise DataError(f"every trial failed; the first: {results['reason'].iloc[0]}")
    try:
        scores, table = _zero_shot(grid, out, results, real, run)
    except RelscaleError:
        _analyse(grid, out, results, per_database, [], None)  # the grid has its report all the same
        raise
    fit = _analyse(grid, out, results, per_database, scores, table)
    grid.record.study(grid.trials, results, fit, scores, grid.folder)
    grid.record.model(_model(grid, out, results, fit, scores))
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
    grid: VariantGrid, out: Path, results: pd.DataFrame, real: Mapping[str, Path], run: Run
) -> tuple[list[dict[str, Any]], pd.DataFrame | None]:
    """The scores of the best network on the real databases, and the table of every network's."""
    config = grid.variant.config.zero_shot
    done = results[results["status"] == "ok"]
    checkpoints = {key: checkpoint_folder(out, key) for key in done["key"]}
    scores: list[dict[str, Any]] = []
    tables = []
    for dataset, source in real.items():
        name = dataset_name(dataset)
        question = Question(
            source=source,
            folder=grid.folder / "zero-shot" / name,
            tasks=config.tasks_of(dataset),
            visibility=config.visibility,
            context_seeds=config.context_seeds,
            sampler=config.sampler,
            n_boot=grid.variant.config.analysis.n_boot,
        )
        scores += score_best(question, checkpoints[best_row(results)["key"]])
        if config.trials == "all":
            with bar(f"zero-shot {name}", len(checkpoints), "trials") as advance:
                tables.append(score_table(score_networks(question, checkpoints, run, advance), done))
    if not tables:
        return scores, None
    table = pd.concat(tables, ignore_index=True)
    storage.write_text(grid.folder / "zero_shot.csv", table.to_csv(index=False))
    _record_scores(grid, table)
    return scores, table


def _record_scores(grid: VariantGrid, table: pd.DataFrame) -> None:
    """Add the scores to the trials' runs, unless an earlier call has done so."""
    digest = hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()
    inputs = {"scores": digest, "parent": grid.record.parent}
    stamp = grid.folder / "zero-shot" / "tracking.json"
    remote.stage_file(stamp)
    with storage.unless_current(stamp, inputs, []) as must_run:
        if must_run:
            for trial in grid.trials:
                grid.record.trial_scores(trial, table[table["key"] == trial.key])
    remote.publish(stamp)


def _model(
    grid: VariantGrid,
    out: Path,
    results: pd.DataFrame,
    fit: Mapping[str, Any],
    scores: Sequence[Mapping[str, Any]],
) -> Model:
    checkpoint = checkpoint_folder(out, best_row(results)["key"])
    remote.stage(checkpoint)
    return best_model(
        name=model_name(grid.variant.config.name, grid.variant.name),
        checkpoint=checkpoint,
        results=results,
        fit=fit,
        scores=scores,
        facts=grid.facts,
    )


def _analyse(
    grid: VariantGrid,
    out: Path,
    results: pd.DataFrame,
    per_database: pd.DataFrame,
    scores: list[dict[str, Any]],
    table: pd.DataFrame | None,
) -> dict[str, Any]:
    """Fit, draw and report, unless the report at hand is of the same results; the content of fit.json."""
    config, folder = grid.variant.config, grid.folder
    digest = hashlib.sha256(results.to_csv(index=False).encode()).hexdigest()
    inputs = {
        "results": digest,
        "scores": scores,
        "table": None if table is None else table.to_csv(index=False),
        "analysis": config.analysis.model_dump(),
        "facts": grid.facts,
        "code": analysis_fingerprint(),
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
                trial_scores=table,
                n_boot=config.analysis.n_boot,
                facts=grid.facts,
            )
    return storage.read_json(folder / "fit.json")


def analysis_fingerprint() -> str:
    """16 hexadecimal digits over the code of fits and figures, so that a mended one draws them anew."""
    sources = sorted(Path(analysis.__file__).parent.glob("*.py"))
    return hashlib.sha256("\0".join(code_of(path.read_text()) for path in sources).encode()).hexdigest()[:16]


def write_study_comparison(config: StudyConfig, out: Path, outcomes: Sequence[VariantOutcome]) -> list[str]:
    """Write all rows into one table, and the comparison of the variants; its sentences."""
    results = pd.concat([outcome.results for outcome in outcomes], ignore_index=True)
    write_table(out / "results", results)
    inputs = {
        "results": hashlib.sha256(results.to_csv(index=False).encode()).hexdigest(),
        "n_boot": config.analysis.n_boot,
        "code": analysis_fingerprint(),
    }
    outputs = [out / "compare.html", out / "compare.json"]
    with storage.unless_current(out / "compare-inputs.json", inputs, outputs) as must_run:
        if must_run:
            write_comparison(out, [outcome.folder for outcome in outcomes], n_boot=config.analysis.n_boot)
    return list(storage.read_json(out / "compare.json")["sentences"])
