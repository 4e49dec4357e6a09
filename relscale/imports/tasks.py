"""Tasks: a column to complete, or the answer of a query to "what comes next", as RelBench tasks."""

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from relscale.generation.database import Database, Table, TaskTables
from relscale.generation.labels import label_tables, relbench_task
from relscale.imports.config import TaskConfig
from relscale.imports.leaks import check_window, giving_away
from relscale.imports.names import plain_names
from relscale.imports.raw import unknown_name
from relscale.platform.errors import ConfigError, DataError

if TYPE_CHECKING:
    from relbench.manifest import TaskManifest

_PARAMETER = re.compile(r"'(?:[^']|'')*'|(?<![:\w]):(timestamp|end)\b")
_MOMENT = '"_at"."timestamp"'
_WINDOW = "INTERVAL '{timedelta}'"

Names = Mapping[str, tuple[str, Mapping[str, str]]]
"""Source table to its name here and its columns' names here."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BuiltTask:
    """A task ready to be written, and remarks on it for the reader."""

    tables: TaskTables
    remarks: tuple[str, ...]


def window_of(name: str, task: TaskConfig) -> pd.Timedelta:
    """Length of a task's window, 0 for a column to complete; ConfigError if it is none."""
    if task.window is None:
        return pd.Timedelta(0)
    try:
        window = pd.Timedelta(task.window)
    except ValueError:
        window = pd.Timedelta(0)
    if not window > pd.Timedelta(0):
        raise ConfigError(
            f"task '{name}': the window '{task.window}' is no length of time; write it as 30 days."
        )
    return window


def build_task(
    name: str, task: TaskConfig, database: Database, names: Names, hidden: list[list[str]]
) -> BuiltTask:
    """A task over the imported database.

    Parameters
    ----------
    names : what tables and columns of the source are called in it.
    hidden : [table, column] pairs that no task may see.

    Raises
    ------
    ConfigError, DataError : an unknown table or column, a query that fails or looks past its window, a column
        that cannot be split in time.
    """
    stated = [list(find_column(f"task '{name}'", place, names)) for place in task.hide]
    if task.complete is not None:
        return _complete(name, task, database, names, [*hidden, *stated])
    return _forecast(name, task, database, names, [*hidden, *stated])


def find_column(where: str, place: str, names: Names) -> tuple[str, str]:
    """The table and column here of a "table.column" of the source."""
    table, dot, column = place.partition(".")
    if not dot:
        raise ConfigError(f"{where}: '{place}' is not of the form table.column.")
    if table not in names:
        raise unknown_name(f"{where}: the source", "table", table, names)
    if column not in names[table][1]:
        raise unknown_name(f"{where}: table '{table}', as imported,", "column", column, names[table][1])
    return names[table][0], names[table][1][column]


def _complete(
    name: str, task: TaskConfig, database: Database, names: Names, hidden: list[list[str]]
) -> BuiltTask:
    from relbench.manifest import TaskManifest

    table_name, column = find_column(f"task '{name}'", str(task.complete), names)
    table = database.tables[table_name]
    if table.time_col is None or column not in table.features():
        reason = "its table has no time" if table.time_col is None else "it is a key or the time of the row"
        raise DataError(f"task '{name}': '{task.complete}' cannot be completed, as {reason}; choose another.")
    found = giving_away(table, column)
    pairs = _unique([*hidden, *([table_name, other] for other in found)], without=[table_name, column])
    manifest = TaskManifest(
        name=name,
        kind="autocomplete",
        task_type=task.type or _task_type(table.data[column]),
        description=task.description or f"The column {column} of {table_name}.",
        entity_table=table_name,
        target_col=column,
        remove_columns=pairs,
    )
    remarks = [f"hidden, as {column} follows from it: {other}" for other in found]
    counts = _window_counts(table, column, database)
    for split, count in counts.items():
        if not count:
            raise DataError(f"task '{name}': no row of split '{split}' has a '{column}'; choose another.")
    remarks += [_counted(counts), *_unpredictable(manifest)]
    return BuiltTask(tables=TaskTables(manifest=manifest, splits={}), remarks=tuple(remarks))


def _window_counts(table: Table, column: str, database: Database) -> dict[str, int]:
    cuts = np.array([database.val_timestamp, database.test_timestamp], "datetime64[us]")
    val, test = np.searchsorted(table.data[table.time_col].to_numpy(), cuts, side="right").tolist()
    valid = table.data[column].is_valid().to_numpy()
    parts = {"train": valid[:val], "val": valid[val:test], "test": valid[test:]}
    return {split: int(part.sum()) for split, part in parts.items()}


def _forecast(
    name: str, task: TaskConfig, database: Database, names: Names, hidden: list[list[str]]
) -> BuiltTask:
    from relbench.manifest import TaskManifest

    assert task.sql is not None and task.entity is not None
    if task.entity not in names:
        raise unknown_name(f"task '{name}': the source", "table", task.entity, names)
    entity = database.tables[names[task.entity][0]]
    window = window_of(name, task)
    sql, label = forecast_sql(name, task.sql, entity, database, window)
    manifest = TaskManifest(
        name=name,
        kind="forecast",
        task_type="multiclass_classification",  # until the labels are seen
        description=task.description or f"{label} of {entity.name}, {task.window} ahead.",
        entity_table=entity.name,
        entity_col=entity.pkey,
        target_col=label,
        time_col="timestamp",
        timedelta=str(task.window),
        num_eval_timestamps=task.num_eval_timestamps,
        remove_columns=_unique(hidden),
        sql=sql,
    )
    splits, remark = _labels(name, database, manifest)
    manifest = dataclasses.replace(manifest, task_type=task.type or _task_type(splits["train"][label]))
    counts = {split: table.num_rows for split, table in splits.items()}
    remarks = [_counted(counts), *filter(None, [remark]), *_unpredictable(manifest)]
    return BuiltTask(tables=TaskTables(manifest=manifest, splits=splits), remarks=tuple(remarks))


