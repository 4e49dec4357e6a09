"""An import on one page: source, keys, types, times, tables, tasks, folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relscale.generation.database import Database, Table
from relscale.generation.writer import write_database
from relscale.imports.config import ImportConfig, TableConfig
from relscale.imports.declare import declare
from relscale.imports.leaks import later_than_row
from relscale.imports.names import plain_names
from relscale.imports.raw import check_rows
from relscale.imports.read import read_source, read_tables
from relscale.imports.report import ColumnFate, ImportReport, KeyFate, TableFate, TaskFate
from relscale.imports.tables import Order, ReadTable, Slot, assemble, key_table, layout
from relscale.imports.tasks import BuiltTask, build_task, window_of
from relscale.imports.times import RowTimes, Timed, row_times, split_times
from relscale.platform.errors import DataError
from relscale.platform.storage import new_folder, write_json, write_text

PARENTS_AT_MOST = 5
"""Foreign keys per table that a Relational Transformer sees; `relscale tokenize` takes no more."""


def import_database(source: str, out: Path, config: ImportConfig) -> ImportReport:
    """Write a database of any source as a RelBench 3 folder that holds its tasks.

    Parameters
    ----------
    source : folder of CSV and Parquet files, SQLite file, or URL of an SQL database.
    out : the folder to make; besides RelBench's files it gets import.json (the report), import.yaml (the
        settings) and keys/<table>.parquet (row number and source key, to join predictions back).

    Raises
    ------
    ConfigError, DataError, ResourceError : see the modules of each step; nothing is left behind.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"'{out}' is there already; delete it, or choose another --out.")
    raw, shown_source, source_name = read_source(source, frozenset(config.leave_out))
    check_rows(raw)
    declared, notes = declare(raw, config)
    read = read_tables(declared, config)
    times = row_times({name: Timed(readings=t.readings, links=t.links) for name, t in read.items()}, config)
    window = max((window_of(name, task).to_timedelta64() for name, task in config.tasks.items()), default=0)
    val, test = split_times(
        [found.values[~np.isnat(found.values)] for found in times.values()],
        config.split,
        np.timedelta64(window, "us"),
    )
    orders = {name: Order.of(table.raw.data.num_rows, times.get(name)) for name, table in read.items()}
    slots = {name: layout(table, times.get(name)) for name, table in read.items()}
    names = dict(zip(read, plain_names(read, reserved=["timestamps"]), strict=True))
    tables = {
        names[name]: assemble(names[name], slots[name], times.get(name), orders, orders[name], names)
        for name in read
    }
    database = Database(
        name=config.name or source_name,
        tables=tables,
        val_timestamp=val,
        test_timestamp=test,
        description=config.description or f"Imported from {Path(shown_source).name}.",
    )
    fates = [
        _table_fate(read[name], slots[name], times, orders, tables[names[name]], tables, config)
        for name in read
    ]
    hidden = _hidden(fates, tables, config)
    columns = {name: (names[name], _column_names(slots[name])) for name in read}
    built = {name: build_task(name, task, database, columns, hidden) for name, task in config.tasks.items()}
    report = ImportReport(
        name=database.name,
        source=shown_source,
        val_timestamp=val.isoformat(),
        test_timestamp=test.isoformat(),
        tables=tuple(_with_hidden(fate, hidden) for fate in fates),
        tasks=tuple(_task_fate(task) for task in built.values()),
        notes=(*notes, *_notes(fates)),
    )
    with new_folder(out) as draft:
        write_database(database, draft, tasks=[task.tables for task in built.values()])
        (draft / "keys").mkdir()
        for name, table in read.items():
            pq.write_table(key_table(table, orders[name]), draft / "keys" / f"{names[name]}.parquet")
        write_text(draft / "import.yaml", config.to_yaml())
        write_json(draft / "import.json", report.plain())
    return report


def _column_names(slots: Sequence[Slot]) -> dict[str, str]:
    return {column: slot.name for slot in slots for column in slot.source if len(slot.source) == 1}


def _hidden(fates: Sequence[TableFate], tables: Mapping[str, Table], config: ImportConfig) -> list[list[str]]:
    """Times after the row's own, which no task may see unless they were known ahead."""
    pairs = []
    for fate in fates:
        known = config.tables.get(fate.source, TableConfig()).known_ahead
        for column in fate.columns:
            is_time = column.became == "datetime" and column.column and column.source not in known
            if is_time and later_than_row(tables[fate.table], str(column.column)):
                pairs.append([fate.table, str(column.column)])
    return pairs


def _table_fate(
    read: ReadTable,
    slots: Sequence[Slot],
    times: Mapping[str, RowTimes],
    orders: Mapping[str, Order],
    table: Table,
    tables: Mapping[str, Table],
    config: ImportConfig,
) -> TableFate:
    name = read.raw.name
    time = times.get(name)
    return TableFate(
        source=name,
        table=table.name,
        n_rows=table.data.num_rows,
        n_left_out=read.raw.data.num_rows - table.data.num_rows,
        primary_key=read.raw.primary_key,
        pkey=str(table.pkey),
        time_col=table.time_col,
        time_from=time.how if time else "no time: its rows were always there",
        foreign_keys=tuple(_key_fate(slot, table, tables) for slot in slots if slot.link is not None),
        columns=tuple(_column_fates(read, slots, table, config)),
    )


