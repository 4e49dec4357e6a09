"""`relscale inspect` of a corpus: how each statistic is spread over its databases, beside a second corpus."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from relscale.analysis import inspect_figures as draw
from relscale.analysis import schema_figures
from relscale.analysis.database import Database, read_database
from relscale.analysis.inspection import inspect_database
from relscale.analysis.inspection_page import (
    Section,
    number,
    plural,
    refuse_inside,
    write_page,
    write_statistics,
)
from relscale.analysis.page import save_figure
from relscale.analysis.schema_layout import Layout, arrange
from relscale.analysis.statistics import evenly
from relscale.analysis.summaries import GROUPS, STATISTICS, Difference, compare, database_statistics
from relscale.platform import remote
from relscale.platform.errors import ConfigError, DataError
from relscale.platform.progress import human_count

SIGNIFICANT = 0.01
"""A corrected p-value below this is called a difference."""
N_THUMBNAILS = 18
COSTS = {
    "seconds": "seconds to make a database",
    "cells_per_second": "cells made per second",
    "megabytes": "MB on disk",
    "bytes_per_cell": "bytes per cell on disk",
    "peak_mb": "peak memory of the process, MB",
}

_LEADS = {
    "Schema and size": "How many tables, keys, rows and columns there are",
    "Columns": "How values are spread, averaged over the columns of a database",
    "Foreign keys": "How children find their parents and resemble them, averaged over the keys of a database",
}

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`, as `relscale.platform.progress.stages` gives it."""


def inspect_path(
    path: Path, out: Path, *, limit: int, against: Path | None = None, progress: Progress | None = None
) -> Path:
    """The page of whatever `path` is: a RelBench 3 database folder, or a corpus of them; see both below.

    Raises
    ------
    DataError : it is neither.
    ConfigError : `against` is given for a single database.
    """
    remote.stage(path)
    if (path / "manifest.yaml").is_file():
        if against is not None:
            raise ConfigError(f"--against compares corpora, and '{path}' is one database; leave it out.")
        return inspect_database(path, out)
    if remote.stage_file(path / "index.parquet"):
        return inspect_corpus(path, out, limit=limit, against=against, progress=progress)
    raise DataError(
        f"'{path}' is neither a corpus (no index.parquet) nor a RelBench 3 folder (no manifest.yaml); "
        "make one with `relscale generate`."
    )


def inspect_corpus(
    corpus: Path, out: Path, *, limit: int, against: Path | None = None, progress: Progress | None = None
) -> Path:
    """Write out/inspection.html, out/statistics.parquet and out/figures for a corpus; nothing in it changes.

    Parameters
    ----------
    corpus : folder with index.parquet and databases/.
    limit : databases that are read at most, evenly spread over the index.
    against : a second corpus, of which as many are read, or a statistics.parquet of an earlier page.

    Returns
    -------
    Path of inspection.html, written last.

    Raises
    ------
    DataError : the index or a database is broken, or no database is admitted.
    """
    refuse_inside(corpus, out)
    started = time.perf_counter()
    index = read_index(corpus)
    other = None if against is None else _statistics_of(against, limit, progress)
    schemas: dict[str, tuple[Layout, dict[str, bool]]] = {}
    names = _sample(corpus, index, limit)
    drawn = {names[place] for place in evenly(len(names), N_THUMBNAILS)}

    def keep_schema(database: Database) -> None:
        if database.name in drawn:
            references = [(link.child, link.parent) for link in database.links]
            timed = {name: table.time_col is not None for name, table in database.tables.items()}
            schemas[database.name] = (arrange(list(timed), references), timed)

    rows = corpus_statistics(corpus, names, progress=progress, seen=keep_schema)
    write_statistics(rows, out)
    differences = compare(rows, other) if other is not None else []
    word = f"{against.name} ({len(other)} databases)" if against is not None and other is not None else ""
    sections = [_schemas(schemas, out)]
    sections += [_spread(group, rows, other, differences, word, out) for group in GROUPS]
    sections += [_table(rows, other, differences), *_costs(index, out), *_rejected(index)]
    return write_page(
        out,
        title=f"{corpus.resolve().name}: a corpus of {int(index['admitted'].sum()):,} databases",
        sentences=_sentences(index, rows, differences, word),
        sections=sections,
        seconds=time.perf_counter() - started,
    )


def corpus_statistics(
    corpus: Path,
    names: Sequence[str],
    *,
    progress: Progress | None = None,
    seen: Callable[[Database], None] | None = None,
) -> pd.DataFrame:
    """Statistics of the named databases: columns `database` and those of `STATISTICS`, one row each."""
    rows = []
    for place, name in enumerate(names, 1):
        folder = corpus / "databases" / name
        remote.stage(folder)
        database = read_database(folder)
        rows.append({"database": name, **database_statistics(database)})
        if seen is not None:
            seen(database)
        if progress is not None:
            progress(f"databases of {corpus.name}", place, len(names))
    return pd.DataFrame(rows)


def read_index(corpus: Path) -> pd.DataFrame:
    """index.parquet of a corpus; DataError if it is broken."""
    path = corpus / "index.parquet"
    try:
        index = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"'{path}' is not a readable Parquet file ({reason}); run `relscale generate` again."
        ) from error
    absent = sorted({"name", "admitted"} - set(index.columns))
    if absent:
        raise DataError(f"'{path}' has no column '{absent[0]}'; give a corpus made by `relscale generate`.")
    return index.assign(admitted=index["admitted"].astype(bool))