def _labels(name: str, database: Database, manifest: "TaskManifest") -> tuple[dict[str, pa.Table], str]:
    """Label tables by split, and what the check of the query's window has to remark."""
    try:
        task = relbench_task(database, manifest)
        splits = label_tables(task)
        times = [labels["timestamp"].to_pandas() for labels in splits.values() if labels.num_rows]
        remark = check_window(
            name, task, [moment for found in times for moment in (found.min(), found.max())]
        )
    except duckdb.Error as error:
        raise DataError(f"task '{name}': the query fails ({_reason(error)}); mend it.") from error
    except (RuntimeError, ValueError) as error:  # relbench: the windows do not fit into the splits
        raise DataError(
            f"task '{name}': {_reason(error)}; choose a shorter window or state another split."
        ) from error
    for split, labels in splits.items():
        if not labels.num_rows:
            raise DataError(f"task '{name}': the query gives no label for split '{split}'; mend it.")
        pairs = labels.select([manifest.time_col, manifest.entity_col]).to_pandas()
        if pairs.duplicated().any():
            moment, key = pairs[pairs.duplicated()].iloc[0]
            raise DataError(
                f"task '{name}': the query gives two labels for row {key} of '{manifest.entity_table}' at "
                f"{moment}; group it by the key."
            )
    return splits, remark


def forecast_sql(
    name: str, sql: str, entity: Table, database: Database, window: pd.Timedelta
) -> tuple[str, str]:
    """RelBench's query for all moments at once, from one for a moment, and the name of its label.

    Entities that came to be after the moment have no label there, nor have rows whose label is null.
    """
    at_moment = _PARAMETER.sub(_substitute, sql.strip().rstrip(";").rstrip())
    single = at_moment != sql.strip().rstrip(";").rstrip()
    expected = ["key", "label"] if single else ["moment", "key", "label"]
    columns, kinds = _described(name, at_moment, database, window, single)
    if len(columns) != len(expected):
        raise DataError(
            f"task '{name}': the query gives {len(columns)} columns ({', '.join(columns)}), expected "
            f"{len(expected)}: {', '.join(expected)}; bound it in time by :timestamp and :end."
        )
    label = plain_names([columns[-1]], reserved=["timestamp", str(entity.pkey)])[0]
    value = 'CAST("_q"."label" AS BIGINT)' if kinds[-1] == "BOOLEAN" else '"_q"."label"'
    moment = _MOMENT if single else '"_q"."moment"'
    source = (
        f'timestamps AS "_at" CROSS JOIN LATERAL (\n{at_moment}\n) AS "_q"("key", "label")'
        if single
        else f'(\n{at_moment}\n) AS "_q"("moment", "key", "label")'
    )
    there = f' AND "_e".{_quoted(entity.time_col)} <= {moment}' if entity.time_col else ""
    pkey = _quoted(str(entity.pkey))
    return (
        f'SELECT {moment} AS "timestamp", CAST("_e".{pkey} AS BIGINT) AS {pkey}, {value} AS {_quoted(label)}'
        f'\nFROM {source}\nJOIN {_quoted(entity.name)} AS "_e" ON "_e".{pkey} = "_q"."key"\n'
        f'WHERE "_q"."label" IS NOT NULL{there}'
    ), label


def _substitute(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    return _MOMENT if match[1] == "timestamp" else f"({_MOMENT} + {_WINDOW})"


def _described(
    name: str, sql: str, database: Database, window: pd.Timedelta, single: bool
) -> tuple[list[str], list[str]]:
    """Names and types of a query's columns, from tables without rows."""
    query = sql.replace("{timedelta}", str(window))
    if single:
        query = f'SELECT "_q".* FROM timestamps AS "_at" CROSS JOIN LATERAL (\n{query}\n) AS "_q"'
    try:
        with duckdb.connect() as connection:
            connection.register("timestamps", pa.table({"timestamp": pa.array([], pa.timestamp("us"))}))
            for table in database.tables.values():
                connection.register(table.name, table.data.slice(0, 0))
            relation = connection.sql(query)
            return list(relation.columns), [str(kind) for kind in relation.types]
    except duckdb.Error as error:
        raise DataError(f"task '{name}': the query fails ({_reason(error)}); mend it.") from error


def _task_type(labels: pa.ChunkedArray) -> str:
    kind = labels.type
    if pa.types.is_boolean(kind):
        return "binary_classification"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = set(pc.unique(labels.drop_null()).to_pylist())
        return "binary_classification" if values <= {0, 1} else "regression"
    return "multiclass_classification"


def _unpredictable(manifest: "TaskManifest") -> list[str]:
    several = manifest.task_type == "multiclass_classification"
    return ["of several classes: kept, but not predicted by a Relational Transformer"] if several else []


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in counts.items()) + " labels"


def _unique(pairs: list[list[str]], without: list[str] | None = None) -> list[list[str]]:
    return [list(pair) for pair in dict.fromkeys(map(tuple, pairs)) if list(pair) != without]


def _quoted(name: str | None) -> str:
    return '"' + str(name).replace('"', '""') + '"'


def _reason(error: Any) -> str:
    return " ".join(str(error).split("\n\n")[0].split())[:300].rstrip(".")
