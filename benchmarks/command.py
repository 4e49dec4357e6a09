"""The `relscale` command as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any


def start_generate(out: Path, n_databases: int, settings: Sequence[str], **how: Any) -> subprocess.Popen[str]:
    """Start it on `out`; `how` as in `start`."""
    return start("generate", ["--out", str(out), "--num-databases", str(n_databases)], settings, **how)


def start_pretrain(
    store: Path, out: Path, tokens: int, settings: Sequence[str], **how: Any
) -> subprocess.Popen[str]:
    """Start a training on `store`; as `start_generate`."""
    options = ["--store", str(store), "--out", str(out), "--tokens", str(tokens)]
    return start("pretrain", options, settings, **how)


def start(
    name: str,
    options: Sequence[str],
    settings: Sequence[str],
    output: int | IO[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    new_group: bool = False,
) -> subprocess.Popen[str]:
    """Start any command with its options and the settings of its study.

    `output` takes what it prints, on both of its streams; `environment` is added to this process's own; with
    `new_group` it has a process group of its own.
    """
    arguments = [name, *options]
    for setting in settings:
        arguments += ["--set", setting]
    return subprocess.Popen(
        [sys.executable, "-m", "relscale.cli", *arguments],
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
        start_new_session=new_group,
    )


def finished_folders(out: Path) -> int:
    """Databases that stand whole in a corpus folder, at this moment."""
    return sum(1 for _ in (out / "databases").glob("*"))
