"""The results contract: one row is one finished run, (n_databases, tokens, seed) with its held-out loss."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from relscale.platform.errors import DataError

COLUMNS = ("n_databases", "tokens", "seed", "loss")
MAX_SCHEDULE_GAP = 0.01
KEY = ["n_databases", "tokens", "seed"]


class AnalysisError(DataError):
    """A table or a fit that supports no claim; `code` is stable, the message names the numbers."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What became of the rows: `read` = `used` + `dropped`; `reasons` counts the dropped ones."""

    read: int
    used: int
    dropped: int
    reasons: dict[str, int]


def load_results(path: Path | str) -> pd.DataFrame:
    """Read a results table; its values are checked by `check_results`.

    Parameters
    ----------
    path : .csv or .parquet file with the columns n_databases, tokens, seed, loss; an optional column
        status ("ok" or why the run failed) and any others are kept.

    Raises
    ------
    AnalysisError : missing_file, unreadable_file or missing_column.
    """
    table = read_table(Path(path))
    _check_columns(table)
    return table


def read_table(file: Path) -> pd.DataFrame:
    """A .csv or .parquet file, or the AnalysisError that says why it is none."""
    if not file.is_file():
        raise AnalysisError("missing_file", f"'{file}' is not a file; give a CSV or Parquet table.")
    suffix = file.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        message = f"'{file}' ends in '{suffix}'; results are read from .csv or .parquet."
        raise AnalysisError("unreadable_file", message)
    try:
        return pd.read_csv(file) if suffix == ".csv" else pd.read_parquet(file)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's parse errors are ValueErrors
        reason = " ".join(str(error).split())
        message = f"'{file}' cannot be read as {suffix} ({reason}); write it again."
        raise AnalysisError("unreadable_file", message) from error


def check_results(results: pd.DataFrame, *, drop_nonfinite: bool = False) -> tuple[pd.DataFrame, Rows]:
    """Keep the rows that can be analysed, or say which row cannot.

    Rows whose status is not "ok" are dropped and counted. Row numbers in messages count from 1.

    Parameters
    ----------
    results : table with at least the columns of `COLUMNS`.
    drop_nonfinite : drop rows whose loss is missing, infinite or not positive, instead of refusing them.

    Returns
    -------
    table : the used rows, sorted by (n_databases, tokens, seed), a fresh index; n_databases int64,
        tokens and loss float64.
    rows : counts of rows read, used and dropped.

    Raises
    ------
    AnalysisError : missing_column, not_a_number, invalid_axis, non_finite_loss, duplicate_run,
        schedule_mismatch, mixed_recipe, no_rows.
    """
    _check_columns(results)
    table = results.reset_index(drop=True)
    reasons: dict[str, int] = {}
    if "status" in table.columns:
        failed = table["status"] != "ok"
        reasons.update(_failure_reasons(table[failed]))
        table = table[~failed]
    table = table.assign(**{name: _numbers(table[name]) for name in ("n_databases", "tokens", "loss")})
    _check_axes(table)
    table = _check_losses(table, drop_nonfinite=drop_nonfinite, reasons=reasons)
    _check_unique(table)
    _check_schedules(table)
    _check_recipes(table)
    if table.empty:
        raise AnalysisError("no_rows", f"none of the {len(results)} rows can be used; run some trials first.")
    table = table.astype({"n_databases": "int64"}).sort_values(KEY, ignore_index=True)
    n_dropped = len(results) - len(table)
    return table, Rows(read=len(results), used=len(table), dropped=n_dropped, reasons=reasons)


def _check_columns(table: pd.DataFrame) -> None:
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        have = ", ".join(map(str, table.columns)) or "none"
        message = f"results have no column '{missing[0]}'; needed are {', '.join(COLUMNS)}, found are {have}."
        raise AnalysisError("missing_column", message)


def _failure_reasons(failed: pd.DataFrame) -> dict[str, int]:
    """How often each cause occurs: the status, with the column `reason` where there is one."""
    causes = failed["status"].fillna("no status").astype(str)
    if "reason" in failed.columns:
        details = failed["reason"].fillna("").astype(str)
        causes = causes.where(details == "", causes + ": " + details)
    return {str(cause): int(n) for cause, n in causes.value_counts().items()}


