"""A database with awkward keys, dates and names becomes a RelBench folder, and its report says how."""

import json
import sqlite3

import pandas as pd
import pyarrow.parquet as pq
import pytest
import relbench
import yaml

from relscale.imports.build import import_database
from relscale.imports.config import ImportConfig
from relscale.platform.errors import DataError

TIMES = {"time_cols": ["sold"]}


def frames(folder):
    return {name: t.df for name, t in relbench.load_dataset(folder).get_db(False).table_dict.items()}


def test_relbench_opens_it_with_keys_as_row_numbers(shop, imported):
    folder, _ = imported(shop, **TIMES)
    database = relbench.load_dataset(folder).get_db().table_dict
    keys = {name: table.fkey_col_to_pkey_table for name, table in database.items()}
    assert keys == {
        "Play_List": {},
        "list_track": {"List_Id": "Play_List", "album_number": "track"},
        "sale": {"clerk": "staff", "album_number": "track"},
        "sale_note": {"sale_id": "sale"},
        "staff": {"boss": "staff"},
        "track": {},
    }
    assert {name: table.time_col for name, table in database.items() if table.time_col} == {
        "sale": "sold",
        "sale_note": "time",
    }


def test_every_row_keeps_its_values_and_its_parents(shop, imported):
    folder, _ = imported(shop, **TIMES)
    found = frames(folder)
    assert found["sale"]["sold"].is_monotonic_increasing
    keys = {name: pd.read_parquet(folder / "keys" / f"{name}.parquet") for name in found}
    sales = found["sale"].merge(keys["sale"], left_on="id", right_on="entity")
    sales = sales.merge(keys["staff"], left_on="clerk", right_on="entity", how="left")
    sales = sales.merge(keys["track"], left_on="album_number", right_on="entity")
    with sqlite3.connect(shop) as connection:
        source = pd.read_sql("SELECT id, clerk, album, number, total FROM sale", connection)
    found_rows = sales[["id_y", "code", "album", "number", "total"]].set_axis(source.columns, axis=1)
    source["clerk"] = source["clerk"].where(source["clerk"] != "ghost", None)
    pd.testing.assert_frame_equal(
        found_rows.sort_values("id").reset_index(drop=True), source, check_dtype=False
    )
    assert keys["track"].columns.tolist() == ["entity", "album", "number"]
    assert keys["sale_note"].columns.tolist() == ["entity", "source_row"]


def test_notes_take_the_time_of_their_sale(shop, imported):
    folder, report = imported(shop, **TIMES)
    found = frames(folder)
    assert (
        found["sale_note"]["time"] == found["sale"]["sold"].to_numpy()[found["sale_note"]["sale_id"]]
    ).all()
    assert "sale_note: its time is that of 'sale' by 'sale_id'." in report["notes"]


def test_the_report_tells_the_fate_of_every_column_and_key(shop, imported):
    folder, report = imported(shop, **TIMES)
    fates = {(t["table"], c["source"]): c for t in report["tables"] for c in t["columns"]}
    with sqlite3.connect(shop) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for column in connection.execute(f'PRAGMA table_info("{name}")').fetchall():
                assert (name.replace(" ", "_"), column[1]) in fates
    became = {key: fate["became"] for key, fate in fates.items() if key[0] == "track"}
    assert became["track", "price"] == "number" and became["track", "is_live"] == "boolean"
    assert {column for (_, column), kind in became.items() if kind == "left out"} == {"guid", "blob", "empty"}
    (sale,) = (table for table in report["tables"] if table["table"] == "sale")
    clerk = next(key for key in sale["foreign_keys"] if key["column"] == "clerk")
    assert (clerk["n_null"], clerk["n_dangling"], clerk["examples"]) == (4, 1, ["row 8: 'ghost'"])
    assert "hidden from tasks" in fates["sale", "shipped"]["remarks"][-1]
    written = {path.stem: pq.read_schema(path).names for path in (folder / "db").iterdir()}
    for table in report["tables"]:
        named = {fate["column"] for fate in table["columns"]} - {None}
        assert named == set(written[table["table"]])


