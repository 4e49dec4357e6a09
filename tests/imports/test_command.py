"""`relscale import` at the command line: what a person sees, and one sentence for every mistake."""

import sqlite3
import sys

import pytest

from relscale.cli import main

CUSTOMERS = (
    "id,name,since\n1,Ann Lee,2020-01-01\n2,Bo Ek,2020-06-01\n3,Cy Ray,2020-09-01\n4,Di Fo,2021-01-01\n"
)
ORDERS = "id,customer,sum\n1,1,5\n2,2,6.5\n3,4,7\n"
KEYS = {
    "customers": {"primary_key": "id"},
    "orders": {"primary_key": "id", "foreign_keys": {"customer": "customers"}},
}


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run `relscale import ARGUMENTS --out ...`; gives (exit code, output, error text)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        words = ["relscale", "import", *arguments, "--out", tmp_path / "made"]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return run


@pytest.fixture
def refused(command, tmp_path):
    """Run an import that must be refused and leave nothing; gives its one sentence."""

    def run(*arguments: object) -> str:
        code, _, error = command(*arguments)
        assert code == 2, error
        assert error.startswith("relscale: ") and error.count("\n") == 1
        assert not (tmp_path / "made").exists()
        return error

    return run


def test_a_person_sees_columns_notes_and_tasks(shop, command):
    code, shown, _ = command(shop, "--set", "time_cols=sold", "--complete", "sale.total")
    assert code == 0
    words = " ".join(shown.split())
    for part in (
        "List Id -> List_Id",
        "time of the row",
        "task sale-total: regression",
        "hidden: sale.shipped",
    ):
        assert part in words


@pytest.mark.parametrize(
    ("files", "changes", "sentence"),
    [
        ({}, {"customers": {}}, "table 'customers' has no primary key, but 'customer' of table 'orders'"),
        ({}, {"customers": {"primary_key": "idd"}}, "has no column 'idd'; did you mean 'id'?"),
        ({}, {"custmers": {}}, "has no table 'custmers'; did you mean 'customers'?"),
        ({}, {"orders": {"foreign_keys": {"customer": "clients"}}}, "has no table 'clients'"),
        (
            {},
            {"customers": {"primary_key": "id", "time": "since"}},
            "unknown setting 'tables.customers.time'",
        ),
        ({}, {"customers": {"primary_key": "id", "types": {"name": "number"}}}, "row 1 has 'Ann Lee'"),
        (
            {},
            {"customers": {"primary_key": "id", "time_col": "name"}},
            "column 'name' is said to be datetime, but row 1 has 'Ann Lee'",
        ),
        (
            {"customers": CUSTOMERS + "4,Ed,2020-01-02\n"},
            {},
            "the key 'id' is '4' in row 4 and again in row 5",
        ),
        ({"customers": CUSTOMERS + ",Ed,2020-01-02\n"}, {}, "the primary key 'id' is empty in row 5"),
        ({"customers": "id,name,since\n"}, {}, "table 'customers' has no rows"),
        ({"customers": CUSTOMERS + "5\n"}, {}, "customers.csv' is not a readable CSV file"),
        ({"customers": "id,id\n1,2\n"}, {}, "must begin with a line of different column names"),
        (
            {"orders": "id,customer\n1,9\n2,8\n"},
            {},
            "no 'customer' is a 'id' of table 'customers' (row 1 has '9')",
        ),
        ({"orders": "id,customer,a,b\n1,1,2020-01-01,2020-01-02\n"}, {}, "several columns may be the time"),
        ({"customers": "id,name\n1,Ann\n2,Bo\n"}, {}, "no table has a time column"),
    ],
)
def test_each_mistake_is_one_sentence(csv_folder, settings_file, refused, files, changes, sentence):
    folder = csv_folder(**({"customers": CUSTOMERS, "orders": ORDERS} | files))
    assert sentence in refused(folder, "--config-file", settings_file(tables=KEYS | changes))


CLIENTS = "CREATE TABLE client (code TEXT PRIMARY KEY, since TEXT);" + "".join(
    f"INSERT INTO client VALUES ('c{i}', '2020-0{i}-01');" for i in range(1, 6)
)
BILL = (
    "CREATE TABLE bill (id TEXT PRIMARY KEY, client TEXT REFERENCES client, x TEXT);INSERT INTO bill VALUES "
)


