"""Options that several commands share, and the study file behind them."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relscale.platform import remote
from relscale.platform.image import place

if TYPE_CHECKING:
    from relscale.sweeps.config import StudyConfig

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
Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="DIR", help="Folder or storage URI for everything that is made.", parser=place
    ),
]


def sends_results(*leave_out: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a command whose results go to --out: a storage URI gets them at the end, but for `leave_out`."""

    def mark(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**options: Any) -> None:
            if options["out"] is None:
                return command(**options)
            with remote.working_folder(options["out"], leave_out) as folder:
                return command(**{**options, "out": folder})

        return run

    return mark


def bring_results(path: Path) -> None:
    """Bring the results table that a path names, or that its study holds, and what lies beside it."""
    from relscale.analysis.studies import PER_DATABASE, RESULTS

    for file in (path, path / RESULTS, path / PER_DATABASE, path.with_name(PER_DATABASE)):
        if remote.origin(file) and file.suffix in (".csv", ".parquet"):
            remote.stage_file(file)


def load_study(config: Path | None, overrides: list[str] | None) -> "StudyConfig":
    """The settings of a study file and its overrides; the defaults where no file is given."""
    from relscale.platform.config import load_config
    from relscale.sweeps.config import StudyConfig

    return load_config(StudyConfig, config, overrides)