def _sample(corpus: Path, index: pd.DataFrame, limit: int) -> list[str]:
    names = index.loc[index["admitted"], "name"].tolist()
    if not names:
        raise DataError(f"the corpus '{corpus}' has no admitted database; run `relscale generate` first.")
    return [names[place] for place in evenly(len(names), limit)]


def _statistics_of(path: Path, limit: int, progress: Progress | None) -> pd.DataFrame:
    """Statistics of a second corpus, from its databases or from a table of an earlier page."""
    if remote.stage_file(path / "index.parquet"):
        return corpus_statistics(path, _sample(path, read_index(path), limit), progress=progress)
    remote.stage_file(path)
    try:
        table = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"'{path}' is neither a corpus (no index.parquet) nor a readable statistics.parquet; "
            "give --against one of them."
        ) from error
    if not set(STATISTICS) & set(table.columns):
        raise DataError(
            f"'{path}' has no column of a statistics.parquet, such as 'depth'; give another file."
        )
    return table


def _sentences(
    index: pd.DataFrame, rows: pd.DataFrame, differences: Sequence[Difference], other: str
) -> list[str]:
    admitted = index[index["admitted"]]
    tried, n = len(index), len(admitted)
    sentences = [f"{plural(n, 'database')} of {plural(tried, 'tried seed')}, {tried - n} rejected."]
    sizes = [
        f"{human_count(float(admitted[name].sum()))} {name}" for name in ("rows", "cells") if name in admitted
    ]
    if sizes:
        sentences.append(f"Together {' and '.join(sizes)}.")
    read = "All of them are read" if len(rows) == n else f"{len(rows)} of them, evenly spread, are read"
    sentences.append(f"{read} for this page.")
    if other:
        far = [test for test in differences if test.p_value < SIGNIFICANT]
        words = ", ".join(STATISTICS[test.statistic] for test in sorted(far, key=lambda t: -t.distance)[:5])
        found = (
            f"Different from {other} at Holm p < {SIGNIFICANT}: {len(far)} of {len(differences)} statistics"
        )
        sentences.append(f"{found}, most of all: {words}." if far else f"{found}.")
    return sentences


def _schemas(schemas: dict[str, tuple[Layout, dict[str, bool]]], out: Path) -> Section:
    caption = "Parents stand left of their children; orange tables have a time column."
    picture = save_figure(schema_figures.thumbnails(schemas), out, "schemas", caption)
    return Section(
        "Schemas", f"Schema graphs of {plural(len(schemas), 'database')}, evenly spread.", [picture]
    )


def _spread(
    group: str,
    rows: pd.DataFrame,
    other: pd.DataFrame | None,
    differences: Sequence[Difference],
    word: str,
    out: Path,
) -> Section:
    caption = "Blue: share of the databases in each bin; triangle: median."
    if other is not None:
        caption += (
            f" Orange: {word}. D is the Kolmogorov-Smirnov distance, p its p-value after Holm's correction "
            f"over all {len(differences)} statistics, bold where below {SIGNIFICANT}."
        )
    figure = draw.distributions(rows, GROUPS[group], other, differences)
    name = group.lower().replace(" ", "_")
    lead = f"{_LEADS[group]}; one value for each database."
    return Section(group, lead, [save_figure(figure, out, name, caption)])


def _table(rows: pd.DataFrame, other: pd.DataFrame | None, differences: Sequence[Difference]) -> Section:
    tested = {difference.statistic: difference for difference in differences}
    columns = ["name", "meaning", "mean", "SD", "10 %", "median", "90 %", "databases"]
    columns += ["other mean", "D", "p (Holm)"] if other is not None else []
    lines = []
    for name, label in STATISTICS.items():
        values = rows[name].dropna()
        cells = [values.mean(), values.std(), *(values.quantile(q) for q in (0.1, 0.5, 0.9))]
        line: list[Any] = [name, label, *map(number, cells), len(values)]
        if other is not None:
            test = tested.get(name)
            far = [test.distance, test.p_value] if test else [np.nan, np.nan]
            line += map(number, [other[name].mean() if name in other else np.nan, *far])
        lines.append(line)
    lead = "The same as numbers; each database's own are in statistics.parquet beside this page."
    return Section("Statistics", lead, [], [{"columns": columns, "rows": lines}])


def _costs(index: pd.DataFrame, out: Path) -> list[Section]:
    """Seconds, sizes and memory from the index, as far as it has them."""
    made = index[index["admitted"]].copy()
    if {"cells", "seconds"} <= set(made):
        made["cells_per_second"] = made["cells"] / made["seconds"]
    if {"cells", "bytes"} <= set(made):
        made["megabytes"], made["bytes_per_cell"] = made["bytes"] / 1e6, made["bytes"] / made["cells"]
    known = {name: label for name, label in COSTS.items() if name in made and made[name].notna().any()}
    if not known:
        return []
    picture = save_figure(
        draw.distributions(made, known), out, "costs", "All admitted databases, as the index has them."
    )
    total = f"{made['seconds'].sum():,.0f} s of one core together" if "seconds" in made else ""
    return [Section("Cost", f"What the databases took to make{f': {total}' if total else ''}.", [picture])]


def _rejected(index: pd.DataFrame) -> list[Section]:
    refused = index[~index["admitted"]]
    if refused.empty or "reason" not in refused:
        return []
    groups = sorted(refused.groupby("reason", dropna=False), key=lambda pair: -len(pair[1]))
    rows = [[reason, len(part), ", ".join(map(str, part["name"].head(5)))] for reason, part in groups]
    columns = ["reason", "seeds", "first"]
    lead = f"{len(refused)} of {len(index)} tried seeds gave no database of the corpus."
    return [Section("Rejected", lead, [], [{"columns": columns, "rows": rows}])]
