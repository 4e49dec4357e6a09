"""The `relscale` command as a process of its own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO


def start_generate(
    out: Path, n_databases: int, settings: Sequence[str], *, output: int | IO[str] | None = None
) -> subprocess.Popen[str]:
    """Start it on `out`; `output` takes what it prints, on both of its streams."""
    return start("generate", ["--out", str(out), "--num-databases", str(n_databases)], settings, output)


def start_pretrain(
    store: Path, out: Path, tokens: int, settings: Sequence[str], *, output: int | IO[str] | None = None
) -> subprocess.Popen[str]:
    """Start a training on `store`; as `start_generate`."""
    options = ["--store", str(store), "--out", str(out), "--tokens", str(tokens)]
    return start("pretrain", options, settings, output)


def start(
    name: str,
    options: Sequence[str],
    settings: Sequence[str],
    output: int | IO[str] | None,
    *,
    new_group: bool = False,
) -> subprocess.Popen[str]:
    """Start any command with its options and the settings of its study; in a process group of its own."""
    arguments = [name, *options]
    for setting in settings:
        arguments += ["--set", setting]
    return subprocess.Popen(
        [sys.executable, "-m", "relscale.cli", *arguments],
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        text=True,
        start_new_session=new_group,
    )


def finished_folders(out: Path) -> int:
    """Databases that stand whole in a corpus folder, at this moment."""
    return sum(1 for _ in (out / "databases").glob("plurel-*"))
