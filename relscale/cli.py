"""The `relscale` command: every stage of a study, and the whole of it.

Heavy libraries are imported inside the commands, so that `relscale --help` answers at once.
"""

import sys
from enum import StrEnum
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relscale import __version__
from relscale.platform.errors import DataError, RelscaleError

if TYPE_CHECKING:
    from relscale.sweeps.config import StudyConfig

app = typer.Typer(
    name="relscale",
    help="Measure scaling laws of relational foundation models: generate databases, pretrain on N of them "
    "for S tokens, fit the laws, score zero-shot on real databases. Start with `relscale demo`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Study file (YAML); each command reads its part."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="Override a setting, such as model.n_blocks=4; repeatable."
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for everything that is made.")]


class Split(StrEnum):
    """Splits that can be scored."""

    VAL = "val"
    TEST = "test"


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Handle options that belong to no command."""
    if version:
        print(__version__)
        raise typer.Exit()


@app.command()
def demo(out: Out = Path("runs/demo"), config: Config = None, set_: Set = None) -> None:
    """The whole job, small: corpus, token store, N x S grid, fits, zero-shot on real flights, report.

    Needs no network and no arguments, and takes some minutes on two cores. Run it again after an
    interruption and it goes on where it stopped.
    """
    if config is None:
        with as_file(files("relscale") / "configs" / "demo.yaml") as file:
            study = _load(file, set_)
    else:
        study = _load(config, set_)
    _run_study(study, out)


@app.command()
def generate(
    out: Out,
    num_databases: Annotated[int, typer.Option("--num-databases", "-n", help="Databases to make.")],
    seed_offset: Annotated[int | None, typer.Option(help="First seed [default: from the config].")] = None,
    prior: Annotated[
        str | None, typer.Option(metavar="NAME", help="Law of the databases [default: from the config].")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="The prior's settings [default: from the config].")
    ] = None,
    sql_schema: Annotated[
        Path | None,
        typer.Option("--sql-schema", metavar="FILE", help="Tables from CREATE TABLE, not random ones."),
    ] = None,
    tasks: Annotated[
        bool | None,
        typer.Option("--tasks/--no-tasks", help="Autocomplete tasks for other tools [default: with them]."),
    ] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Generate synthetic databases as RelBench 3 folders, in parallel, with an index.

    A folder that holds some of them already is filled up; the first ones stay as they are. Settings:
    corpus.prior, corpus.preset, corpus.generator.*, corpus.tasks, corpus.seed_offset, cluster.*.
    """
    options = {"prior": prior, "preset": preset, "seed_offset": seed_offset, "tasks": tasks}
    given = [f"corpus.{name}={value}" for name, value in options.items() if value is not None]
    study = _load(config, [*(set_ or []), *given])
    generator = study.corpus.generator
    if sql_schema is not None:
        from relscale.generation.sql_schema import with_sql_schema

        generator = with_sql_schema(generator, sql_schema)
    from relscale.generation.corpus import corpus_sentence, generate_corpus, reporter
    from relscale.generation.priors import find_prior
    from relscale.platform.dataflow import on_cluster
    from relscale.platform.progress import bar, console

    with on_cluster(study.cluster) as run, bar("generate", num_databases, "databases") as advance:
        index = generate_corpus(
            out,
            find_prior(study.corpus.prior),
            generator,
            preset=study.corpus.preset,
            num_databases=num_databases,
            seed_offset=study.corpus.seed_offset,
            tasks=study.corpus.tasks,
            progress=reporter(advance),
            run=run,
        )
    console.print(f"{corpus_sentence(index)} under {out}/databases.")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A RelBench 3 database folder, or a corpus of them.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder of the page [default: runs/inspect/NAME]."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Databases of a corpus to read at most [default: from the config]."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="CORPUS_OR_FILE", help="Second corpus, or a page's statistics.parquet."),
    ] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """A page of pictures of a database or a corpus, real or synthetic.

    Of a database: schema graph, fan-out, columns, time, missing values, dependence on parent rows. Of a
    corpus: how each statistic is spread, beside a second one with tests. Settings:
    analysis.inspected_databases.
    """
    study = _load(config, set_)
    from relscale.analysis.inspection_corpus import inspect_path
    from relscale.platform.progress import console, stages

    out = out or Path("runs/inspect") / path.resolve().name
    with stages("inspect") as progress:
        page = inspect_path(
            path, out, limit=limit or study.analysis.inspected_databases, against=against, progress=progress
        )
    console.print(f"page {page}", soft_wrap=True)


