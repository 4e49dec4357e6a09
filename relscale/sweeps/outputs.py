"""A study's tables, figures, fits and reports on its store.

Databases, trials and scores go there on their own when they are made; what is drawn from them comes after.
"""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from relscale.model import run_folder
from relscale.platform import remote

FIGURES = "figures"


@contextlib.contextmanager
def outputs(folders: Sequence[Path], trials: Sequence[Path]) -> Iterator[None]:
    """Bring what an earlier call has sent, and what the trials have logged; send what the block makes.

    An error's own outputs are sent too: a grid whose scores failed has its report all the same.

    Parameters
    ----------
    folders : where outputs lie, beside other things. trials : folders of the study's trials.
    """
    images = [folder for folder in dict.fromkeys(folders) if remote.origin(folder)]
    for folder in images:
        remote.stage(folder)
    if images:
        with ThreadPoolExecutor(remote.AT_ONCE) as threads:
            list(threads.map(run_folder.bring_files, trials))
    try:
        yield
    finally:
        for folder in images:
            remote.publish(folder, leave_out=_others(folder))


def _others(folder: Path) -> set[str]:
    """All but files and figures; of the files not those that change on their own."""
    folders = {path.name for path in folder.iterdir() if path.is_dir() and path.name != FIGURES}
    return {*folders, "mlflow.db", "study.yaml", "trials.json"}
