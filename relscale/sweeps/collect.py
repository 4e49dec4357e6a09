"""Trial folders to tables: the results of a grid, and its training curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from relscale.platform import storage
from relscale.platform.errors import DataError
from relscale.sweeps.grid import Trial
from relscale.sweeps.trial import finished


def trial_folder(out: Path, trial: Trial) -> Path:
    """Where a trial of the study in `out` keeps its files."""
    return out / "trials" / trial.key


def collect_results(out: Path, trials: Sequence[Trial], failures: Mapping[str, str]) -> pd.DataFrame:
    """The results table, one row per trial in the order of the grid; written as Parquet and CSV."""
    rows = []
    for trial in trials:
        result = finished(trial_folder(out, trial)) or {
            "n_databases": trial.n_databases,
            "tokens": trial.tokens,
            "seed": trial.seed,
            "loss": None,
            "status": "failed",
            "reason": failures.get(trial.key, "the trial ended without a result"),
            "key": trial.key,
        }
        rows.append({name: value for name, value in result.items() if name != "per_database"})
    first = ["n_databases", "tokens", "seed", "loss", "status", "reason"]
    table = pd.DataFrame(rows).sort_values(first[:3], ignore_index=True)
    table = table[[*first, *table.columns.difference(first, sort=False)]].astype({"loss": "float64"})
    storage.write_bytes(out / "results.parquet", table.to_parquet(index=False))
    storage.write_text(out / "results.csv", table.to_csv(index=False))
    if not (table["status"] == "ok").any():
        raise DataError(f"every trial failed; the first: {table['reason'].iloc[0]}")
    return table


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
