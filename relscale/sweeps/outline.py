"""The list of a study's trials, for whoever watches it: which there are, and why those failed that did."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from relscale.platform import remote, storage
from relscale.sweeps.grid import Trial

OUTLINE = "trials.json"
"""File in the study's folder: `trials`, in the order of the grid, and `failures`, {key: reason}."""


def write_outline(out: Path, trials: Sequence[Trial], failures: Mapping[str, str]) -> None:
    """Write the list; a trial that is run again has not failed."""
    rows = [
        {
            "key": trial.key,
            "n_databases": trial.n_databases,
            "tokens": trial.tokens,
            "seed": trial.seed,
            "variant": trial.variant,
        }
        for trial in trials
    ]
    storage.write_json(out / OUTLINE, {"trials": rows, "failures": dict(failures)})
    remote.publish(out / OUTLINE)
