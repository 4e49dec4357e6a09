"""Studies as they lie on disk, to be compared: their tables, their names, what their losses are on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from relscale.analysis.frontier import AXES
from relscale.analysis.results import COLUMNS, AnalysisError, check_results, load_results
from relscale.platform.progress import human_count

RESULTS, PER_DATABASE = "results.parquet", "per_database.parquet"
HELD_OUT = ("held_out_fingerprint", "loss_mean_predictor")
"""Columns of a results table that tell its held-out cells apart. The loss of the column means is a constant
of them: no network, training set or seed moves it."""
FAR = {"tokens": 1000.0, "loss": 50.0}
"""Ranges of two tables that lie further apart than this factor are in different units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A table of runs to be compared with others."""

    name: str
    """What it is called on pages and in messages; different for every study of a comparison."""
    path: Path
    """As the user gave it."""
    table: pd.DataFrame
    """Used rows, of `check_results`."""
    held_out: str | None
    """Equal strings: the losses are on the same held-out cells; None where the table does not tell."""
    per_database: pd.DataFrame | None = None
    """n_databases, tokens, seed, database, loss; one row for each run and held-out database."""

    @property
    def digest(self) -> str:
        """See `table_digest`."""
        return table_digest(self.table)

    def database_means(self, points: pd.MultiIndex, names: Sequence[str]) -> np.ndarray:
        """(points, names) mean loss over the runs of each (n_databases, tokens) on each database.

        NaN at points without runs. AnalysisError, missing_database, if a run has no loss on one of them.
        """
        assert self.per_database is not None
        wide = self.per_database.pivot_table(index=list(AXES), columns="database", values="loss")
        means = wide.reindex(index=points, columns=list(names)).to_numpy(np.float64)
        has_runs = points.isin(pd.MultiIndex.from_frame(self.table[list(AXES)]))
        lacking = np.argwhere(np.isnan(means) & has_runs[:, None])
        if len(lacking):
            (n, tokens), name = points[lacking[0][0]], names[lacking[0][1]]
            raise AnalysisError(
                "missing_database",
                f"'{self.path}': {PER_DATABASE} has no loss on database '{name}' of the runs at "
                f"n_databases={n:g}, tokens={tokens:g}; write it again.",
            )
        return means


def table_digest(table: pd.DataFrame) -> str:
    """16 hexadecimal digits over the runs and losses of a checked table, in whichever file they lie."""
    plain = table[list(COLUMNS)].astype("float64").to_csv(index=False)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def load_studies(paths: Sequence[Path], *, drop_nonfinite: bool = False) -> list[Study]:
    """Read the studies that are to be compared.

    Parameters
    ----------
    paths : folders of `relscale sweep` or `relscale demo`, or results tables (.csv, .parquet).
    drop_nonfinite : see `check_results`.

    Raises
    ------
    AnalysisError : too_few_studies, same_study, different_units; and those of `load_results` and
        `check_results`, naming the study.
    """
    if len(paths) < 2:
        raise AnalysisError(
            "too_few_studies", f"{len(paths)} study is given; name at least two to compare them."
        )
    names = _names(paths)
    studies = [
        _load(path, name, drop_nonfinite=drop_nonfinite) for path, name in zip(paths, names, strict=True)
    ]
    for number, study in enumerate(studies):
        for earlier in studies[:number]:
            _check_pair(earlier, study)
    return studies


def _names(paths: Sequence[Path]) -> list[str]:
    """The folder's name of each study, or its table's; the whole path where two are alike."""
    short = []
    for path in paths:
        folder = path.parent if path.stem == "results" else path
        short.append(folder.resolve().name if path.is_dir() or path.stem == "results" else path.stem)
    return [name if short.count(name) == 1 else str(path) for name, path in zip(short, paths, strict=True)]


def _load(path: Path, name: str, *, drop_nonfinite: bool) -> Study:
    if path.is_dir() and not (path / RESULTS).is_file():
        message = f"'{path}' holds no {RESULTS}; give the folder of a finished sweep, or a table."
        raise AnalysisError("missing_file", message)
    file = path / RESULTS if path.is_dir() else path
    try:
        table, _ = check_results(load_results(file), drop_nonfinite=drop_nonfinite)
    except AnalysisError as error:
        message = str(error) if str(path) in str(error) else f"'{path}': {error}"
        raise AnalysisError(error.code, message) from error
    beside = file.parent / PER_DATABASE
    return Study(
        name=name,
        path=path,
        table=table,
        held_out=_held_out(table),
        per_database=_per_database(beside) if beside.is_file() else None,
    )


def _held_out(table: pd.DataFrame) -> str | None:
    """What stands for the held-out cells of a table; None if nothing does, or not every run has the same."""
    for name in HELD_OUT:
        if name in table.columns:
            values = table[name].dropna()
            marks = set(values.map("{:.9g}".format) if values.dtype.kind == "f" else values.astype(str))
            return f"{name} {marks.pop()}" if len(marks) == 1 else None
    return None


def _per_database(file: Path) -> pd.DataFrame:
    columns = [*COLUMNS, "database"]
    try:
        return pd.read_parquet(file, columns=columns)
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        message = f"'{file}' cannot be read ({reason}); needed are the columns {', '.join(columns)}."
        raise AnalysisError("unreadable_file", message) from error


def _check_pair(first: Study, second: Study) -> None:
    """Refuse a study beside itself, and values in units that no comparison could bridge."""
    if first.digest == second.digest:
        message = f"'{first.path}' and '{second.path}' hold the same runs; give two different studies."
        raise AnalysisError("same_study", message)
    for column, far in FAR.items():
        low, high = sorted((first, second), key=lambda study: float(study.table[column].max()))
        if low.table[column].max() * far < high.table[column].min():
            raise AnalysisError(
                "different_units",
                f"{column} of '{low.path}' runs {_range(low, column)}, of '{high.path}' "
                f"{_range(high, column)}: the two have no common unit; write both in the same one.",
            )


def _range(study: Study, column: str) -> str:
    values = study.table[column]
    shown = human_count if column == "tokens" else "{:.4g}".format
    return f"from {shown(float(values.min()))} to {shown(float(values.max()))}"
