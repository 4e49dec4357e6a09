"""A recipe from a SQL schema alone: tables, keys, names and ranges; all else is left to the prior."""

from typing import Any

from relscale.generation.domains import Domain
from relscale.generation.events.recipe import Recipe
from relscale.generation.sql import SqlTable
from relscale.generation.sql_schema import new_name, read_declaration
from relscale.platform.config import parse_config

KINDS = {
    "integer": "number", "real": "number", "boolean": "boolean", "label": "label", "text": "text",
    "date": "moment", "timestamp": "moment",
}  # fmt: skip


def recipe_of_sql(text: str, name: str) -> Recipe:
    """The recipe of a schema in the SQL of PostgreSQL, MySQL or SQLite, which is read and never executed.

    Row counts, laws, shares and missing cells are open, so that each database draws its own, within the
    ranges, digits and labels that types, CHECK and ENUM state; labels that are successive integers become
    numbers, all others texts. What is NOT NULL is never empty, but for the roots of a table that refers to
    itself. Lengths of texts and UNIQUE, of one column or several, are not kept. A table with foreign keys is
    of events if it has a date or timestamp, of which the first is their time, or if no key leads to it; then
    a time is added. A table without a primary key of one column, or whose primary key is a foreign key, gets
    one.

    Raises
    ------
    ConfigError : the text cannot be read or declares no such schema (see `read_declaration`), keys form a
        cycle, a table has more than 5, or none has both keys and a time.
    """
    tables = read_declaration(text, as_shape=True)
    written = {table.name.lower(): table.name for table in tables}
    referenced = {
        written[key.parent.lower()] for table in tables for key in table.fkeys
        if written[key.parent.lower()] != table.name
    }  # fmt: skip
    return parse_config(
        Recipe,
        {
            "name": name,
            "tables": [_table(table, written, is_referenced=table.name in referenced) for table in tables],
        },
        source="the SQL schema",
    )


def _table(table: SqlTable, written: dict[str, str], *, is_referenced: bool) -> dict[str, Any]:
    names = [column.name for column in table.columns]
    fkeys = {key.column: written[key.parent.lower()] for key in table.fkeys}
    domains = {column.name: column.domain for column in table.columns}
    pkey = table.pkey
    if pkey is None or pkey in fkeys:
        pkey = new_name("row_idx", names)
    moments = [n for n in names if domains[n].kind in ("date", "timestamp") and n not in {pkey, *fkeys}]
    happens = bool(set(fkeys.values()) - {table.name})
    time = None
    if happens and (moments or not is_referenced):
        time = moments[0] if moments else new_name("date", names)
    return {
        "name": table.name,
        "pkey": pkey,
        "time_col": time,
        "whole_days": time in domains and domains[time].kind == "date",
        "keys": [
            {"name": name, "parent": parent, "null_share": None if domains[name].nullable else 0.0}
            for name, parent in fkeys.items()
        ],
        "columns": [_column(name, domains[name]) for name in names if name not in {pkey, time, *fkeys}],
    }


def _column(name: str, domain: Domain) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "missing_share": None if domain.nullable else 0.0}
    whole = sorted(label for label in domain.labels if isinstance(label, int))
    if whole and whole == list(range(whole[0], whole[0] + len(domain.labels))):
        return {**told, "kind": "number", "whole": True, "low": whole[0], "high": whole[-1]}
    return {
        **told,
        "kind": KINDS[domain.kind],
        "low": domain.low,
        "high": domain.high,
        "limit": domain.limit,
        "decimals": domain.decimals or None,
        "whole": domain.kind == "integer",
        "labels": {str(label): None for label in domain.labels},
    }