def _numbers(column: pd.Series) -> pd.Series:
    """The column as float64; missing values stay missing, text is refused with its row."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    text = numbers.isna() & column.notna() & (column.astype(str).str.strip().str.lower() != "nan")
    if text.any():
        value = column[text].iloc[0]
        message = f"row {_number(text)}: {column.name} is {value!r}, not a number; mend that row."
        raise AnalysisError("not_a_number", message)
    return numbers


def _check_axes(table: pd.DataFrame) -> None:
    for name, kind in (("n_databases", "integer"), ("tokens", "number")):
        values = table[name]
        bad = ~(np.isfinite(values) & (values > 0))
        if kind == "integer":
            bad |= values != np.floor(values)
        if bad.any():
            got = _plain(values[bad].iloc[0])
            message = f"row {_number(bad)}: {name} must be a positive {kind}, got {got}; mend it."
            raise AnalysisError("invalid_axis", message)
    missing = table["seed"].isna()
    if missing.any():
        raise AnalysisError("invalid_axis", f"row {_number(missing)}: seed is missing; give one.")


def _check_losses(table: pd.DataFrame, *, drop_nonfinite: bool, reasons: dict[str, int]) -> pd.DataFrame:
    # A loss of zero or less is a placeholder somewhere upstream: no held-out loss reaches it.
    bad = ~(np.isfinite(table["loss"]) & (table["loss"] > 0))
    if bad.any() and not drop_nonfinite:
        first = table[bad].iloc[0]
        message = (
            f"row {_number(bad)} ({_run(first)}): loss is {_plain(first['loss'])}; "
            f"fix the run, or drop such rows with --drop-nonfinite."
        )
        raise AnalysisError("non_finite_loss", message)
    if bad.any():
        reasons["non-finite loss"] = int(bad.sum())
    return table[~bad]


def _check_unique(table: pd.DataFrame) -> None:
    repeated = table.duplicated(KEY)
    if repeated.any():
        n, first = int(repeated.sum()), table[repeated].iloc[0]
        noun = "run" if n == 1 else "runs"
        message = f"{n} duplicated {noun}, first ({_run(first)}); keep one row for each."
        raise AnalysisError("duplicate_run", message)

    if "trunk" not in table.columns or table["trunk"].isna().all():
        return
    missing = table["trunk"].isna()
    if missing.any():
        raise AnalysisError("invalid_axis", f"row {_number(missing)}: trunk is missing; fill the column.")
    twice = table.duplicated(["n_databases", "tokens", "trunk"])
    if twice.any():
        first = table[twice].iloc[0]
        message = f"trunk {first['trunk']} has two branches at one point, the second ({_run(first)})"
        raise AnalysisError("duplicate_run", f"{message}; a trunk gives each point one run.")


def _check_schedules(table: pd.DataFrame) -> None:
    """Refuse losses read before the learning rate had fallen: they are above those of finished runs.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556, section 3.1): the schedule must end with the run.
    """
    if "schedule_total_tokens" not in table.columns:
        return
    ends = _numbers(table["schedule_total_tokens"])
    bad = (ends / table["tokens"] - 1).abs() > MAX_SCHEDULE_GAP
    if bad.any():
        end, tokens = _plain(ends[bad].iloc[0]), _plain(table["tokens"][bad].iloc[0])
        message = f"row {_number(bad)}: schedule ends at {end} tokens but loss is from {tokens}"
        raise AnalysisError("schedule_mismatch", f"{message}; intermediate losses are not short runs.")


def _check_recipes(table: pd.DataFrame) -> None:
    if "recipe" not in table.columns:
        return
    recipes = table["recipe"].fillna("none").astype(str).unique()
    if len(recipes) > 1:
        message = f"rows mix {len(recipes)} recipes: {', '.join(sorted(recipes))}; fit one recipe at a time."
        raise AnalysisError("mixed_recipe", message)


def _run(row: pd.Series) -> str:
    return ", ".join(f"{name}={_plain(row[name])}" for name in KEY)


def _plain(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _number(bad: pd.Series) -> int:
    """The number of the first bad row, counted from 1."""
    return int(bad.index[bad].to_list()[0]) + 1
