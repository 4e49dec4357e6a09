"""The command that shows how far something is."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

SECONDS_BETWEEN_LOOKS = 2.0


def status(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR_OR_URI", help="What --out named: a study, corpus, token store or run."),
    ],
    address: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Dashboard of a Ray cluster, such as http://127.0.0.1:8265."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 2 s until it ends.")] = False,
) -> None:
    """How far a study is: databases, trials, pace, time left, failures, spending, report.

    Reads files alone, and needs no Ray; also beside the process that works there. With a dashboard's address
    also the cluster's nodes by group, what is waited for and the jobs. Exit code 0 for a half-finished study
    too, 2 for a folder that is none.
    """
    from relscale.platform.progress import console

    page, finished = _look(folder, address)
    if not watch:
        console.print(page, soft_wrap=True)
        return
    import time

    from rich.live import Live

    with Live(page, console=console, auto_refresh=False) as display:
        while not finished:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            page, finished = _look(folder, address)
            display.update(page, refresh=True)


def _look(folder: str, address: str | None) -> "tuple[RenderableType, bool]":
    """The page, and whether the work is finished."""
    from relscale.platform.dashboard import cluster_status
    from relscale.platform.remote import place
    from relscale.sweeps.status import read_status
    from relscale.sweeps.status_page import status_page

    seen = read_status(place(folder))
    return status_page(seen, cluster_status(address) if address else None), seen.finished
