"""Options that several commands share, and the study file behind them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for everything that is made.")]


def load_study(config: Path | None, overrides: list[str] | None) -> "StudyConfig":
    """The settings of a study file and its overrides; the defaults where no file is given."""
    from relscale.platform.config import load_config
    from relscale.sweeps.config import StudyConfig

    return load_config(StudyConfig, config, overrides)
