"""A whole study on one page: databases, token stores, grid, fits, zero-shot, report, record.

Every stage recognises what is done already, so running a study again resumes it, and running a finished
one does no work.
"""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import relscale
from relscale.analysis.fit import fit_results
from relscale.analysis.report import write_report
from relscale.platform import storage
from relscale.platform.cluster import ClusterConfig, connect
from relscale.platform.dataflow import on_cluster
from relscale.platform.errors import RelscaleError, ResourceError
from relscale.platform.progress import bar, console
from relscale.platform.tracking import Tracker, TrackingConfig, check_tracking
from relscale.sweeps.collect import collect_curves, collect_results, trial_folder
from relscale.sweeps.config import StudyConfig, dataset_name
from relscale.sweeps.databases import Databases, make_databases, real_database
from relscale.sweeps.grid import Trial, check_grid, plan_trials
from relscale.sweeps.launch import run_trials
from relscale.sweeps.record import SweepRecord
from relscale.sweeps.trial import TrialJob, code_fingerprint, finished


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOutcome:
    """What a study has produced, and what this call had to do for it."""

    results: pd.DataFrame
    fit: dict[str, Any]
    scores: list[dict[str, Any]]
    report: Path
    open_tracking: str
    """Shell command that shows the runs."""
    n_trials_run: int
    """Trials that this call trained; 0 if all were finished."""


def run_study(config: StudyConfig, out: Path) -> StudyOutcome:
    """Run or resume a study; everything it makes lies below `out`.

    What can be checked is checked before anything is written.

    Raises
    ------
    ConfigError : settings contradict each other. ResumeError : `out` holds other databases.
    ResourceError : another process works in `out`; the cluster or the tracking server is out of reach.
    DataError : a real database is not one; every trial failed.
    """
    check_grid(config)
    check_tracking(config.tracking)
    with on_cluster(config.cluster) as run, storage.alone_in(out):
        real = {name: real_database(name, out / "real") for name in config.zero_shot.datasets}
        training = make_databases(config, out, run, held_out=False)
        held_out = make_databases(config, out, run, held_out=True)
        code = code_fingerprint()
        trials = plan_trials(
            config,
            databases=training.digests,
            held_out=held_out.digests,
            encoder=training.encoder["fingerprint"],
            code=code,
        )
        storage.write_text(out / "study.yaml", config.to_yaml())
        facts = _facts(config, training, held_out, code)
        tracker = Tracker(config.tracking, out, config.name)
        record = SweepRecord(tracker, _sweep_key(trials, facts), f"sweep {config.name}", facts)

        todo = [trial for trial in trials if finished(trial_folder(out, trial)) is None]
        jobs = [_job(config, out, trial, training, held_out) for trial in todo]
        failures = _run_grid(config, out, jobs, trials, record)
        results = collect_results(out, trials, failures)
        _record_grid(out, trials, results, record)
        try:
            scores = _zero_shot(config, out, results, real)
        except RelscaleError:
            _analyse(config, out, trials, results, [], facts)  # the grid has its report all the same
            raise
        fit = _analyse(config, out, trials, results, scores, facts)
        record.study(trials, results, fit, scores, out)
    return StudyOutcome(
        results=results,
        fit=fit,
        scores=scores,
        report=out / "report.html",
        open_tracking=tracker.open_command,
        n_trials_run=len(todo),
    )


def _job(config: StudyConfig, out: Path, trial: Trial, training: Databases, held_out: Databases) -> TrialJob:
    return TrialJob(
        key=trial.key,
        folder=trial_folder(out.resolve(), trial),
        store=training.path.resolve(),
        held_out_store=held_out.path.resolve(),
        held_out=held_out.names,
        n_databases=trial.n_databases,
        tokens=trial.tokens,
        seed=trial.seed,
        model=config.model,
        sampler=config.sampler,
        training=config.training,
        evaluation=config.evaluation,
        trial=config.trial,
    )


def _run_grid(
    config: StudyConfig, out: Path, jobs: Sequence[TrialJob], trials: Sequence[Trial], record: SweepRecord
) -> dict[str, str]:
    """Run the unfinished trials; {key: reason} of those that failed."""
    # Records of an earlier, killed call; what counts lies in the trials' own folders.
    shutil.rmtree(out / "tune", ignore_errors=True)
    if not jobs:
        return {}
    by_key = {trial.key: trial for trial in trials}
    tokens = {job.key: 0 for job in jobs}
    done = len(trials) - len(jobs)
    with (
        connect(config.cluster.address, config.cluster.num_cpus),
        bar("train grid", sum(job.tokens for job in jobs), "tokens") as advance,
    ):

        def on_report(key: str, line: Mapping[str, Any]) -> None:
            nonlocal done
            trial = by_key[key]
            if "held_out_loss" in line:
                done += 1
                note = f"{trial.label}: held-out loss {line['held_out_loss']:.4f}"
            elif "failed" in line:
                note = f"{trial.label}: failed"
            else:
                note = f"{trial.label}: training loss {line['loss']:.4f}"
                _record_live(record, trial, line)
            seen = int(line.get("tokens", tokens[key]))
            advance(seen - tokens[key], note=f"{done}/{len(trials)} trials, {note}")
            tokens[key] = seen

        failures = run_trials(jobs, out / "tune", on_report)
    shutil.rmtree(out / "tune", ignore_errors=True)
    return failures


