"""One row of numbers for a database, and the tests by which two corpora's rows are told apart."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from relscale.analysis import statistics
from relscale.analysis.database import Column, Database, Table

DAY = 86_400.0
MAX_PAIRED_ROWS = 4096
MAX_PAIRED_COLUMNS = 24

GROUPS = {
    "Schema and size": {
        "tables": "tables",
        "depth": "tables on the longest chain",
        "links_per_table": "foreign keys per table",
        "max_links": "most foreign keys of a table",
        "timed_share": "share of tables with a time",
        "rows": "rows",
        "rows_timed": "mean rows of tables with a time",
        "rows_untimed": "mean rows of tables without",
        "features_per_table": "columns per table, no keys",
        "max_features": "most columns of a table, no keys",
        "cells": "cells",
        "window_years": "years from first to last time",
    },
    "Columns": {
        "boolean_share": "share of boolean columns",
        "true_share": "mean P(True) of booleans",
        "lopsided_share": "share of booleans beyond 95 : 5",
        "missing_share": "missing share of numbers",
        "constant_share": "share of constant columns",
        "skewness": "skewness of numbers, median",
        "skewed_share": "share of numbers with |skew| > 2",
        "log_kurtosis": "log(1 + 4th moment), median",
        "log_scale": "log10 of the median |value|",
        "unique_ratio": "distinct values per value",
        "lag_one_timed": "|lag-1 correlation|, with a time",
        "lag_one_untimed": "|lag-1 correlation|, without",
        "lag_one_high": "share with |lag-1| > 0.9",
        "rank_correlation": "mean |Spearman| in a table",
        "rank_correlation_p90": "90 % quantile of |Spearman|",
    },
    "Foreign keys": {
        "fan_out_gini": "Gini of children per parent",
        "fan_out_max": "largest fan-out / mean fan-out",
        "unreferenced_share": "share of parents without child",
        "jump": "parent jump of adjacent rows",
        "row_correlation": "|Spearman| of row, parent row",
        "eta_numbers": "parent's share of numbers, η²",
        "eta_booleans": "parent's share of booleans, η²",
        "eta_high": "share of columns with η² > 0.1",
    },
}
STATISTICS = {name: label for group in GROUPS.values() for name, label in group.items()}
"""Name of each statistic, and what it is; columns and keys are averaged inside the database."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A two-sample Kolmogorov-Smirnov test: distance of the distributions, p-value corrected by Holm."""

    statistic: str
    distance: float
    p_value: float


