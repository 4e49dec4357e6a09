"""Commands that make databases and token stores, and show them."""

from pathlib import Path
from typing import Annotated

import typer

from relscale.commands.options import Config, Out, Set, load_study, sends_results
from relscale.platform import remote
from relscale.platform.errors import DataError
from relscale.platform.image import place, reworded


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
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe",
            metavar="PATH",
            help="Tables like a RelBench folder's, by aggregates, or a .sql file's.",
        ),
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
    study = load_study(config, [*(set_ or []), *given])
    generator = study.corpus.generator
    if sql_schema is not None:
        from relscale.generation.sql_schema import with_sql_schema

        generator = with_sql_schema(generator, sql_schema)
    if recipe is not None:
        from relscale.imports.recipe import with_recipe

        generator = with_recipe(generator, recipe)
    from relscale.generation.corpus import corpus_sentence, generate_corpus, reporter
    from relscale.generation.priors import find_prior
    from relscale.platform import metrics
    from relscale.platform.dataflow import on_cluster
    from relscale.platform.progress import bar, console
    from relscale.platform.spending import watched

    with (
        on_cluster(study.cluster) as run,
        metrics.of_study(study.name),
        watched(study.cluster.dollars_per_hour, out),
        bar("generate", num_databases, "databases") as advance,
    ):
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
    console.print(f"{corpus_sentence(index)} under {remote.shown(out)}/databases.")


@sends_results()
def inspect(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A RelBench 3 database folder, or a corpus of them.", parser=place
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder of the page [default: runs/inspect/NAME].",
            parser=place,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Databases of a corpus to read at most [default: from the config]."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="CORPUS_OR_FILE", help="Second corpus, or a page's statistics.parquet.", parser=place
        ),
    ] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """A page of pictures of a database or a corpus, real or synthetic.

    Of a database: schema graph, fan-out, columns, time, missing values, dependence on parent rows. Of a
    corpus: how each statistic is spread, beside a second one with tests. Settings:
    analysis.inspected_databases.
    """
    study = load_study(config, set_)
    from relscale.analysis.inspection_corpus import inspect_path
    from relscale.platform.progress import console, stages

    out = out or Path("runs/inspect") / path.resolve().name
    with stages("inspect") as progress:
        page = inspect_path(
            path, out, limit=limit or study.analysis.inspected_databases, against=against, progress=progress
        )
    console.print(f"page {reworded(str(page))}", soft_wrap=True)


def tokenize(
    out: Out,
    corpus: Annotated[
        Path | None,
        typer.Option(
            "--corpus", metavar="DIR", help="A corpus, or one RelBench 3 database folder.", parser=place
        ),
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
    study = load_study(config, set_)
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
    console.print(
        f"{len(store.names)} databases in {remote.shown(out)}, fingerprint {store.fingerprint}{note}."
    )


def _database_folders(corpus: Path) -> list[Path]:
    """The databases of a corpus in the order of its index, or the one database that `corpus` is."""
    if remote.origin(corpus) and remote.committed(corpus):
        return [corpus]
    if (corpus / "manifest.yaml").is_file():
        return [corpus]
    if not remote.stage_file(corpus / "index.parquet"):
        raise DataError(
            f"'{corpus}' is neither a corpus (no index.parquet) nor a RelBench 3 folder (no manifest.yaml); "
            "make one with `relscale generate`."
        )
    from relscale.generation.corpus import database_folders

    return database_folders(corpus)
