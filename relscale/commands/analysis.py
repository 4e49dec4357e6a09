"""Commands that read a results table."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from relscale.commands.options import Config, Out, Set, bring_results, load_study, sends_results
from relscale.platform.image import place, reworded


class Law(StrEnum):
    """What is fitted: a law for each axis of an N x S grid, or one law of two variables to any table."""

    AXES = "axes"
    JOINT = "joint"


@sends_results()
def fit(
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS",
            help="CSV or Parquet table with the columns n_databases, tokens, seed, loss.",
            parser=place,
        ),
    ],
    out: Out,
    drop_nonfinite: Annotated[
        bool, typer.Option("--drop-nonfinite", help="Leave out runs without a finite loss, and count them.")
    ] = False,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Fit a grid with points that no run finished, and list them."),
    ] = False,
    per_database: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=place,
            help="Losses by held-out database, resampled with the seeds; "
            "per_database.parquet beside RESULTS if it is there.",
        ),
    ] = None,
    forecast: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=X", help="Read a law at n_databases=X or tokens=X; repeatable."),
    ] = None,
    law: Annotated[
        Law, typer.Option(help="Laws of both axes, or joint: E + A x^-alpha + B y^-beta.")
    ] = Law.AXES,
    x: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of x, for --law joint.")] = None,
    y: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of y, for --law joint.")] = None,
    loss: Annotated[str, typer.Option(metavar="COLUMN", help="Its column of the loss.")] = "loss",
    config: Config = None,
    set_: Set = None,
) -> None:
    """Fit L(x) = E + A x^-alpha along each axis of a results table; figures and a report.

    With --law joint --x COLUMN --y COLUMN: L = E + A x^-alpha + B y^-beta, to a table of any study.
    Needs no Ray and no torch. Where the data do not identify a law it says why instead of giving a number.
    Settings: analysis.n_boot.
    """
    study = load_study(config, set_)
    for table in (results, per_database) if per_database else (results,):
        bring_results(table)
    if law is Law.JOINT:
        return _fit_joint(
            out, results, x, y, loss, drop_nonfinite=drop_nonfinite, n_boot=study.analysis.n_boot
        )
    from relscale.analysis.forecast import parse_request
    from relscale.analysis.report import verdict_sentences, write_fit
    from relscale.platform.progress import console
    from relscale.sweeps.summary import law_table

    fitted = write_fit(
        out,
        results,
        drop_nonfinite=drop_nonfinite,
        allow_missing=allow_missing,
        per_database=per_database,
        forecasts=[parse_request(text) for text in forecast or ()],
        n_boot=study.analysis.n_boot,
    )
    console.print(law_table(fitted))
    for sentence in verdict_sentences(fitted):
        console.print(f"• {sentence}", markup=False)
    console.print(f"report {reworded(str(out / 'report.html'))}")


def _fit_joint(
    out: Path, table: Path, x: str | None, y: str | None, loss: str, *, drop_nonfinite: bool, n_boot: int
) -> None:
    from relscale.analysis.joint_report import joint_sentences, write_joint
    from relscale.platform.errors import ConfigError
    from relscale.platform.progress import console

    if x is None or y is None:
        raise ConfigError("--law joint needs two variables; name their columns with --x COLUMN --y COLUMN.")
    fitted = write_joint(out, table, x=x, y=y, loss=loss, drop_nonfinite=drop_nonfinite, n_boot=n_boot)
    for sentence in joint_sentences(fitted["joint"]):
        console.print(f"• {sentence}", markup=False)
    console.print(f"report {reworded(str(out / 'report.html'))}")
