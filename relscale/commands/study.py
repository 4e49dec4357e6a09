"""Commands of a whole study: run it, print its settings."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relscale.commands.options import Config, Out, Set, load_study
from relscale.platform import remote

if TYPE_CHECKING:
    from relscale.sweeps.config import StudyConfig


def demo(out: Out = Path("runs/demo"), config: Config = None, set_: Set = None) -> None:
    """The whole job, small: corpus, token store, N x S grid, fits, zero-shot on real flights, report.

    Needs no network and no arguments, and takes some minutes on two cores. Run it again after an
    interruption and it goes on where it stopped.
    """
    if config is None:
        with as_file(files("relscale") / "configs" / "demo.yaml") as file:
            study = load_study(file, set_)
    else:
        study = load_study(config, set_)
    _run_study(study, out)


def sweep(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="Study file (YAML).")],
    out: Out,
    set_: Set = None,
) -> None:
    """The whole study of a file: corpus, stores, N x S x seed grid, fits, zero-shot, report, MLflow.

    Running it again resumes it: finished databases and trials are recognised by content and kept.
    """
    _run_study(load_study(config, set_), out)


def settings(config: Config = None, set_: Set = None) -> None:
    """Print every setting of a study with its meaning, as YAML to start a study file from.

    Values are the published study's, or those of the given file and overrides.
    """
    from relscale.platform.config import describe

    print(describe(load_study(config, set_)), end="")


def _run_study(study: "StudyConfig", out: Path) -> None:
    from relscale.analysis.report import verdict_sentences
    from relscale.platform.progress import console
    from relscale.sweeps.study import run_study
    from relscale.sweeps.summary import summary

    outcome = run_study(study, out)
    for one in outcome.variants:
        if one.variant.name:
            console.rule(one.variant.name, align="left")
        console.print(summary(one.results, one.fit, one.scores, verdict_sentences(one.fit)))
    for sentence in outcome.comparison:
        console.print(f"• {sentence}", markup=False)
    report, results = remote.shown(outcome.report), remote.shown(out / "results.csv")
    console.print(f"\nreport    {report}\nresults   {results}", soft_wrap=True)
    console.print(f"all runs  {outcome.open_tracking}", soft_wrap=True)
