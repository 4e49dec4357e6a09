"""A recipe from a real database: aggregates of the rows before its validation time, and nothing of single
rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.stats import rankdata

from relscale.generation.events.recipe import Recipe
from relscale.generation.sql_statements import read_sql_file
from relscale.imports.sql_recipe import recipe_of_sql
from relscale.platform.config import Config, parse_config
from relscale.platform.errors import ConfigError, DataError

if TYPE_CHECKING:
    from relbench.manifest import DatasetManifest, TableSpec

LEAST_ROWS = 10
"""What stands in fewer rows is not told: labels are left out, quantiles moved inwards."""
QUANTILES = 33
MOST_LABELS = 40
"""Strings with more different values are text, of which nothing is told."""
DIGITS = 3
"""Significant digits of numbers; of numbers of rows 2."""
DAY = np.timedelta64(1, "D")


def recipe_of(folder: Path) -> Recipe:
    """Aggregates of a RelBench 3 folder.

    Only rows up to the validation timestamp count, and all rows of tables without a time. Labels, quantiles,
    shares and correlations that rest on fewer than `LEAST_ROWS` rows are left out; texts are not told at all,
    numbers are rounded.

    Raises
    ------
    DataError : no such folder; a table cannot be read, or lacks what the manifest names.
    ConfigError : keys form a cycle, or no table has both keys and a time.
    """
    from relbench.manifest import DatasetManifest

    try:
        manifest = DatasetManifest.load(folder / "manifest.yaml")
    except Exception as error:  # yaml and relbench raise many kinds
        raise DataError(f"'{folder}' is not a RelBench 3 folder ({error}); give one.") from error
    try:
        return _recipe(folder, manifest)
    except (KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"'{folder}' is not as its manifest says ({reason}); mend it.") from error


def _recipe(folder: Path, manifest: "DatasetManifest") -> Recipe:
    cut = np.datetime64(str(manifest.val_timestamp), "us")
    data = {name: _known(folder, name, spec, cut) for name, spec in manifest.tables.items()}
    times = [
        data[n][s.time_col].to_numpy() for n, s in manifest.tables.items() if s.time_col and len(data[n])
    ]
    if not times:
        raise DataError(f"'{folder}' has no table with a time; give one that has.")
    first = min(np.nanmin(column) for column in times)
    spread = _spreads(manifest, data)
    return parse_config(
        Recipe,
        {
            "name": manifest.name,
            "span_days": max(2.0, round(float((cut - first) / DAY) / 0.8)),
            "tables": [_table(name, spec, data[name], spread) for name, spec in manifest.tables.items()],
        },
        source=f"the recipe of '{folder}'",
    )


def with_recipe(config: Config, path: Path) -> Config:
    """The configuration of a prior with the recipe of a RelBench 3 folder, of a SQL schema (a file that ends
    in .sql), or with one in a JSON file.

    Raises
    ------
    ConfigError : the prior takes no recipe, or the file holds none.
    DataError : as `recipe_of`.
    """
    if "recipe" not in type(config).model_fields:
        raise ConfigError("this prior takes no recipe; choose --prior relational-events.")
    if path.suffix.lower() == ".sql":
        text = recipe_of_sql(read_sql_file(path), path.stem).model_dump_json()
    else:
        text = _read_text(path) if path.is_file() else recipe_of(path).model_dump_json()
    return parse_config(type(config), {**config.model_dump(), "recipe": text}, source=f"'{path}'")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"the recipe '{path}' is not UTF-8 text; give a JSON file.") from None


def _known(folder: Path, name: str, spec: "TableSpec", cut: np.datetime64) -> pa.Table:
    try:
        data = pq.read_table(folder / "db" / f"{name}.parquet")
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"table '{name}' of '{folder}' cannot be read ({error}); mend it.") from error
    if spec.time_col is None:
        return data
    return data.filter(pc.less_equal(pc.cast(data[spec.time_col], pa.timestamp("us")), pa.scalar(cut)))


def _spreads(manifest: "DatasetManifest", data: Mapping[str, pa.Table]) -> dict[str, float]:
    """By parent table, the deviation of the logarithm of its rows' children, beyond a Poisson law's."""
    found: dict[str, list[float]] = {}
    for name, spec in manifest.tables.items():
        for key, parent in spec.fkeys.items():
            keys = pc.fill_null(pc.cast(data[name][key], pa.int64()), -1).to_numpy()
            n_parents = max(len(data[parent]), int(keys.max(initial=-1)) + 1)
            counts = np.bincount(keys[keys >= 0], minlength=max(1, n_parents))
            mean = counts.mean()
            if mean > 0:
                excess = max(0.0, counts.var() / mean**2 - 1 / mean)  # of a lognormal rate: exp(s^2) - 1
                found.setdefault(parent, []).append(float(np.sqrt(np.log1p(excess))))
    return {parent: round(float(np.median(values)), 2) for parent, values in found.items()}


def _table(name: str, spec: "TableSpec", data: pa.Table, spread: Mapping[str, float]) -> dict[str, Any]:
    times = pc.cast(data[spec.time_col], pa.timestamp("us")).to_numpy() if spec.time_col else None
    plain = [c for c in data.column_names if c not in {spec.pkey, spec.time_col, *spec.fkeys}]
    columns = [column for c in plain if (column := _column(c, data[c], times))]
    numbers = [column["name"] for column in columns if column["kind"] == "number"]
    return {
        "name": name,
        "rows": max(1, int(_rounded(len(data), 2))),
        "pkey": spec.pkey or "row_idx",
        "time_col": spec.time_col,
        "whole_days": times is not None and bool((times == times.astype("datetime64[D]")).all()),
        "keys": [
            {"name": key, "parent": parent, "null_share": _missing(data[key])}
            for key, parent in spec.fkeys.items()
        ],
        "columns": columns,
        "spread": spread.get(name, 0.0),
        "correlations": _correlations(data, numbers),
    }


def _column(name: str, values: pa.ChunkedArray, times: np.ndarray | None) -> dict[str, Any] | None:
    """What is told of a column; None if it has too few values, or values of a kind that no column is made
    of."""
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_finite(values), values, None)  # what is no number is missing
    found = values.drop_null()
    if len(found) < 2 * LEAST_ROWS:
        return None
    told: dict[str, Any] = {"name": name, "missing_share": _missing(values)}
    kind = values.type
    if pa.types.is_boolean(kind):
        return {**told, "kind": "boolean", "labels": {"true": _share(pc.sum(found).as_py(), len(found))}}
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = pc.cast(found, pa.float64()).to_numpy()
        whole = bool((numbers == np.round(numbers)).all())
        return {**told, "kind": "number", "whole": whole, "quantiles": _quantiles(numbers)}
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        moments = pc.cast(values, pa.timestamp("us")).to_numpy()
        rows = times if times is not None else np.full(len(moments), np.nanmax(moments))
        days = ((rows - moments) / DAY)[~np.isnat(moments)]
        return {**told, "kind": "moment", "quantiles": _quantiles(days)}
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        counts = {str(c["values"]): c["counts"] for c in pc.value_counts(found).to_pylist()}
        frequent = {label: n for label, n in counts.items() if n >= LEAST_ROWS}
        if len(counts) > MOST_LABELS or sum(frequent.values()) < 0.5 * len(found):
            return {**told, "kind": "text"}
        shares = {label: _rounded(n / len(found), DIGITS) for label, n in sorted(frequent.items())}
        return {**told, "kind": "label", "labels": shares}
    return None


def _quantiles(numbers: np.ndarray) -> list[float]:
    """At equal steps, the ends moved inwards to where `LEAST_ROWS` rows lie beyond."""
    edge = min(0.5, LEAST_ROWS / len(numbers))
    found = np.quantile(numbers, np.linspace(edge, 1 - edge, QUANTILES))
    return np.maximum.accumulate([_rounded(float(x), DIGITS) for x in found]).tolist()


def _correlations(data: pa.Table, names: list[str]) -> list[list[float]]:
    """Rank correlations of columns of numbers, a missing cell at the middle rank."""
    if len(names) < 2 or len(data) < 2 * LEAST_ROWS:
        return []
    ranks = []
    for name in names:
        numbers = pc.fill_null(pc.cast(data[name], pa.float64()), np.nan).to_numpy()
        known = np.isfinite(numbers)
        rank = np.full(len(numbers), 0.0)
        rank[known] = rankdata(numbers[known]) / known.sum() - 0.5
        ranks.append(rank)
    matrix = np.corrcoef(np.stack(ranks))
    return np.nan_to_num(np.round(matrix, 2)).tolist()


def _missing(values: pa.ChunkedArray) -> float:
    return _share(values.null_count, len(values), 2)


def _share(count: int, total: int, digits: int = DIGITS) -> float:
    """count / total, but 0 or 1 where fewer than `LEAST_ROWS` rows are the exception, and only there."""
    if count < LEAST_ROWS:
        return 0.0
    if total - count < LEAST_ROWS:
        return 1.0
    return min(_rounded(count / total, digits), 1 - 10.0**-digits)


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
