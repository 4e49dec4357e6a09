"""Commands that read a results table."""

from pathlib import Path
from typing import Annotated

import typer

from relscale.commands.options import Config, Out, Set, load_study


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
    study = load_study(config, set_)
    from relscale.analysis.report import verdict_sentences, write_fit
    from relscale.platform.progress import console
    from relscale.sweeps.summary import law_table

    fitted = write_fit(out, results, drop_nonfinite=drop_nonfinite, n_boot=study.analysis.n_boot)
    console.print(law_table(fitted))
    for sentence in verdict_sentences(fitted):
        console.print(f"• {sentence}", markup=False)
    console.print(f"report {out / 'report.html'}")