@pytest.mark.parametrize(
    ("rows", "options", "table", "column", "row"),
    [
        ("('1', 'c1', 'a'), (NULL, 'c2', 'b')", "", "bill", "id", 1),  # in order of key, NULL is the first
        ("('1', 'c1', 'a'), ('2', 'c1', 'b')", "tables.bill.primary_key=client", "bill", "client", 2),
        ("('1', 'z', 'a'), ('2', 'y', 'b')", "", "bill", "client", 1),
        ("('1', 'c1', '3'), ('2', 'c1', 'dear')", "tables.bill.types.x=number", "bill", "x", 2),
        ("('1', 'c1', 'yes'), ('2', 'c1', 'perhaps')", "tables.bill.types.x=boolean", "bill", "x", 1),
        (
            "('1', 'c1', '2020-01-01'), ('2', 'c1', '2020-02-30')",
            "tables.bill.types.x=datetime",
            "bill",
            "x",
            2,
        ),
        ("('1', 'c1', '2020-01-01'), ('2', 'c1', 'soon')", "tables.bill.time_col=x", "bill", "x", 2),
        ("('1', 'c1', '2020-01-01'), ('2', 'c1', '03/04/2020')", "", "bill", "x", 2),
        ("('1', 'c1', 'a'), ('2', 'c1', CAST(x'C3' AS TEXT))", "", "bill", "x", 2),
        (
            "('1', 'c1', 'a')",
            "tables.client.types.since=number,tables.bill.primary_key=[]",
            "client",
            "since",
            1,
        ),
    ],
)
def test_ten_kinds_of_bad_rows_are_named_by_table_column_and_row(
    tmp_path, refused, rows, options, table, column, row
):
    with sqlite3.connect(tmp_path / "bad.db") as connection:
        connection.executescript(CLIENTS + BILL + rows)
    settings = [word for option in options.split(",") if option for word in ("--set", option)]
    error = refused(tmp_path / "bad.db", *settings)
    assert f"table '{table}'" in error and f"'{column}'" in error and f"row {row}" in error


def test_a_bad_row_of_a_file_is_named(csv_folder, refused):
    folder = csv_folder(customers=CUSTOMERS + "5,Ed\n", orders=ORDERS)
    assert "customers.csv' is not a readable CSV file (row 5: Expected 3 columns, got 2" in refused(folder)
    (folder / "customers.csv").write_bytes(CUSTOMERS.encode() + b"5,J\xf6rg,2021-02-01\n")
    assert "customers.csv', column 'name', row 5 is not UTF-8 text" in refused(folder)


def test_files_without_any_key_are_refused_with_an_example(csv_folder, refused):
    error = refused(csv_folder(customers=CUSTOMERS, orders=ORDERS))
    assert "--config-file" in error and "primary_key" in error


def test_unreadable_files_are_named(tmp_path, csv_folder, refused):
    folder = csv_folder(orders=ORDERS)
    (folder / "customers.parquet").write_bytes(b"PAR1 no more")
    assert "customers.parquet' is not a readable Parquet file" in refused(folder)
    (folder / "customers.parquet").unlink()
    (folder / "latin.csv").write_bytes("id,stra\xdfe\n1,x\n".encode("latin-1"))
    assert "latin.csv' is not UTF-8 text" in refused(folder)
    assert "does not exist" in refused(tmp_path / "nowhere")
    (tmp_path / "text.db").write_text("no database")
    assert "is no SQLite file" in refused(tmp_path / "text.db")
    (tmp_path / "broken.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    assert "cannot be read" in refused(tmp_path / "broken.db")


def test_an_empty_database_is_refused(tmp_path, refused):
    with sqlite3.connect(tmp_path / "empty.db") as connection:
        connection.execute("CREATE TABLE gone (id INTEGER)")
        connection.execute("DROP TABLE gone")
    assert "has no tables" in refused(tmp_path / "empty.db")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3cret@127.0.0.1:1/shop",
        "postgresql://ann@127.0.0.1:1/shop?password=s3cret",
        "mysql://ann:s3cret@127.0.0.1:1/shop",
        "nosuch://ann:s3cret@127.0.0.1/shop",
        "postgresql://ann:s3cret@127.0.0.1:port/shop",
    ],
)
def test_no_message_shows_a_password(refused, url):
    assert "s3cret" not in refused(url)