def database_statistics(database: Database) -> dict[str, float]:
    """All of `STATISTICS` for one database, NaN where it has nothing to measure.

    Source: the statistics by which PluRel databases are compared (arXiv:2602.04029), columns and foreign
    keys averaged inside each database, since those of one database are not independent.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are NaN here
        found = _sizes(database) | _values(database) | _links(database)
    return {name: float(found[name]) for name in STATISTICS}


def compare(first: pd.DataFrame, second: pd.DataFrame) -> list[Difference]:
    """Test every statistic that both tables have, one row a database; in the order of `STATISTICS`.

    Statistics with fewer than two values on either side are left out. p-values are corrected by Holm's
    method over all tests.
    """
    tests = []
    for name in STATISTICS:
        sides = [
            table[name].dropna() if name in table else pd.Series(dtype=float) for table in (first, second)
        ]
        if min(map(len, sides)) >= 2:
            test = ks_2samp(*sides)
            tests.append(Difference(name, float(test.statistic), float(test.pvalue)))
    return _holm(tests)


def _holm(tests: list[Difference]) -> list[Difference]:
    corrected, running = {}, 0.0
    for place, test in enumerate(sorted(tests, key=lambda test: test.p_value)):
        running = max(running, min(1.0, test.p_value * (len(tests) - place)))
        corrected[test.statistic] = running
    return [Difference(test.statistic, test.distance, corrected[test.statistic]) for test in tests]


def _sizes(database: Database) -> dict[str, float]:
    tables = database.tables.values()
    n_links = {table.name: sum(link.child == table.name for link in database.links) for table in tables}
    times = [table.times for table in tables if table.times is not None and len(table.times)]
    ends = [(np.nanmin(part), np.nanmax(part)) for part in times]
    window = max(end for _, end in ends) - min(start for start, _ in ends) if ends else np.nan
    return {
        "tables": len(tables),
        "depth": depth(database),
        "links_per_table": _mean(n_links.values()),
        "max_links": max(n_links.values()),
        "timed_share": _mean(table.time_col is not None for table in tables),
        "rows": database.n_rows,
        "rows_timed": _mean(table.n_rows for table in tables if table.time_col),
        "rows_untimed": _mean(table.n_rows for table in tables if not table.time_col),
        "features_per_table": _mean(len(table.columns) for table in tables),
        "max_features": max(len(table.columns) for table in tables),
        "cells": database.n_cells,
        "window_years": window / (365.25 * DAY),
    }


def depth(database: Database) -> int:
    """Tables on the longest chain of foreign keys; keys that close a cycle do not lengthen it."""
    parents: dict[str, set[str]] = {name: set() for name in database.tables}
    for link in database.links:
        parents[link.child].add(link.parent)
    known: dict[str, int] = {}

    def length(name: str, above: frozenset[str]) -> int:
        if name not in known:
            path = above | {name}
            known[name] = 1 + max((length(parent, path) for parent in parents[name] - path), default=0)
        return known[name]

    return max(length(name, frozenset()) for name in parents)


def _values(database: Database) -> dict[str, float]:
    placed = [(table, column) for table in database.tables.values() for column in table.columns]
    columns = [column for _, column in placed]
    numbers = [column.values for column in columns if column.kind == "number"]
    true_shares = _array(np.nanmean(column.values) for column in columns if column.kind == "boolean")
    skews = _array(statistics.skewness(values) for values in numbers)
    kurtosis = _array(statistics.excess_kurtosis(values) for values in numbers)
    timed, untimed = (_lags(placed, has_time) for has_time in (True, False))
    pairs = np.concatenate([np.empty(0), *(_pairs(table) for table in database.tables.values())])
    return {
        "boolean_share": _mean(column.kind == "boolean" for column in columns),
        "true_share": true_shares.mean(),
        "lopsided_share": (np.abs(true_shares - 0.5) > 0.45).mean(),
        "missing_share": _mean(np.isnan(values).mean() for values in numbers),
        "skewness": np.nanmedian(skews),
        "skewed_share": (np.abs(skews[np.isfinite(skews)]) > 2).mean(),
        "log_kurtosis": np.nanmedian(np.log1p(kurtosis + 3)),
        "log_scale": np.nanmedian(_array(_log_scale(values) for values in numbers)),
        "unique_ratio": _mean(map(_unique_ratio, numbers)),
        "constant_share": _mean(map(_is_constant, columns)),
        "lag_one_timed": np.nanmean(timed),
        "lag_one_untimed": np.nanmean(untimed),
        "lag_one_high": _mean(np.concatenate([timed, untimed]) > 0.9),
        "rank_correlation": pairs.mean(),
        "rank_correlation_p90": np.quantile(pairs, 0.9) if len(pairs) else np.nan,
    }


def _links(database: Database) -> dict[str, float]:
    counts = [statistics.fan_out(link) for link in database.links]
    eta: dict[str, list[float]] = {"number": [], "boolean": []}
    for link in database.links:
        child = database.tables[link.child]
        kinds = {column.name: column.kind for column in child.columns}
        for result in statistics.dependence(link, child):
            if kinds[result.column] in eta:
                eta[kinds[result.column]].append(result.eta_squared)
    return {
        "fan_out_gini": np.nanmean(_array(map(statistics.gini, counts))),
        "fan_out_max": _mean(count.max() / count.mean() for count in counts if count.sum()),
        "unreferenced_share": _mean((count == 0).mean() for count in counts if len(count)),
        "jump": np.nanmean(_array(map(statistics.jump, database.links))),
        "row_correlation": np.nanmean(np.abs(_array(map(statistics.row_correlation, database.links)))),
        "eta_numbers": _mean(eta["number"]),
        "eta_booleans": _mean(eta["boolean"]),
        "eta_high": _mean(np.array(eta["number"] + eta["boolean"]) > 0.1),
    }


def _lags(placed: list[tuple[Table, Column]], has_time: bool) -> np.ndarray:
    return np.abs(
        _array(
            statistics.lag_one(column.values)
            for table, column in placed
            if column.kind == "number" and (table.time_col is not None) == has_time
        )
    )


def _pairs(table: Table) -> np.ndarray:
    numbers = [column.values for column in table.columns if column.kind == "number"]
    rows = statistics.evenly(len(table.rows), MAX_PAIRED_ROWS)
    chosen = [numbers[place][rows] for place in statistics.evenly(len(numbers), MAX_PAIRED_COLUMNS)]
    return np.abs(statistics.rank_correlations(chosen))


def _log_scale(values: np.ndarray) -> float:
    size = np.nanmedian(np.abs(values)) if np.isfinite(values).any() else 0.0
    return float(np.log10(size)) if size > 0 else np.nan


def _unique_ratio(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return len(np.unique(values)) / len(values) if len(values) else np.nan


def _is_constant(column: Column) -> bool:
    return bool(np.nanmin(column.values, initial=np.inf) >= np.nanmax(column.values, initial=-np.inf))


def _array(values: Iterable[float]) -> np.ndarray:
    return np.fromiter(values, dtype=float)


def _mean(values: Iterable[float]) -> float:
    array = _array(values)
    return float(np.nanmean(array)) if len(array) else np.nan
