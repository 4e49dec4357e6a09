"""A whole study on one page: databases, token stores, grid, fits, zero-shot, report, record.

Every stage recognises what is done already, so running a study again resumes it, and running a finished
one does no work.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import relscale
from relscale.analysis.fit import fit_results
from relscale.analysis.report import write_report
from relscale.generation.corpus import database_folders, generate_corpus
from relscale.model.store import TokenStore
from relscale.model.tokenize import tokenize_folders
from relscale.platform import storage
from relscale.platform.cluster import connect
from relscale.platform.dataflow import Receipt, on_cluster
from relscale.platform.errors import DataError
from relscale.platform.progress import bar, stages
from relscale.platform.tracking import Tracker
from relscale.sweeps.collect import collect_curves, collect_results, trial_folder
from relscale.sweeps.config import StudyConfig
from relscale.sweeps.grid import Trial, plan_trials
from relscale.sweeps.launch import run_trials
from relscale.sweeps.record import SweepRecord
from relscale.sweeps.trial import TrialJob, code_fingerprint, finished

Run = Callable[..., list[Receipt]]


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

    Raises
    ------
    ResourceError : another process works in `out`; the cluster or the tracking server is out of reach.
    DataError, ResumeError, ConfigError : as the stages raise them.
    """
    out.mkdir(parents=True, exist_ok=True)
    with storage.alone_in(out), on_cluster(config.cluster) as run:
        tracker = Tracker(config.tracking, out, config.name)
        storage.write_text(out / "study.yaml", config.to_yaml())
        store = make_store(config, out, run, held_out=False)
        held_out = make_store(config, out, run, held_out=True)
        code = code_fingerprint()
        trials = plan_trials(
            config,
            databases=store.digests,
            held_out=held_out.digests,
            encoder=store.text_encoder["fingerprint"],
            code=code,
        )
        facts = _facts(config, store, held_out, code)
        sweep_key = hashlib.sha256("".join(sorted(trial.key for trial in trials)).encode()).hexdigest()[:16]
        record = SweepRecord(tracker, sweep_key, f"sweep {config.name}", facts)
        todo = [trial for trial in trials if finished(trial_folder(out, trial)) is None]
        failures = _run_grid(config, out, todo, trials, record)
        results = collect_results(out, trials, failures)
        scores = _zero_shot(config, out, results)
        fit, report, is_new = _analyse(config, out, trials, results, scores, facts)
        _record_grid(out, trials, results, record)
        if is_new or tracker.tag(record.parent, "verdict.tokens") is None:
            record.study(results, fit, scores, out)
    return StudyOutcome(
        results=results,
        fit=fit,
        scores=scores,
        report=report,
        open_tracking=tracker.open_command,
        n_trials_run=len(todo),
    )


def make_store(config: StudyConfig, out: Path, run: Run, *, held_out: bool) -> TokenStore:
    """Generate and tokenize the training databases of a study, or its held-out ones."""
    corpus = config.corpus
    n_databases = corpus.held_out_databases if held_out else max(config.grid.n_databases)
    name = "held-out" if held_out else "corpus"
    with bar(f"generate {'held-out' if held_out else ''}".strip(), n_databases, "databases") as advance:
        index = generate_corpus(
            out / name,
            corpus.generator,
            preset=corpus.preset,
            num_databases=n_databases,
            seed_offset=corpus.held_out_seed_offset if held_out else corpus.seed_offset,
            progress=lambda receipt: advance(int(receipt["admitted"])),
            run=run,
        )
    _check_apart(config, max(index["seed"].to_pylist()), held_out=held_out)
    folders = database_folders(out / name)
    with stages("tokenize") as progress:
        return tokenize_folders(folders, out / f"{name}-store", config.text, progress=progress, run=run)


def _check_apart(config: StudyConfig, last_seed: int, *, held_out: bool) -> None:
    """DataError if the training seeds have grown into the held-out range, or the other way round."""
    own, other = config.corpus.seed_offset, config.corpus.held_out_seed_offset
    if held_out:
        own, other = other, own
    if own <= other <= last_seed:
        raise DataError(
            f"seeds {own} to {last_seed} reach the other corpus, which starts at {other}; set "
            "corpus.held_out_seed_offset further away, so that no held-out database is trained on."
        )