def _record_live(record: SweepRecord, trial: Trial, line: Mapping[str, Any]) -> None:
    """Mirror a line at once if MLflow can take it; `_record_grid` brings what is missed."""
    try:
        record.trial_lines(trial, [line])
    except ResourceError as error:
        console.print(f"{error} Training goes on; the points follow at the end.", markup=False)


def _record_grid(out: Path, trials: Sequence[Trial], results: pd.DataFrame, record: SweepRecord) -> None:
    """Bring MLflow up to the files, whatever a killed call has left out."""
    from relscale.model.run_folder import read_metrics

    marker = out / "tracking.json"
    rows = results.set_index("key")
    recorded = set(storage.read_json(marker)) if marker.is_file() else set()
    for trial in trials:
        if f"{record.parent}/{trial.key}" in recorded:
            continue
        row = {name: None if pd.isna(value) else value for name, value in rows.loc[trial.key].items()}
        record.trial_lines(trial, read_metrics(trial_folder(out, trial)))
        record.trial_result(trial, row)
        if row["status"] == "ok":
            recorded.add(f"{record.parent}/{trial.key}")
            storage.write_json(marker, sorted(recorded))


def _zero_shot(
    config: StudyConfig, out: Path, results: pd.DataFrame, real: Mapping[str, Path]
) -> list[dict[str, Any]]:
    """Score the checkpoint with the lowest held-out loss on the real databases."""
    from relscale.analysis.zero_shot import evaluate_checkpoint
    from relscale.model.source import source_digest

    finished_rows = results[results["status"] == "ok"]
    best = finished_rows.loc[finished_rows["loss"].idxmin()]
    scores = []
    for dataset, source in real.items():
        folder = out / "zero-shot" / dataset_name(dataset)
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
    config: StudyConfig,
    out: Path,
    trials: Sequence[Trial],
    results: pd.DataFrame,
    scores: list[dict[str, Any]],
    facts: dict[str, str],
) -> dict[str, Any]:
    """Fit, draw and report, unless the report at hand is of the same results; the content of fit.json."""
    digest = hashlib.sha256(results.to_csv(index=False).encode()).hexdigest()
    inputs = {"results": digest, "scores": scores, "analysis": config.analysis.model_dump(), "facts": facts}
    outputs = [out / "report.html", out / "fit.json"]
    with storage.unless_current(out / "report.json", inputs, outputs) as must_run:
        if must_run:
            write_report(
                out,
                title=f"Scaling study {config.name}",
                results=results,
                fit=fit_results(results, n_boot=config.analysis.n_boot),
                history=collect_curves(out, trials),
                scores=scores,
                facts=facts,
            )
    return storage.read_json(out / "fit.json")


def _sweep_key(trials: Sequence[Trial], facts: Mapping[str, str]) -> str:
    """What makes a sweep's run in MLflow this one: its trials and the settings of the analysis."""
    content = [*sorted(trial.key for trial in trials), facts["config_fingerprint"]]
    return hashlib.sha256("".join(content).encode()).hexdigest()[:16]


def _facts(config: StudyConfig, training: Databases, held_out: Databases, code: str) -> dict[str, str]:
    """What a reader needs to repeat the study; also the params of its MLflow runs."""
    # Where a study runs and is recorded does not make it another one.
    portable = config.replace(cluster=ClusterConfig(), tracking=TrackingConfig())
    return {
        "study": config.name,
        "preset": config.corpus.preset,
        "model": f"{config.model.n_blocks} blocks, d {config.model.d_model}, {config.model.n_heads} heads",
        "context_length": str(config.sampler.context_length),
        "batch_size": str(config.training.batch_size),
        "held_out_databases": str(len(held_out.names)),
        "corpus_fingerprint": training.fingerprint,
        "held_out_fingerprint": held_out.fingerprint,
        "text_encoder": training.encoder["name"],
        "config_fingerprint": portable.fingerprint(),
        "code_fingerprint": code,
        "relscale": relscale.__version__,
        "torch": version("torch"),
        "ray": version("ray"),
    }
