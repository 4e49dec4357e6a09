"""The command that compares studies."""

from pathlib import Path
from typing import Annotated

import typer

from relscale.commands.options import Config, Out, Set, bring_results, load_study, sends_results
from relscale.platform.image import place, reworded


@sends_results()
def compare(
    studies: Annotated[
        list[Path],
        typer.Argument(metavar="STUDY STUDY ...", help="Folders of sweeps, or results tables.", parser=place),
    ],
    out: Out,
    drop_nonfinite: Annotated[
        bool, typer.Option("--drop-nonfinite", help="Leave out runs without a finite loss.")
    ] = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Compare the scaling laws of studies: do exponents and losses differ, and by how much?

    Needs no Ray and no torch. Writes compare.json, figures with their data, and compare.html; with a
    tracking.uri also a run in MLflow. Settings: analysis.n_boot, tracking.
    """
    study = load_study(config, set_)
    from relscale.analysis.compare_report import write_comparison
    from relscale.platform.progress import console
    from relscale.platform.tracking import check_tracking

    check_tracking(study.tracking)
    for one in studies:
        bring_results(one)
    comparison = write_comparison(out, studies, drop_nonfinite=drop_nonfinite, n_boot=study.analysis.n_boot)
    for sentence in comparison["sentences"]:
        console.print(f"• {sentence}", markup=False)
    console.print(f"page {reworded(str(out / 'compare.html'))}", soft_wrap=True)
    if study.tracking.uri:
        from relscale.sweeps.record_comparison import record_comparison

        console.print(f"all runs {record_comparison(study.tracking, comparison, out)}", soft_wrap=True)
