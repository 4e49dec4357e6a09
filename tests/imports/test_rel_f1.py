"""The real rel-f1, sent through SQLite, comes back as it was: tables, keys, order of rows and labels."""

import sqlite3

import pandas as pd
import relbench
import yaml

TASKS = ("driver-dnf", "driver-position", "driver-top3")


def as_sqlite(source, path):
    """The tables with keys and types declared; times as text, as SQLite has none."""
    database = relbench.load_dataset(source).get_db(False).table_dict
    kinds = {"i": "INTEGER", "f": "REAL", "M": "TIMESTAMP"}
    with sqlite3.connect(path) as connection:
        for name, table in database.items():
            declared = [
                f'"{column}" {kinds.get(kind.kind, "TEXT")}' for column, kind in table.df.dtypes.items()
            ]
            declared.append(f'PRIMARY KEY ("{table.pkey_col}")')
            for column, parent in table.fkey_col_to_pkey_table.items():
                declared.append(
                    f'FOREIGN KEY ("{column}") REFERENCES "{parent}" ("{database[parent].pkey_col}")'
                )
            connection.execute(f'CREATE TABLE "{name}" ({", ".join(declared)})')
            times = {column: table.df[column].astype(str) for column in table.df.select_dtypes("datetime")}
            table.df.assign(**times).to_sql(name, connection, if_exists="append", index=False)
    return path


def task_settings(source, name):
    manifest = yaml.safe_load((source / "tasks" / name / "manifest.yaml").read_text())
    return {
        "sql": manifest["sql"],
        "entity": "drivers",
        "window": manifest["timedelta"],
        "num_eval_timestamps": manifest["num_eval_timestamps"],
    }


def test_rel_f1_survives_the_way_through_sqlite(rel_f1, tmp_path, imported):
    folder, report = imported(
        as_sqlite(rel_f1, tmp_path / "f1.db"),
        split={"val": "2005-01-01", "test": "2010-01-01"},
        tasks={name: task_settings(rel_f1, name) for name in TASKS},
    )
    before, after = relbench.load_dataset(rel_f1), relbench.load_dataset(folder)
    tables, made = before.get_db(False).table_dict, after.get_db(False).table_dict
    assert tables.keys() == made.keys()
    for name, table in tables.items():
        found = made[name]
        assert (found.pkey_col, found.time_col) == (table.pkey_col, table.time_col)
        assert found.fkey_col_to_pkey_table == table.fkey_col_to_pkey_table
        pd.testing.assert_frame_equal(found.df, table.df, check_dtype=False)
    for name in TASKS:
        for split in ("train", "val", "test"):
            want = before.load_task(name).get_table(split, False).df.sort_values(["date", "driverId"])
            found = after.load_task(name).get_table(split, False).df.rename(columns={"timestamp": "date"})
            pd.testing.assert_frame_equal(found, want.reset_index(drop=True), check_dtype=False)
    assert [task["remarks"][0].split(", ")[-1] for task in report["tasks"]] == [
        f"{n} test labels" for n in (702, 760, 726)
    ]
