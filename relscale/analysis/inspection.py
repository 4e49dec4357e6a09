"""`relscale inspect`: a page of pictures of one database."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from relscale.analysis import inspect_figures as draw
from relscale.analysis import schema_figures, statistics
from relscale.analysis.database import MAX_ROWS, Column, Database, Link, Table, read_database
from relscale.analysis.inspection_history import history_sections
from relscale.analysis.inspection_page import (
    Section,
    number,
    plural,
    refuse_inside,
    write_page,
    write_statistics,
)
from relscale.analysis.page import save_figure
from relscale.analysis.schema_layout import arrange
from relscale.analysis.summaries import STATISTICS, database_statistics
from relscale.platform.seeds import Purpose, stream

MAX_TABLES = 6
MAX_COLUMNS = 12
MAX_TIMED = 4
MAX_MEANS = 3
MAX_LINKS = 12
MAX_DEPENDENCE = 40
N_PERMUTATIONS = 39
"""Of the parents; a column above all of them differs from independence at the level of 1/40."""


def inspect_database(folder: Path, out: Path) -> Path:
    """Write out/inspection.html (self-contained), out/statistics.parquet and out/figures for a database.

    Parameters
    ----------
    folder : a RelBench 3 folder, synthetic or real; nothing in it is touched.
    out : folder of the page, made if absent.

    Returns
    -------
    Path of inspection.html, written last.

    Raises
    ------
    DataError : the folder is no database, or a file of it is broken.
    ConfigError : `out` lies inside `folder`.
    """
    refuse_inside(folder, out)
    started = time.perf_counter()
    database = read_database(folder)
    summary = pd.DataFrame([{"database": database.name, **database_statistics(database)}])
    sections = [_schema(database, out), _keys(database, out), *_columns(database, out)]
    sections += [*_time(database, out), *_dependence(database, out)]
    sections += [*history_sections(database, folder, out), _numbers(summary)]
    write_statistics(summary, out)
    return write_page(
        out,
        title=f"{database.name}: {plural(len(database.tables), 'table')}, {database.n_rows:,} rows",
        sentences=_sentences(database),
        sections=sections,
        seconds=time.perf_counter() - started,
    )


def _sentences(database: Database) -> list[str]:
    tables, links = database.tables.values(), database.links
    timed = sum(table.time_col is not None for table in tables)
    columns = [column for table in tables for column in table.columns]
    kinds = {kind: sum(column.kind == kind for column in columns) for kind in draw.KINDS}
    named = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    sentences = [
        f"{plural(len(tables), 'table')} ({timed} with a time column), {plural(len(links), 'foreign key')}, "
        f"{database.n_rows:,} rows, {database.n_cells:,} cells, {database.n_bytes / 1e6:.1f} MB on disk.",
        f"{plural(len(columns), 'column')} beside keys and times{f': {named}' if named else ''}.",
    ]
    stamps = ((database.val_timestamp, "Validation"), (database.test_timestamp, "test"))
    if given := [f"{word} begins at {draw.date(stamp)}" for stamp, word in stamps if stamp is not None]:
        sentences.append(f"{', '.join(given)}.")
    broken = [link.label for link in links if link.n_broken]
    if broken:
        sentences.append(f"Some keys name no row of their parent table: {', '.join(broken)}.")
    sampled = [table.name for table in tables if len(table.rows) < table.n_rows]
    if sampled:
        sentences.append(
            f"Values are shown of {MAX_ROWS:,} rows, evenly spread, of each of: {', '.join(sampled)}."
        )
    return sentences


def _schema(database: Database, out: Path) -> Section:
    layout = arrange(list(database.tables), [(link.child, link.parent) for link in database.links])
    caption = (
        "An arrow leads from a table to the one that its foreign key refers to, and has the colour of that "
        "table's references; tables stand to the right of those they refer to."
    )
    picture = save_figure(schema_figures.schema(database, layout), out, "schema", caption)
    columns = ["table", "rows", "columns", "time column", "refers to", "kinds"]
    rows = [
        [
            table.name,
            f"{table.n_rows:,}",
            table.n_columns,
            table.time_col or "",
            ", ".join(link.parent for link in database.links if link.child == table.name),
            _kinds(table),
        ]
        for table in database.tables.values()
    ]
    lead = "Which tables there are, and how they refer to each other."
    return Section("Schema", lead, [picture], [{"columns": columns, "rows": rows}])


def _kinds(table: Table) -> str:
    counts = ((sum(column.kind == kind for column in table.columns), kind) for kind in draw.KINDS)
    return ", ".join(f"{count} {kind}" for count, kind in counts if count)


def _keys(database: Database, out: Path) -> Section:
    if not database.links:
        return Section("Foreign keys", "There are none: no table refers to another.")
    shown = _largest(database.links, lambda link: len(link.parents), MAX_LINKS)
    part = _of(shown, database.links, "foreign keys", "those with most rows")
    lead = f"How children are spread over their parents{part}."
    pictures = [
        save_figure(
            draw.fan_out(shown), out, "fan_out",
            "Blue: share of parent rows with at least k children. Dashed: a Poisson law of the same mean, "
            "which is what uniform draws give; above it to the right, some parents have far more than "
            "their share.",
        ),
        save_figure(
            draw.locality(shown), out, "locality",
            "A dot for each child row (at most 6,000) against the row of its parent. Blocks are cohorts, a "
            "diagonal means that both tables are in one order, an even grey means no structure.",
        ),
    ]  # fmt: skip
    columns = ["foreign key", "children", "parents", "without parent", "mean", "largest", "Gini", "no child",
               "jump", "|row correlation|"]  # fmt: skip
    rows = [_key_row(link) for link in database.links]
    return Section("Foreign keys", lead, pictures, [{"columns": columns, "rows": rows}])


def _key_row(link: Link) -> list[Any]:
    counts = statistics.fan_out(link)
    return [
        link.label,
        f"{len(link.parents):,}",
        f"{link.n_parents:,}",
        f"{(link.parents < 0).sum():,}",
        number(counts.sum() / max(1, link.n_parents)),
        f"{max(counts, default=0):,}",
        number(statistics.gini(counts)),
        number((counts == 0).mean() if len(counts) else np.nan),
        number(statistics.jump(link)),
        number(abs(statistics.row_correlation(link))),
    ]


def _columns(database: Database, out: Path) -> list[Section]:
    tables = [table for table in database.tables.values() if table.columns]
    if not tables:
        return []
    shown = _largest(tables, lambda table: table.n_rows * len(table.columns), MAX_TABLES)
    lead = f"What stands in the tables{_of(shown, tables, 'tables', 'those with most values')}."
    caption = (
        "A cell for each column of each table, sorted by kind. Left its kind, right the share of its "
        "values that is missing."
    )
    pictures = [save_figure(draw.kinds_and_missing(database), out, "columns", caption)]
    for place, table in enumerate(shown):
        if len(table.rows) == 0:
            continue
        chosen = [table.columns[i] for i in statistics.evenly(len(table.columns), MAX_COLUMNS)]
        caption = f"{table.name}: numbers as histograms, the others as shares of their values."
        pictures.append(save_figure(draw.columns(table, chosen), out, f"columns_{place}", caption))
    return [Section("Columns", lead, pictures)]


def _time(database: Database, out: Path) -> list[Section]:
    timed = [
        table
        for table in database.tables.values()
        if table.times is not None and len(np.unique(table.times[np.isfinite(table.times)])) > 1
    ]
    if not timed:
        return []
    shown = _largest(timed, lambda table: table.n_rows, MAX_TIMED)
    chosen = {table.name: _most_varying(table) for table in shown}
    caption = (
        "Grey: rows in 40 equal bins of time. Blue: mean of the (at most) three columns that vary most with "
        "time, with two standard errors. Orange: begin of validation (dashed) and of test (solid)."
    )
    lead = f"How tables with a time column grow and change{_of(shown, timed, 'tables', 'the largest')}."
    return [Section("Time", lead, [save_figure(draw.over_time(database, chosen), out, "time", caption)])]


def _most_varying(table: Table) -> list[Column]:
    shares = [(statistics.time_share(table, column), column) for column in table.columns]
    known = [(share, column) for share, column in shares if np.isfinite(share)]
    return [column for _, column in sorted(known, key=lambda pair: -pair[0])[:MAX_MEANS]]


def _dependence(database: Database, out: Path) -> list[Section]:
    shown = _largest(database.links, lambda link: len(link.parents), MAX_DEPENDENCE)
    found = {}
    for place, link in enumerate(shown):
        rng = stream(0, Purpose.BOOTSTRAP, place)
        child = database.tables[link.child]
        results = statistics.dependence(link, child, n_permutations=N_PERMUTATIONS, rng=rng)
        if results:
            found[link.label] = results
    if not found:
        return []
    everything = [result for results in found.values() for result in results]
    share = sum(result.found for result in everything) / len(everything)
    caption = (
        "Adjusted η²: the share of a column's variance (numbers by rank) that the parent row explains; 0 is "
        f"independence, 1 means that the parent row determines it. Crossed: not above {N_PERMUTATIONS} "
        "permutations of the parents. On the right the strongest column."
    )
    lead = (
        f"What a row's parent says about it: {share:.0%} of the columns drawn depend on their parent row"
        f"{_of(shown, database.links, 'foreign keys', 'those with most rows')}."
    )
    picture = save_figure(draw.dependence(found), out, "dependence", caption)
    return [Section("Dependence on the parent row", lead, [picture])]


def _numbers(summary: pd.DataFrame) -> Section:
    row = summary.iloc[0]
    rows = [[name, label, number(row[name])] for name, label in STATISTICS.items()]
    lead = "The database in numbers, as in statistics.parquet beside this page."
    return Section("Statistics", lead, [], [{"columns": ["name", "meaning", "value"], "rows": rows}])


def _largest(things: Iterable[Any], size: Any, count: int) -> list[Any]:
    """The `count` largest of the things, in their own order."""
    things = list(things)
    kept = sorted(range(len(things)), key=lambda place: -size(things[place]))[:count]
    return [things[place] for place in sorted(kept)]


def _of(shown: Sequence[Any], everything: Sequence[Any], noun: str, which: str) -> str:
    """What is left out, if anything is."""
    if len(shown) == len(everything):
        return ""
    return f"; drawn are {len(shown)} of {len(everything)} {noun}, {which}"