def _key_fate(slot: Slot, table: Table, tables: Mapping[str, Table]) -> KeyFate:
    link = slot.link
    assert link is not None
    parent = tables[table.fkeys[slot.name]]
    later = 0
    if table.time_col and parent.time_col:
        theirs = pc.take(parent.data[parent.time_col], table.data[slot.name])
        later = pc.sum(pc.greater(theirs, table.data[table.time_col])).as_py() or 0
    return KeyFate(
        columns=link.key.columns,
        column=slot.name,
        parent=parent.name,
        n_null=link.n_null,
        n_dangling=link.n_dangling,
        n_later_parent=later,
        examples=link.examples,
    )


def _column_fates(
    read: ReadTable, slots: Sequence[Slot], table: Table, config: ImportConfig
) -> list[ColumnFate]:
    """Of every column of the source, then of those that were added."""
    fates = []
    for column in read.raw.data.column_names:
        mine = [slot for slot in slots if column in slot.source and slot.role != "key"]
        if column == read.pkey:
            fates.append(ColumnFate(source=column, column=table.pkey, became="key"))
        elif not mine:
            reading = read.readings.get(column)
            fates.append(
                ColumnFate(
                    source=column,
                    column=None,
                    became=reading.became if reading else "left out",
                    remarks=reading.remarks if reading else (),
                )
            )
        fates += [_slot_fate(column, slot, table) for slot in mine]
    fates += [
        ColumnFate(source="(none)", column=slot.name, became="key", remarks=("added",))
        for slot in slots
        if slot.role == "key" and read.pkey is None
    ]
    fates += [
        ColumnFate(source="(parents)", column=slot.name, became="datetime", remarks=("time of the row",))
        for slot in slots
        if slot.role == "time"
    ]
    drop = config.tables.get(read.raw.name, TableConfig()).drop
    return fates + [
        ColumnFate(source=column, column=None, became="left out", remarks=("as the file says",))
        for column in drop
    ]


def _slot_fate(column: str, slot: Slot, table: Table) -> ColumnFate:
    n_missing = table.data[slot.name].null_count
    if slot.link is not None:
        parts = [f"row of {table.fkeys[slot.name]}"]
        if len(slot.source) > 1:
            parts.append(f"with {', '.join(name for name in slot.source if name != column)}")
        if slot.link.n_dangling:
            parts.append(f"{slot.link.n_dangling:,} not found there, made missing ({slot.link.examples[0]})")
        return ColumnFate(
            source=column, column=slot.name, became="foreign key", remarks=tuple(parts), n_missing=n_missing
        )
    assert slot.reading is not None
    remarks = slot.reading.remarks
    return ColumnFate(
        source=column,
        column=slot.name,
        became=slot.reading.became,
        remarks=(*remarks, "time of the row") if slot.name == table.time_col else remarks,
        n_missing=n_missing,
        n_misread=slot.reading.n_misread,
    )


def _with_hidden(fate: TableFate, hidden: Sequence[list[str]]) -> TableFate:
    remark = "may lie after the row: hidden from tasks"
    return replace(
        fate,
        columns=tuple(
            replace(column, remarks=(*column.remarks, remark))
            if [fate.table, column.column] in hidden
            else column
            for column in fate.columns
        ),
    )


def _task_fate(built: BuiltTask) -> TaskFate:
    manifest = built.tables.manifest
    return TaskFate(
        task=manifest.name,
        kind=manifest.kind,
        task_type=manifest.task_type,
        hidden=tuple(".".join(pair) for pair in manifest.remove_columns),
        remarks=built.remarks,
    )


def _notes(fates: Sequence[TableFate]) -> list[str]:
    notes = []
    for fate in fates:
        if fate.n_left_out:
            notes.append(f"{fate.table}: {fate.n_left_out:,} rows left out, as they have no time.")
        if fate.time_col and fate.time_from.startswith(("'", "the latest")):
            notes.append(f"{fate.table}: its time is that of {fate.time_from}.")
        for key in fate.foreign_keys:
            if key.n_later_parent:
                notes.append(
                    f"{fate.table}.{key.column}: {key.n_later_parent:,} rows are older than the row of "
                    f"{key.parent} that they refer to, which a prediction at their time does not see."
                )
        if len(fate.foreign_keys) > PARENTS_AT_MOST:
            notes.append(
                f"{fate.table}: {len(fate.foreign_keys)} foreign keys, a Relational Transformer sees at most "
                f"{PARENTS_AT_MOST}; `relscale tokenize` will refuse it: drop some."
            )
    return notes