def test_equal_sources_give_equal_bytes(shop, imported, tmp_path):
    folder, _ = imported(shop, **TIMES)
    import_database(str(shop), tmp_path / "again", ImportConfig(time_cols=("sold",)))
    for path in sorted((folder / "db").iterdir()):
        assert path.read_bytes() == (tmp_path / "again" / "db" / path.name).read_bytes()


def test_a_folder_of_files_gives_what_the_database_gives(shop, imported, tmp_path):
    folder, _ = imported(shop, **TIMES)
    files = tmp_path / "files"
    files.mkdir()
    with sqlite3.connect(shop) as connection:
        for name in ("staff", "track", "sale"):
            frame = pd.read_sql(f'SELECT * FROM "{name}"', connection).drop(columns="blob", errors="ignore")
            if name == "track":
                frame.to_parquet(files / "track.parquet")
            else:
                frame.to_csv(files / f"{name}.csv", index=False, sep=";")
    tables = {
        "staff": {"primary_key": "code", "foreign_keys": {"boss": "staff"}},
        "track": {"primary_key": ["album", "number"]},
        "sale": {
            "primary_key": "id",
            "foreign_keys": {"clerk": "staff", "album, number": "track"},
            "time_col": "sold",
        },
    }
    # A file has the order of its rows, a database that of its keys: they differ where times are equal only.
    import_database(str(files), tmp_path / "of-files", ImportConfig.model_validate({"tables": tables}))
    mine, theirs = frames(tmp_path / "of-files"), frames(folder)
    for name in tables:
        columns = sorted(mine[name].columns)
        pd.testing.assert_frame_equal(mine[name][columns], theirs[name][columns], check_dtype=False)


def test_cycles_of_keys_are_allowed(tmp_path, imported):
    path = tmp_path / "cycle.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE team (id INTEGER PRIMARY KEY, captain INTEGER REFERENCES player, founded TEXT);"
            "CREATE TABLE player (id INTEGER PRIMARY KEY, team_id INTEGER REFERENCES team (id));"
            "INSERT INTO team VALUES (1, 2, '2020-01-01'), (2, 1, '2021-01-01'), (3, NULL, '2022-01-01');"
            "INSERT INTO player VALUES (1, 2), (2, 1);"
        )
    folder, report = imported(path, split={"val": "2020-06-01", "test": "2021-06-01"})
    assert frames(folder)["player"]["time"].dt.year.tolist() == [2020, 2021]
    assert any("player: its time is that of 'team'" in note for note in report["notes"])


def test_rows_without_a_time_are_left_out_and_their_children_lose_them(csv_folder, imported):
    folder = csv_folder(
        visit="id,day\n1,2020-01-01\n2,\n3,2020-03-01\n4,2020-04-01\n",
        bill="visit,sum\n1,5.5\n2,6.5\n3,7.5\n",
    )
    tables = {
        "visit": {"primary_key": "id", "time_col": "day"},
        "bill": {"foreign_keys": {"visit": "visit"}, "time_col": None},
    }
    made, report = imported(folder, tables=tables, split={"val": "2020-02-01", "test": "2020-03-15"})
    assert frames(made)["bill"]["visit"].tolist()[::2] == [0, 1]
    assert frames(made)["bill"]["visit"].isna().tolist() == [False, True, False]
    assert "visit: 1 rows left out, as they have no time." in report["notes"]


def test_settings_and_name_travel_with_the_folder(shop, imported):
    folder, report = imported(shop, name="corner-shop", **TIMES)
    assert yaml.safe_load((folder / "import.yaml").read_text())["time_cols"] == ["sold"]
    assert relbench.load_dataset(folder).manifest.name == report["name"] == "corner-shop"
    assert json.loads((folder / "import.json").read_text()) == report


def test_a_folder_that_is_there_is_never_written_over(shop, imported):
    imported(shop, **TIMES)
    with pytest.raises(DataError, match="is there already"):
        imported(shop, **TIMES)
