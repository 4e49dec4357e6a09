"""Commands before a study: what it will cost, whether it can run here."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relscale.commands.options import Set, load_study
from relscale.platform.image import place

if TYPE_CHECKING:
    from relscale.sweeps.config import StudyConfig

StudyFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="Study file (YAML).")]


def plan(
    config: StudyFile,
    tokens_per_second: Annotated[
        float | None,
        typer.Option(
            metavar="RATE", min=1e-9, help="Training pace of one trial [default: measured here, some 20 s]."
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Token store to count cells in [default: some databases are made].",
            parser=place,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the plan as JSON, every trial.")
    ] = None,
    gpu_price: Annotated[
        float | None,
        typer.Option(metavar="DOLLARS", min=0, help="Of an hour of one GPU, with the CPUs beside it."),
    ] = None,
    cpu_price: Annotated[
        float | None, typer.Option(metavar="DOLLARS", min=0, help="Of an hour of one CPU.")
    ] = None,
    set_: Set = None,
) -> None:
    """What a study will run and cost: trials, steps, epochs, hours, storage, what a trial needs.

    Makes the first databases of the corpus and trains the study's model on them for some seconds, both in a
    temporary folder, or takes the pace that you state, say of the GPUs that it will run on. Starts no
    cluster and leaves nothing behind. In the table, epochs is how often each cell to predict is asked for,
    views how often each cell is seen in a context, tokens trained what the trial computes itself: fewer
    than S where training.schedule is wsd-branch and shorter trials have trained its beginning. With prices
    the stages' cost is told too.
    """
    study = load_study(config, set_)
    from dataclasses import asdict

    from relscale.platform.progress import console
    from relscale.platform.storage import write_json
    from relscale.sweeps.budget import plan_study
    from relscale.sweeps.measure import measure_parts
    from relscale.sweeps.plan_table import plan_page
    from relscale.sweeps.prices import Prices, dollars

    with tempfile.TemporaryDirectory(prefix="relscale-plan-") as scratch, console.status("measuring"):
        parts = measure_parts(study, Path(scratch), tokens_per_second=tokens_per_second, store=store)
    priced = plan_study(study, parts, here=_trials_here(study))
    prices = Prices(cpu=cpu_price, gpu=gpu_price)
    cost = dollars(priced, prices) if prices != Prices() else {}
    console.print(plan_page(priced, cost))
    if out is not None:
        totals = {"hours": priced.hours, "new_tokens": priced.new_tokens, "dollars": cost}
        write_json(out, {**asdict(priced), **totals})


def _trials_here(study: "StudyConfig") -> int | None:
    """Trials that a local Ray holds at once; None where they need GPUs, of which nothing is known yet."""
    from relscale.platform.cluster import configured_address
    from relscale.sweeps.needs import needs_of, trials_at_once

    if study.trial.use_gpu or configured_address(study.cluster.address):
        return None
    cpus = study.cluster.num_cpus or os.cpu_count() or 1
    return trials_at_once(needs_of(study), [{"CPU": cpus}]) or None


def doctor(
    config: StudyFile,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Folder or URI that the study would be run into.", parser=place
        ),
    ] = Path("runs"),
    set_: Set = None,
) -> None:
    """Whether a study can run here, and what to mend: one line a check, exit code 2 if one fails.

    Looks at the settings, the seeds, the versions, the text encoder, the first databases, the folder and its
    free space, the tracking server, what a submitted job would upload, and the cluster: whether a trial can
    be placed, how many at once, and whether every node has relscale and sees the folder. Leaves nothing but a
    point in the experiment "relscale doctor" of a tracking server.
    """
    study = load_study(config, set_)
    from rich.text import Text

    from relscale.platform.progress import console
    from relscale.sweeps.doctor import examine

    styles = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    n_failed = 0
    for finding in examine(study, out):
        line = Text(f"{finding.status:<5}", style=styles[finding.status])
        console.print(line.append(f"{finding.check:<14}{finding.sentence}", style="default"), soft_wrap=True)
        n_failed += finding.status == "fail"
    if n_failed:
        console.print(f"\n{n_failed} check{'s' if n_failed > 1 else ''} failed; mend that before the sweep.")
        raise typer.Exit(2)
    console.print("\nNothing stands in the way.")
