"""Losses of every run on every held-out database, behind the loss of the results table."""

from pathlib import Path

import numpy as np
import pandas as pd

from relscale.analysis.grid import AXES, DatabaseLosses, Grid
from relscale.analysis.noise import pooled
from relscale.analysis.results import COLUMNS, KEY, AnalysisError, read_table

FILE = "per_database.parquet"


def load_per_database(path: Path | str) -> pd.DataFrame:
    """Read a table of losses by database (.csv or .parquet): n_databases, tokens, seed, database, loss.

    Raises
    ------
    AnalysisError : missing_file, unreadable_file or missing_column.
    """
    table = read_table(Path(path))
    lacking = [name for name in (*COLUMNS, "database") if name not in table.columns]
    if lacking:
        have = ", ".join(map(str, table.columns)) or "none"
        message = f"'{path}' has no column '{lacking[0]}'; needed are {', '.join(COLUMNS)}, database; found "
        raise AnalysisError("missing_column", f"{message}are {have}.")
    return table


def database_losses(per_database: pd.DataFrame, used: pd.DataFrame, grid: Grid) -> DatabaseLosses | None:
    """Losses of a grid's used runs by held-out database.

    Parameters
    ----------
    per_database : see `load_per_database`; rows of runs that are not used are left out.
    used : the runs of `grid`, of `check_results`.

    Returns
    -------
    Databases in the order of their names; None if there are fewer than two: nothing can be resampled then.

    Raises
    ------
    AnalysisError : missing_database, for a run without a finite loss on one of them; duplicate_run.
    """
    keys = pd.MultiIndex.from_frame(used[KEY].astype("float64"))
    runs = per_database.assign(**{name: per_database[name].astype("float64") for name in KEY})
    if runs.duplicated([*KEY, "database"]).any():
        raise AnalysisError("duplicate_run", "a run has two losses on one held-out database; keep one.")
    wide = runs.pivot(index=KEY, columns="database", values="loss").reindex(keys)
    wide = wide.dropna(axis="columns", how="all")
    if wide.shape[1] < 2:
        return None
    lacking = np.argwhere(~np.isfinite(wide.to_numpy(np.float64)))
    if len(lacking):
        run, name = lacking[0]
        n, s, seed = wide.index[run]
        raise AnalysisError(
            "missing_database",
            f"no loss on held-out database '{wide.columns[name]}' of the run n_databases={n:g}, "
            f"tokens={s:.15g}, seed={seed:g}; every run needs one on each.",
        )
    every = pd.MultiIndex.from_product([grid.n_databases, grid.tokens], names=AXES)
    shape = (len(grid.n_databases), len(grid.tokens), -1)
    points = wide.groupby(level=list(AXES))
    means = points.mean().reindex(every).fillna(0.0).to_numpy(np.float64).reshape(shape)
    rest = wide - points.transform("mean")
    squares = rest.sub(rest.mean(axis=1), axis=0).pow(2).sum(axis=1).groupby(level=list(AXES)).sum()
    by = grid.noise.by
    own = pooled(squares.reindex(every).fillna(0.0).to_numpy().reshape(shape[:2]), by)
    own = own / np.maximum(pooled(np.maximum(grid.counts - 1, 0), by), 1)
    size = means.shape[2]
    return DatabaseLosses(means=means, own=own / (size * (size - 1)))