def _run_grid(
    config: StudyConfig, out: Path, todo: Sequence[Trial], trials: Sequence[Trial], record: SweepRecord
) -> dict[str, str]:
    """Run the unfinished trials; {key: reason} of those that failed."""
    by_key = {trial.key: trial for trial in todo}
    tokens = dict.fromkeys(by_key, 0)
    done = len(trials) - len(todo)
    # Records of an earlier, killed call; what counts lies in the trials' own folders.
    shutil.rmtree(out / "tune", ignore_errors=True)
    if not todo:
        return {}
    jobs = [_job(config, out, trial) for trial in todo]
    with (
        connect(config.cluster.address, config.cluster.num_cpus),
        bar("train grid", sum(trial.tokens for trial in todo), "tokens") as advance,
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
                record.trial_line(trial, line)
                note = f"{trial.label}: training loss {line['loss']:.4f}"
            seen = int(line.get("tokens", tokens[key]))
            advance(seen - tokens[key], note=f"{done}/{len(trials)} trials, {note}")
            tokens[key] = seen

        failures = run_trials(jobs, out / "tune", on_report)
    shutil.rmtree(out / "tune", ignore_errors=True)
    return failures


def _job(config: StudyConfig, out: Path, trial: Trial) -> TrialJob:
    root = out.resolve()
    return TrialJob(
        key=trial.key,
        folder=trial_folder(root, trial),
        store=root / "corpus-store",
        held_out_store=root / "held-out-store",
        n_databases=trial.n_databases,
        tokens=trial.tokens,
        seed=trial.seed,
        model=config.model,
        sampler=config.sampler,
        training=config.training,
        evaluation=config.evaluation,
        trial=config.trial,
    )


def _zero_shot(config: StudyConfig, out: Path, results: pd.DataFrame) -> list[dict[str, Any]]:
    """Score the checkpoint with the lowest held-out loss on the real databases."""
    if not config.zero_shot.datasets:
        return []
    from relscale.analysis.zero_shot import evaluate_checkpoint

    finished_rows = results[results["status"] == "ok"]
    best = finished_rows.loc[finished_rows["loss"].idxmin()]
    checkpoint = out / "trials" / best["key"] / "final"
    scores = []
    for dataset in config.zero_shot.datasets:
        folder = out / "zero-shot" / Path(dataset).name
        inputs = {"trial": best["key"], "dataset": dataset, "settings": config.zero_shot.fingerprint()}
        with storage.unless_current(folder / "inputs.json", inputs, [folder / "scores.json"]) as must_run:
            if must_run:
                source = real_database(dataset, out / "real")
                with bar("zero-shot", 1, "databases") as advance:
                    evaluate_checkpoint(
                        checkpoint, source, folder, context_seeds=config.zero_shot.context_seeds
                    )
                    advance(1)
        scores += storage.read_json(folder / "scores.json")
    return scores


def real_database(dataset: str, folder: Path) -> str | Path:
    """What `dataset` names: "nycflights" is built below `folder`, all else is a path or RelBench name."""
    if dataset != "nycflights":
        return dataset
    from relscale.generation.flights import build_flights

    return build_flights(folder / "nycflights")


def _analyse(
    config: StudyConfig,
    out: Path,
    trials: Sequence[Trial],
    results: pd.DataFrame,
    scores: list[dict[str, Any]],
    facts: dict[str, str],
) -> tuple[dict[str, Any], Path, bool]:
    """Fit, draw and report; says whether anything had changed."""
    report = out / "report.html"
    digest = hashlib.sha256(results.to_csv(index=False).encode()).hexdigest()
    inputs = {"results": digest, "scores": scores, "analysis": config.analysis.model_dump(), "facts": facts}
    with storage.unless_current(out / "report.json", inputs, [report, out / "fit.json"]) as must_run:
        if must_run:
            fit = fit_results(results, n_boot=config.analysis.n_boot)
            history = collect_curves(out, trials)
            write_report(
                out,
                title=f"Scaling study {config.name}",
                results=results,
                fit=fit,
                history=history,
                scores=scores,
                facts=facts,
            )
    return storage.read_json(out / "fit.json"), report, must_run


def _record_grid(out: Path, trials: Sequence[Trial], results: pd.DataFrame, record: SweepRecord) -> None:
    """Bring MLflow up to the files, whatever a killed call has left out."""
    from relscale.model.pretrain import read_metrics

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


def _facts(config: StudyConfig, store: TokenStore, held_out: TokenStore, code: str) -> dict[str, str]:
    """What a reader needs to repeat the study; also the params of its MLflow runs."""
    return {
        "study": config.name,
        "preset": config.corpus.preset,
        "model": f"{config.model.n_blocks} blocks, d {config.model.d_model}, {config.model.n_heads} heads",
        "context_length": str(config.sampler.context_length),
        "batch_size": str(config.training.batch_size),
        "held_out_databases": str(len(held_out.names)),
        "corpus_fingerprint": store.fingerprint,
        "held_out_fingerprint": held_out.fingerprint,
        "text_encoder": store.text_encoder["name"],
        "config_fingerprint": config.fingerprint(),
        "code_fingerprint": code,
        "relscale": relscale.__version__,
        "torch": version("torch"),
        "ray": version("ray"),
    }
