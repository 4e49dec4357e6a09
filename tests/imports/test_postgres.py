"""A PostgreSQL database, served for the test where it is installed, imports by its catalogue."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import relbench

SCHEMA = """
CREATE SCHEMA side;
CREATE TABLE "Customer" ("Id" uuid PRIMARY KEY, name text, vip boolean, tags text[], born date);
CREATE TABLE "order" (region char(2), no int, customer uuid REFERENCES "Customer",
    placed timestamptz NOT NULL, total numeric(8, 2), extra jsonb, PRIMARY KEY (region, no), UNIQUE (no));
CREATE TABLE line (region char(2), no int, item text, FOREIGN KEY (region, no) REFERENCES "order");
INSERT INTO "Customer" SELECT md5(i::text)::uuid, 'Name ' || i, i % 2 = 0, ARRAY['a'], '1980-01-01'
    FROM generate_series(1, 5) i;
INSERT INTO "order" SELECT 'EU', i, md5((1 + i % 5)::text)::uuid,
    timestamptz '2020-01-01 01:00+02' + i * interval '1 day', i * 1.5, '{"a": 1}'
    FROM generate_series(1, 50) i;
INSERT INTO line SELECT 'EU', 51 - i, 'item' FROM generate_series(1, 50) i;
"""


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that lives for the test; skips where there is none to start."""
    pytest.importorskip("psycopg", reason="the extra relscale[sql] is not installed")
    found = [str(path.parent) for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    path = os.pathsep.join([*found, os.environ["PATH"]])
    if shutil.which("initdb", path=path) is None:
        pytest.skip("PostgreSQL's server programs are not installed")
    folder = tmp_path_factory.mktemp("postgres", numbered=True)
    user: dict[str, str] = {}
    if os.getuid() == 0:  # the server refuses to run as root
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        user = {"user": "postgres"}
        os.chown(folder, account.pw_uid, account.pw_gid)
        for parent in folder.parents[:2]:
            parent.chmod(0o755)

    def run(*words: str, **options: object) -> None:
        command = [str(shutil.which(words[0], path=path)), *words[1:]]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **user, **options)  # type: ignore[call-overload]

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "ann", "-A", "trust", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        run("psql", "-h", str(folder), "-U", "ann", "-d", "postgres", "-q", input=SCHEMA, text=True)
        yield f"postgresql://ann:s3cret@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")


def test_keys_and_types_come_from_the_catalogue(server, imported):
    folder, report = imported(server)
    database = relbench.load_dataset(folder).get_db(False).table_dict
    assert {name: table.fkey_col_to_pkey_table for name, table in database.items()} == {
        "Customer": {},
        "line": {"region_no": "order"},
        "order": {"customer": "Customer"},
    }
    order = database["order"].df
    assert order["placed"].iloc[0].isoformat() == "2020-01-01T23:00:00"
    assert order["total"].tolist() == [1.5 * i for i in range(1, 51)]
    assert database["Customer"].df["vip"].sum() == 2
    assert database["line"].df["region_no"].tolist() == list(range(50))
    assert "s3cret" not in str(report) and report["source"].startswith("postgresql+psycopg://ann:***@")
