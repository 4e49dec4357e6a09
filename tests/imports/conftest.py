"""A SQLite database with everything that real ones have: see SCHEMA."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

SCHEMA = """
CREATE TABLE staff (code TEXT PRIMARY KEY, name TEXT, boss TEXT REFERENCES staff (code), hired TEXT);
CREATE TABLE "Play List" ("List Id" INTEGER PRIMARY KEY, title TEXT);
CREATE TABLE track (
    album TEXT, number INTEGER, title TEXT, price TEXT, is_live INTEGER, zip TEXT, guid TEXT, blob BLOB,
    empty TEXT,     PRIMARY KEY (album, number));
CREATE TABLE list_track (
    "List Id" INTEGER REFERENCES "Play List", album TEXT, number INTEGER,
    PRIMARY KEY ("List Id", album, number), FOREIGN KEY (album, number) REFERENCES track (album, number));
CREATE TABLE sale (
    id INTEGER PRIMARY KEY, sold TEXT, shipped TEXT, clerk TEXT REFERENCES staff (code), album TEXT,
    number INTEGER, total REAL, cents INTEGER, FOREIGN KEY (album, number) REFERENCES track (album, number));
CREATE TABLE sale_note (sale_id INTEGER REFERENCES sale (id), note TEXT);
"""
N_SALES = 200


def write_shop(path: Path) -> Path:
    """Sales of 200 days, the latest first: dates in three forms, one clerk unknown, some keys NULL."""
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    staff = [
        ("s1", "Ann Lee", None, "2019-01-01"),
        ("s2", "Bo Ek", "s1", "01.02.2019"),
        ("s3", "Cy Ray", "s1", None),
    ]
    connection.executemany("INSERT INTO staff VALUES (?, ?, ?, ?)", staff)
    connection.executemany('INSERT INTO "Play List" VALUES (?, ?)', [(10, "Night drive"), (20, "Day out")])
    tracks = [
        (
            album,
            n,
            f"Song {album} {n}",
            f"{n},50",
            n % 2,
            f"0{n}123",
            f"{n:08x}-0000-4000-8000-00000000000{a}",
            b"x",
            "",
        )
        for a, album in enumerate("AB")
        for n in (1, 2, 3)
    ]
    connection.executemany("INSERT INTO track VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", tracks)
    links = [(10, "A", 1), (10, "B", 3), (20, "A", 1), (20, "B", 2)]
    connection.executemany("INSERT INTO list_track VALUES (?, ?, ?)", links)
    connection.executemany("INSERT INTO sale VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(_sale, range(N_SALES)))
    notes = [(900 + i, "called back" if i % 3 else "gift wrap") for i in range(0, N_SALES, 2)]
    connection.executemany("INSERT INTO sale_note VALUES (?, ?)", notes)
    connection.commit()
    connection.close()
    return path


def _sale(i: int) -> tuple[Any, ...]:
    day = N_SALES - 1 - i
    month, date = 1 + day // 28, 1 + day % 28
    sold = (f"2020-{month:02}-{date:02}", f"2020/{month}/{date}", f"{date:02}.{month:02}.2020")[i % 3]
    clerk = "ghost" if i == 7 else (None if i % 50 == 0 else f"s{1 + i % 3}")
    total = 5.0 + (i % 7) + (3.0 if i % 3 else 0.0)
    return (
        900 + i,
        sold,
        f"2020-{month:02}-{date:02} 23:00",
        clerk,
        "AB"[i % 2],
        1 + i % 3,
        total,
        int(100 * total),
    )


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The SQLite file."""
    return write_shop(tmp_path / "shop.db")


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """`imported(source, **settings)`: the folder made of a source, and its import.json."""
    from relscale.imports.build import import_database
    from relscale.imports.config import ImportConfig
    from relscale.platform.config import parse_config

    def run(source: Path | str, **settings: Any) -> tuple[Path, dict[str, Any]]:
        out = tmp_path / "made"
        import_database(str(source), out, parse_config(ImportConfig, settings, source="the test"))
        return out, json.loads((out / "import.json").read_text())

    return run


@pytest.fixture
def csv_folder(tmp_path: Path) -> Callable[..., Path]:
    """`csv_folder(orders="id,day\\n1,2020-01-01", ...)`: a folder with these files."""

    def write(**texts: str) -> Path:
        folder = tmp_path / "files"
        folder.mkdir()
        for name, text in texts.items():
            (folder / f"{name}.csv").write_text(text)
        return folder

    return write


@pytest.fixture
def settings_file(tmp_path: Path) -> Callable[..., Path]:
    """`settings_file(**settings)`: a YAML file of them."""

    def write(**settings: Any) -> Path:
        path = tmp_path / "import.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return write