@app.command()
def tokenize(
    out: Out,
    corpus: Annotated[
        Path | None,
        typer.Option("--corpus", metavar="DIR", help="A corpus, or one RelBench 3 database folder."),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Compare every file with its recorded hash; without --corpus only this."
        ),
    ] = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Turn a corpus, or any RelBench 3 folder with its tasks, into a memory-mapped token store.

    Settings: text.encoder, cluster.*.
    """
    study = _load(config, set_)
    if corpus is None and not verify:
        raise typer.BadParameter("give a corpus or a RelBench 3 folder", param_hint="--corpus")
    from relscale.model.checksums import verify_store
    from relscale.model.store import TokenStore
    from relscale.model.tokenize import tokenize_folders
    from relscale.platform.dataflow import on_cluster
    from relscale.platform.progress import console, stages

    if corpus is not None:
        folders = _database_folders(corpus)
        with on_cluster(study.cluster) as run, stages("tokenize") as progress:
            tokenize_folders(
                folders, out, study.text, progress=progress, run=run if len(folders) > 1 else None
            )
    store = TokenStore.open(out)
    if verify:
        with stages("verify") as progress:
            verify_store(store, progress)
    note = ", every file as it was written" if verify else ""
    console.print(f"{len(store.names)} databases in {out}, fingerprint {store.fingerprint}{note}.")


@app.command()
def pretrain(
    store: Annotated[Path, typer.Option("--store", metavar="DIR", help="Token store to train on.")],
    out: Out,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Training tokens [default: the largest of grid.tokens].")
    ] = None,
    num_databases: Annotated[
        int | None, typer.Option("--num-databases", "-n", min=1, help="Train on the first N [default: all].")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of initialisation and order.")] = 0,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init", metavar="CHECKPOINT", help="Start from a checkpoint folder or a published .pt file."
        ),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", metavar="STORE", help="Store of other databases, to be scored on."),
    ] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Pretrain one Relational Transformer; run again to resume.

    Leaves the checkpoint (model.safetensors, config.json) in OUT/final and the losses in
    OUT/metrics.jsonl, and mirrors them in MLflow. Settings: model.*, sampler.*, training.*, evaluation.*,
    trial.*, cluster.*, tracking.uri.
    """
    study = _load(config, set_)
    import contextlib

    from relscale.model.job import HeldOutData, PretrainJob
    from relscale.model.store import TokenStore
    from relscale.model.text import check_encoder
    from relscale.platform.cluster import connect
    from relscale.platform.progress import console
    from relscale.sweeps.pretraining import run_pretraining

    for path in (store, held_out) if held_out else (store,):
        check_encoder(TokenStore.open(path), study.text)
    job = PretrainJob(
        store=store.resolve(),
        out=out.resolve(),
        databases=num_databases,
        model=study.model,
        sampler=study.sampler,
        training=study.training,
        tokens=tokens or max(study.grid.tokens),
        seed=seed,
        init=init.resolve() if init else None,
        held_out=HeldOutData(store=held_out.resolve(), evaluation=study.evaluation) if held_out else None,
    )
    cluster = (
        connect(study.cluster.address, study.cluster.num_cpus)
        if study.trial.n_workers
        else contextlib.nullcontext()
    )
    with cluster:
        checkpoint = run_pretraining(job, study.trial, study.tracking, study.name)
    console.print(f"checkpoint {checkpoint}", soft_wrap=True)


@app.command()
def sweep(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="Study file (YAML).")],
    out: Out,
    set_: Set = None,
) -> None:
    """The whole study of a file: corpus, stores, N x S x seed grid, fits, zero-shot, report, MLflow.

    Running it again resumes it: finished databases and trials are recognised by content and kept.
    """
    _run_study(_load(config, set_), out)


