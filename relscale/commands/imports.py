"""The command that brings a database of your own."""

from pathlib import Path
from typing import Annotated

import typer

from relscale.commands.options import Out, Set, sends_results
from relscale.platform.image import reworded


@sends_results()
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Folder of CSV and Parquet files, SQLite file, or URL of an SQL database."
        ),
    ],
    out: Out,
    config_file: Annotated[
        Path | None,
        typer.Option("--config-file", metavar="FILE", help="YAML: keys, times, types, tasks."),
    ] = None,
    complete: Annotated[
        list[str] | None,
        typer.Option("--complete", metavar="TABLE.COLUMN", help="Task: fill this column in; repeatable."),
    ] = None,
    set_: Set = None,
) -> None:
    """Turn a database of your own into a RelBench 3 folder with tasks, and say what became of every column.

    Keys and types are those of an SQL database's catalogue; a folder's keys are given by --config-file.
    Leaves OUT/import.json (the report) and OUT/keys/<table>.parquet, to join predictions back. Settings:
    name, tables.*, leave_out, time_cols, split.*, tasks.*.
    """
    from relscale.imports.build import import_database
    from relscale.imports.config import ImportConfig, with_columns_to_complete
    from relscale.imports.report import shown
    from relscale.platform.config import load_config
    from relscale.platform.progress import console

    config = with_columns_to_complete(load_config(ImportConfig, config_file, set_), complete or [])
    console.print(shown(import_database(source, out, config)))
    database, report = reworded(str(out)), reworded(str(out / "import.json"))
    console.print(f"database {database}, report {report}", soft_wrap=True)
