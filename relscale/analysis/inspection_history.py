"""Sections of a database's page on entities in time: what their past tells, their events, their tasks."""

from pathlib import Path
from typing import Any

import numpy as np

from relscale.analysis import history_figures as draw
from relscale.analysis.database import Database, Link
from relscale.analysis.inspection_page import Section, number, plural
from relscale.analysis.page import save_figure
from relscale.analysis.pasts import SPANS, TaskLook, explained_by_past, look_at_tasks

MAX_PASTS = 9
MIN_REPEATS = 3.0
"""Rows of a table for each of its parents that have any, below which a parent's past says little."""


def history_sections(database: Database, folder: Path, out: Path) -> list[Section]:
    """What the past of entities tells, when events come, and forecast tasks; those of which there are any."""
    timed = [link for link in database.links if _has_history(database, link)]
    timed = sorted(timed, key=lambda link: -len(link.parents))[:MAX_PASTS]
    return [
        *_pasts(database, timed, out),
        *_events(database, timed, out),
        *_tasks(look_at_tasks(folder), out),
    ]


def _has_history(database: Database, link: Link) -> bool:
    child = database.tables[link.child]
    there = link.parents[link.parents >= 0]
    return child.times is not None and len(there) >= MIN_REPEATS * len(np.unique(there)) > 0


def _pasts(database: Database, links: list[Link], out: Path) -> list[Section]:
    found = {link.label: explained_by_past(link, database.tables[link.child]) for link in links}
    found = {label: columns for label, columns in found.items() if columns}
    if not found:
        return []
    caption = (
        "Squared correlation of a value with the mean of the last k values of rows with the same parent, "
        "earlier in time (numbers by rank). A rise says that the parent keeps a hidden trait and more of its "
        "past is needed to know it; a fall, that what it keeps changes. Drawn are the six columns of which "
        "the past tells most."
    )
    columns = ["foreign key", "columns", *(f"last {k}" for k in SPANS)]
    rows: list[list[Any]] = []
    for label, values in found.items():
        median = np.median(np.stack(list(values.values())), axis=0)
        rows.append([label, len(values), *map(number, median)])
    picture = save_figure(draw.pasts(found), out, "pasts", caption)
    lead = (
        "How well the mean of an entity's last k values tells its next one; in the table the median column."
    )
    return [Section("What the past tells", lead, [picture], [{"columns": columns, "rows": rows}])]


def _events(database: Database, links: list[Link], out: Path) -> list[Section]:
    chosen = next((link for link in links if len(np.unique(link.parents)) > 2), None)
    if chosen is None:
        return []
    caption = (
        "A mark for each row, a line for each of the parent rows that have most. Right: cycles of the week "
        "and the day; one bar where a table holds dates alone."
    )
    picture = save_figure(draw.events(chosen, database.tables[chosen.child]), out, "events", caption)
    return [Section("Events", "When the rows of the busiest entities come.", [picture])]


def _tasks(tasks: list[TaskLook], out: Path) -> list[Section]:
    if not tasks:
        return []
    columns = ["task", "of", "type", "train", "val", "test", "mean in train", "in val", "in test", "metric",
               "entity mean", "last label", "mean of last 5"]  # fmt: skip
    rows = [
        [
            task.name,
            task.entity,
            task.task_type,
            *(f"{task.counts.get(split, 0):,}" for split in ("train", "val", "test")),
            *(number(task.mean.get(split, np.nan)) for split in ("train", "val", "test")),
            task.metric or task.reason,
            *(
                number(task.scores.get(name, np.nan))
                for name in ("entity_mean", "last_label", "mean_of_last_5")
            ),
        ]
        for task in tasks
    ]
    scored = [task for task in tasks if task.metric]
    caption = (
        "How far predictors come on the val labels that know nothing but the entity's earlier labels: near "
        "the dotted line a task needs more than these, near 1 it needs nothing else. Far lower values stand "
        "at the left edge."
    )
    pictures = [save_figure(draw.difficulty(scored), out, "tasks", caption)] if scored else []
    lead = (
        f"{plural(len(tasks), 'task')} that ask{'s' if len(tasks) == 1 else ''} what an entity will do next."
    )
    return [Section("Forecast tasks", lead, pictures, [{"columns": columns, "rows": rows}])]
