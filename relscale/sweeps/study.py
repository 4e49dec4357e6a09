"""A whole study on one page: databases, token stores, grid, fits, zero-shot, report, record.

Every stage recognises what is done already, so running a study again resumes it, and running a finished
one does no work. A study with further axes is one grid for each of its variants, trained side by side; each
has its own laws, and a comparison stands above them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import relscale
from relscale.platform import metrics, remote, storage
from relscale.platform.cluster import ClusterConfig, connect
from relscale.platform.dataflow import on_cluster
from relscale.platform.spending import watched
from relscale.platform.tracking import Tracker, TrackingConfig, check_tracking
from relscale.sweeps.collect import reuse_results, trial_folder
from relscale.sweeps.conclude import VariantGrid, VariantOutcome, conclude, write_study_comparison
from relscale.sweeps.config import StudyConfig, SweepConfig
from relscale.sweeps.databases import Databases, make_databases, real_database
from relscale.sweeps.display import GridDisplay, grid_display
from relscale.sweeps.grid import Trial, chains, check_grid, plan_trials
from relscale.sweeps.launch import Chain, run_trials
from relscale.sweeps.outline import write_outline
from relscale.sweeps.outputs import outputs
from relscale.sweeps.record import SweepRecord
from relscale.sweeps.same_code import check_same_code, trial_code
from relscale.sweeps.trial import TrialJob, finished
from relscale.sweeps.variants import Variant, corpus_folder, variants
from relscale.sweeps.zero_shot import check_tasks

STUDY = "study.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOutcome:
    """What a study has produced, and what this call had to do for it."""

    variants: Sequence[VariantOutcome]
    comparison: Sequence[str]
    """How the variants differ, in sentences; empty where there is one."""
    report: Path
    open_tracking: str
    """Shell command that shows the runs."""
    n_trials_run: int
    """Trials that this call trained; 0 if all were finished."""

    @property
    def results(self) -> pd.DataFrame:
        """All rows."""
        return pd.concat([outcome.results for outcome in self.variants], ignore_index=True)


def run_study(config: StudyConfig, out: Path) -> StudyOutcome:
    """Run or resume a study; everything it makes lies below `out`.

    What can be checked is checked before anything is written.

    Raises
    ------
    ConfigError : settings contradict each other. ResumeError : `out` holds other databases.
    ResourceError : another process works in `out`; the cluster or the tracking server is out of reach.
    DataError : a real database is not one; every trial failed.
    """
    varied = variants(config)
    for variant in varied:
        check_grid(variant.config)
    check_tracking(config.tracking)
    with (
        on_cluster(config.cluster) as run,
        storage.alone_in(out),
        metrics.of_study(config.name),
        watched(config.cluster.dollars_per_hour, out),
    ):
        real = {name: real_database(name, out / "real") for name in config.zero_shot.datasets}
        for name, source in real.items():
            check_tasks(source, config.zero_shot.tasks_of(name))
        if not remote.stage_file(out / STUDY):  # for `relscale status`; what does not fit is refused below
            storage.write_text(out / STUDY, config.to_yaml())
            remote.publish(out / STUDY)
        held_out = make_databases(config, out / "held-out", run, held_out=True)
        tracker = Tracker(config.tracking, out, config.name)
        grids = []
        for variant in varied:
            training = make_databases(
                variant.config, corpus_folder(config, variant, out), run, held_out=False
            )
            grids.append(_grid(variant, out, training, held_out, tracker, alone=len(varied) == 1))
        storage.write_text(out / STUDY, config.to_yaml())
        remote.publish(out / STUDY)
        n_trials_run, failures = _run_grids(config, out, grids)
        several = len(grids) > 1
        trials = [trial_folder(out, trial) for grid in grids for trial in grid.trials]
        with outputs([out, *(grid.folder for grid in grids)], trials):
            outcomes = [conclude(grid, out, failures, real, run) for grid in grids]
            comparison = write_study_comparison(config, out, outcomes) if several else ()
    return StudyOutcome(
        variants=outcomes,
        comparison=comparison,
        report=out / ("compare.html" if several else "report.html"),
        open_tracking=tracker.open_command,
        n_trials_run=n_trials_run,
    )


def _grid(
    variant: Variant, out: Path, training: Databases, held_out: Databases, tracker: Tracker, *, alone: bool
) -> VariantGrid:
    config, code = variant.config, trial_code(variant.config.sweep)
    trials = plan_trials(
        config,
        databases=training.digests,
        held_out=held_out.digests,
        encoder=training.encoder["fingerprint"],
        code=code,
        variant=variant.name,
    )
    facts = {**_facts(config, training, held_out, code), **{k: str(v) for k, v in variant.settings.items()}}
    name = f"sweep {config.name} {variant.name}".rstrip()
    return VariantGrid(
        variant=variant,
        folder=out if alone else out / "variants" / variant.name.replace(" ", "_").replace("/", "-"),
        training=training,
        held_out=held_out,
        trials=trials,
        facts=facts,
        record=SweepRecord(tracker, _sweep_key(trials, facts), name, facts),
    )


def _run_grids(config: StudyConfig, out: Path, grids: Sequence[VariantGrid]) -> tuple[int, dict[str, str]]:
    """Run the unfinished trials of all grids; their number, and {key: reason} of those without a result."""
    # Records of an earlier, killed call; what counts lies in the trials' own folders.
    remote.remove(out / "tune")
    reuse_results(out, [trial for grid in grids for trial in grid.trials], config.sweep.reuse)
    every = [chain for grid in grids for chain in _chains(grid, out)]
    check_same_code([job for chain in every for job in chain], out, config.sweep, config.cluster)
    unfinished = [[job for job in chain if finished(job.folder) is None] for chain in every]
    jobs = [chain for chain in unfinished if chain]
    todo = {job.key for chain in jobs for job in chain}
    owner = {trial.key: (trial, grid.record) for grid in grids for trial in grid.trials}
    trials = [trial for trial, _ in owner.values()]
    failures: dict[str, str] = {}
    write_outline(out, trials, failures)
    if not todo:
        return 0, {}
    display = GridDisplay(trials, out, todo)
    with connect(config.cluster.address, config.cluster.num_cpus), grid_display(display) as show:

        def on_report(key: str, line: Mapping[str, Any]) -> None:
            show(key, line)
            if "loss" in line:
                trial, record = owner[key]
                record.trial_lines(trial, [line])
            if "failed" in line:
                failures[key] = line["failed"]
                write_outline(out, trials, failures)

        # The longest first, over all variants: the last one to end is a short one.
        jobs.sort(key=lambda chain: -max(job.tokens for job in chain))
        failures = run_trials(jobs, out / "tune", on_report, config.sweep)
    write_outline(out, trials, failures)
    remote.remove(out / "tune")
    return len(todo), failures


def _chains(grid: VariantGrid, out: Path) -> list[Chain]:
    """The jobs of all trials; each knows the next shorter trial of its trunk."""
    found: list[Chain] = []
    for chain in chains(grid.trials):
        shorter = [None, *(trial_folder(out.resolve(), trial) for trial in chain)]
        found.append([_job(grid, out, *pair) for pair in zip(chain, shorter, strict=False)])
    return found


def _job(grid: VariantGrid, out: Path, trial: Trial, shorter: Path | None) -> TrialJob:
    config = grid.variant.config
    return TrialJob(
        key=trial.key,
        folder=trial_folder(out.resolve(), trial),
        store=grid.training.path.resolve(),
        held_out_store=grid.held_out.path.resolve(),
        held_out=grid.held_out.names,
        n_databases=trial.n_databases,
        tokens=trial.tokens,
        seed=trial.seed,
        recipe=trial.recipe,
        trunk=trial.trunk,
        shorter=shorter,
        model=config.model,
        sampler=config.sampler,
        training=config.training,
        evaluation=config.evaluation,
        trial=config.trial,
    )


def _sweep_key(trials: Sequence[Trial], facts: Mapping[str, str]) -> str:
    """What makes a sweep's run in MLflow this one: its trials and the settings of the analysis."""
    content = [*sorted(trial.key for trial in trials), facts["config_fingerprint"]]
    return hashlib.sha256("".join(content).encode()).hexdigest()[:16]


def _facts(config: StudyConfig, training: Databases, held_out: Databases, code: str) -> dict[str, str]:
    """What a reader needs to repeat the study; also the params of its MLflow runs."""
    # Where and how a study runs and is recorded does not make it another one.
    portable = config.replace(cluster=ClusterConfig(), tracking=TrackingConfig(), sweep=SweepConfig())
    return {
        "study": config.name,
        "prior": config.corpus.prior,
        "preset": config.corpus.preset,
        "model": f"{config.model.n_blocks} blocks, d {config.model.d_model}, {config.model.n_heads} heads",
        "context_length": str(config.sampler.context_length),
        "batch_size": str(config.training.batch_size),
        "schedule": config.training.schedule,
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
