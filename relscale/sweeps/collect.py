"""Trial folders to tables: the results of a grid, its losses by database, its training curves."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from relscale.platform import remote, storage
from relscale.sweeps.grid import Trial
from relscale.sweeps.trial import RESULT, finished

_FIRST = ("n_databases", "tokens", "seed", "loss", "status", "reason")
_POINT = ("n_databases", "tokens", "seed")


def trial_folder(out: Path, trial: Trial) -> Path:
    """Where a trial of the study in `out` keeps its files."""
    return out / "trials" / trial.key


def checkpoint_folder(out: Path, key: str) -> Path:
    """Where the trial of that key in the study in `out` has left its network."""
    return out / "trials" / key / "final"


def collect_results(
    out: Path, trials: Sequence[Trial], failures: Mapping[str, str], settings: Mapping[str, Any] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The results of a grid, and the losses by held-out database.

    Parameters
    ----------
    failures : {key: reason} of trials without a result.
    settings : of the grid's variant; each becomes a column.

    Returns
    -------
    results : one row per trial, by (n_databases, tokens, seed).
    per_database : n_databases, tokens, seed, database, loss; one row per finished trial and database.
    """
    rows, by_database = [], []
    for trial in trials:
        point = {"n_databases": trial.n_databases, "tokens": trial.tokens, "seed": trial.seed}
        result = finished(trial_folder(out, trial)) or {
            **point,
            "loss": None,
            "status": "failed",
            "reason": failures.get(trial.key, "the trial ended without a result"),
            "key": trial.key,
        }
        by_database += [
            {**point, "database": name, "loss": loss} for name, loss in result.get("per_database", {}).items()
        ]
        rows.append({name: value for name, value in result.items() if name != "per_database"})
    table = pd.DataFrame(rows).sort_values(list(_POINT), ignore_index=True)
    table = table[[*_FIRST, *table.columns.difference(_FIRST, sort=False)]].astype({"loss": "float64"})
    per_database = pd.DataFrame(by_database, columns=[*_POINT, "database", "loss"])
    return (
        table.assign(**{name: str(value) for name, value in (settings or {}).items()}),
        per_database.sort_values([*_POINT, "database"], ignore_index=True),
    )


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as `path`.parquet and `path`.csv."""
    storage.write_bytes(path.with_suffix(".parquet"), table.to_parquet(index=False))
    storage.write_text(path.with_suffix(".csv"), table.to_csv(index=False))


def reuse_results(out: Path, trials: Sequence[Trial], others: Sequence[Path]) -> int:
    """Copy finished trials from the folders of other studies; how many.

    A trial's folder is named by all that decides its result, so one of that name is the same trial.
    """
    from relscale.model import run_folder

    count = 0
    for trial in trials:
        own = trial_folder(out, trial)
        for other in others:
            found = trial_folder(other, trial)
            if finished(own) is None and finished(found) is not None:
                run_folder.bring(found)
                shutil.rmtree(own, ignore_errors=True)
                with storage.new_folder(own) as draft:
                    shutil.copytree(found, draft, dirs_exist_ok=True)
                run_folder.send_whole(own)
                remote.publish(own / RESULT)
                count += 1
    return count


def collect_curves(out: Path, trials: Sequence[Trial]) -> pd.DataFrame:
    """Training curves of all trials, one row per logged step."""
    from relscale.model.run_folder import read_metrics

    return pd.DataFrame(
        {
            "trial": trial.key,
            "n_databases": trial.n_databases,
            "tokens_total": trial.tokens,
            "seed": trial.seed,
            "tokens": line["tokens"],
            "loss": line["loss"],
        }
        for trial in trials
        for line in read_metrics(trial_folder(out, trial))
    )
