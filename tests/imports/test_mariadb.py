"""A MariaDB database, served on loopback for the test where it is installed, imports by its catalogue."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
import relbench

SCHEMA = """
CREATE TABLE `Customer` (code VARCHAR(8) PRIMARY KEY, name TEXT, boss VARCHAR(8), vip TINYINT(1),
    FOREIGN KEY (boss) REFERENCES `Customer` (code));
CREATE TABLE `order` (region CHAR(2), no INT, customer VARCHAR(8), placed DATETIME NOT NULL,
    total DECIMAL(8, 2), took TIME, extra JSON, PRIMARY KEY (region, no),
    FOREIGN KEY (customer) REFERENCES `Customer` (code));
CREATE TABLE line (region CHAR(2), no INT, item TEXT,
    FOREIGN KEY (region, no) REFERENCES `order` (region, no));
INSERT INTO `Customer` SELECT CONCAT('c', seq), CONCAT('Name ', seq), IF(seq > 1, 'c1', NULL), seq % 2
    FROM seq_1_to_5;
INSERT INTO `order` SELECT 'EU', seq, CONCAT('c', 1 + seq % 5), '2020-01-01 01:00' + INTERVAL seq DAY,
    seq * 1.5, '01:30:00', '{"a": 1}' FROM seq_1_to_50;
INSERT INTO line SELECT 'EU', seq, 'item' FROM seq_1_to_50;
"""


@pytest.fixture
def server(tmp_path) -> Iterator[str]:
    """The URL of a server that lives for the test; skips where there is none to start."""
    pymysql = pytest.importorskip("pymysql", reason="the extra relscale[sql] is not installed")
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    daemon, maker = (shutil.which(name, path=path) for name in ("mariadbd", "mariadb-install-db"))
    if daemon is None or maker is None:
        pytest.skip("MariaDB's server programs are not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, user = f"--datadir={tmp_path / 'data'}", ["--user=root"] if os.getuid() == 0 else []
    made = [maker, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db", *user]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    words = [
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--socket={tmp_path / 's'}",
        "--innodb-buffer-pool-size=16M",
    ]
    with subprocess.Popen(
        [daemon, "--no-defaults", data, *words, *user], stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(200):
                time.sleep(0.1)
                with contextlib.suppress(pymysql.err.OperationalError):
                    connection = pymysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True)
                    break
            with connection, connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE shop")
                cursor.execute("CREATE USER ann@'127.0.0.1' IDENTIFIED BY 's3cret'")
                cursor.execute("GRANT SELECT ON shop.* TO ann@'127.0.0.1'")
                cursor.execute("USE shop")
                for statement in filter(str.strip, SCHEMA.split(";\n")):
                    cursor.execute(statement)
            yield f"mysql://ann:s3cret@127.0.0.1:{port}/shop"
        finally:
            process.terminate()


def test_keys_and_types_come_from_the_catalogue(server, imported):
    folder, report = imported(server)
    database = relbench.load_dataset(folder).get_db(False).table_dict
    assert {name: table.fkey_col_to_pkey_table for name, table in database.items()} == {
        "Customer": {"boss": "Customer"},
        "line": {"region_no": "order"},
        "order": {"customer": "Customer"},
    }
    order = database["order"].df
    assert order["placed"].iloc[0].isoformat() == "2020-01-02T01:00:00"
    assert order["total"].tolist() == [1.5 * i for i in range(1, 51)]
    assert set(order["took"]) == {5400.0}
    assert database["Customer"].df["vip"].sum() == 3
    assert "s3cret" not in str(report) and report["source"].startswith("mysql+pymysql://ann:***@")
