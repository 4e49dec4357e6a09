"""What became of every column and key: import.json for programs, a table for the eye."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFate:
    """A column of the source: its name here (None: it is gone), what it became, and remarks.

    n_missing, n_misread : cells without a value here, and those of them whose value could not be read.
    """

    source: str
    column: str | None
    became: str
    remarks: tuple[str, ...] = ()
    n_missing: int = 0
    n_misread: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFate:
    """A foreign key: rows without one, with one that its parent lacks, with a parent later than the row."""

    columns: tuple[str, ...]
    column: str
    parent: str
    n_null: int
    n_dangling: int
    n_later_parent: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFate:
    """A table of the source, its rows here, and those left out as they have no time."""

    source: str
    table: str
    n_rows: int
    n_left_out: int
    primary_key: tuple[str, ...]
    pkey: str
    time_col: str | None
    time_from: str
    foreign_keys: tuple[KeyFate, ...]
    columns: tuple[ColumnFate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFate:
    """A task and remarks on it."""

    task: str
    kind: str
    task_type: str
    hidden: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """The whole of an import; `source` is without a password."""

    name: str
    source: str
    val_timestamp: str
    test_timestamp: str
    tables: tuple[TableFate, ...]
    tasks: tuple[TaskFate, ...]
    notes: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As values of JSON."""
        return asdict(self)


def shown(report: ImportReport) -> RenderableType:
    """The report as a person reads it."""
    columns = Table("table", "column", "became", "missing", "remarks", box=None, pad_edge=False)
    for table in report.tables:
        for number, fate in enumerate(table.columns):
            name = f"{table.table} ({table.n_rows:,})" if number == 0 else ""
            renamed = "" if fate.column in (None, fate.source) else f" -> {fate.column}"
            columns.add_row(
                Text(name),
                Text(fate.source + renamed),
                Text(fate.became),
                f"{fate.n_missing:,}" if fate.n_missing else "",
                Text("; ".join(fate.remarks)),
            )
    lines = [
        f"{report.name}: train up to {report.val_timestamp}, val up to {report.test_timestamp}, then test",
        *(f"note: {note}" for note in report.notes),
        *(
            f"task {task.task}: {task.task_type}; {'; '.join(task.remarks)}"
            + (f"; hidden: {', '.join(task.hidden)}" if task.hidden else "")
            for task in report.tasks
        ),
    ]
    return Group(columns, Text(""), *map(Text, lines))