@app.command()
def fit(
    results: Annotated[
        Path,
        typer.Argument(help="CSV or Parquet table with the columns n_databases, tokens, seed, loss."),
    ],
    out: Out,
    drop_nonfinite: Annotated[
        bool, typer.Option("--drop-nonfinite", help="Leave out runs without a finite loss, and count them.")
    ] = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Fit L(x) = E + A x^-alpha along each axis of a results table; figures and a report.

    Needs no Ray and no torch. Where the data do not identify a law it says why instead of giving a number.
    Settings: analysis.n_boot.
    """
    study = _load(config, set_)
    from relscale.analysis.report import verdict_sentences, write_fit
    from relscale.platform.progress import console
    from relscale.sweeps.summary import law_table

    fitted = write_fit(out, results, drop_nonfinite=drop_nonfinite, n_boot=study.analysis.n_boot)
    console.print(law_table(fitted))
    for sentence in verdict_sentences(fitted):
        console.print(f"• {sentence}", markup=False)
    console.print(f"report {out / 'report.html'}")


@app.command()
def evaluate(
    checkpoint: Annotated[
        Path,
        typer.Option("--checkpoint", metavar="PATH", help="Checkpoint folder, or a published .pt file."),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset", metavar="NAME_OR_PATH", help="RelBench name, RelBench 3 folder, or nycflights."
        ),
    ],
    out: Out,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="Task to score; repeatable [default: all].")
    ] = None,
    split: Annotated[Split, typer.Option(help="Split of the tasks to score.")] = Split.TEST,
    device: Annotated[str, typer.Option(help="Where the model runs, such as cuda.")] = "cpu",
    config: Config = None,
    set_: Set = None,
) -> None:
    """Score a checkpoint zero-shot on a real database, beside simple baselines on the same rows.

    Writes OUT/scores.json and OUT/predictions/<task>.parquet. Settings: zero_shot.context_seeds,
    evaluation.batch_size, analysis.n_boot; text.encoder where the checkpoint names none (PluRel's published
    ones were trained with all-MiniLM-L12-v2).
    """
    study = _load(config, set_)
    from relscale.analysis.zero_shot import evaluate_checkpoint
    from relscale.platform.progress import console
    from relscale.sweeps.databases import real_database
    from relscale.sweeps.summary import score_table

    scores = evaluate_checkpoint(
        checkpoint,
        real_database(dataset, out / "real"),
        out,
        tasks=task or None,
        split=split.value,
        context_seeds=study.zero_shot.context_seeds,
        text=study.text,
        batch_size=study.evaluation.batch_size,
        n_boot=study.analysis.n_boot,
        device=device,
    )
    console.print(score_table(scores))
    console.print(f"scores {out / 'scores.json'}, predictions per row {out / 'predictions'}")


@app.command()
def settings(config: Config = None, set_: Set = None) -> None:
    """Print every setting of a study with its meaning, as YAML to start a study file from.

    Values are the published study's, or those of the given file and overrides.
    """
    from relscale.platform.config import describe

    print(describe(_load(config, set_)), end="")


def _load(config: Path | None, overrides: list[str] | None) -> "StudyConfig":
    from relscale.platform.config import load_config
    from relscale.sweeps.config import StudyConfig

    return load_config(StudyConfig, config, overrides)


def _run_study(study: "StudyConfig", out: Path) -> None:
    from relscale.analysis.report import verdict_sentences
    from relscale.platform.progress import console
    from relscale.sweeps.study import run_study
    from relscale.sweeps.summary import summary

    outcome = run_study(study, out)
    console.print(summary(outcome.results, outcome.fit, outcome.scores, verdict_sentences(outcome.fit)))
    console.print(f"\nreport    {outcome.report}\nresults   {out / 'results.csv'}", soft_wrap=True)
    console.print(f"all runs  {outcome.open_tracking}", soft_wrap=True)


def _database_folders(corpus: Path) -> list[Path]:
    """The databases of a corpus in the order of its index, or the one database that `corpus` is."""
    if (corpus / "manifest.yaml").is_file():
        return [corpus]
    index = corpus / "index.parquet"
    if not index.is_file():
        raise DataError(
            f"'{corpus}' is neither a corpus (no index.parquet) nor a RelBench 3 folder (no manifest.yaml); "
            "make one with `relscale generate`."
        )
    from relscale.generation.corpus import database_folders

    return database_folders(corpus)


def main() -> None:
    """Entry point: a user's mistake ends in one sentence and exit code 2."""
    try:
        app()
    except RelscaleError as error:
        print(f"relscale: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("relscale: stopped; run the same command again to go on.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
