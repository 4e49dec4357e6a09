"""SQL: what files of three dialects declare, what never counts, and one sentence for what is wrong."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relscale.generation.domains import Domain
from relscale.generation.sql import SqlColumn, SqlTable, parse_sql
from relscale.generation.sql_statements import read_sql_file
from relscale.platform.errors import ConfigError

DATA = Path(__file__).parent / "data"
SHOP = Path(__file__).parents[2] / "docs" / "examples" / "shop.sql"


def only(text: str) -> SqlTable:
    (table,) = parse_sql(text)
    return table


def column(table: SqlTable, name: str) -> SqlColumn:
    return next(c for c in table.columns if c.name == name)


def kinds(table: SqlTable) -> dict[str, str]:
    return {c.name: c.domain.kind for c in table.columns}


def keys(table: SqlTable) -> list[tuple[str, str]]:
    return [(key.column, key.parent) for key in table.fkeys]


def test_a_shop_in_postgres() -> None:
    tables = {table.name: table for table in parse_sql(SHOP.read_text())}
    assert list(tables) == ["customer", "address", "product", "order", "order_line", "review"]
    assert keys(tables["order"]) == [
        ("customer_id", "customer"),
        ("shipping_address_id", "address"),
        ("billing_address_id", "address"),
    ]
    assert column(tables["order"], "state").domain.labels == ("New", "Paid", "Shipped", "Returned")
    assert column(tables["product"], "category").domain.labels == ("Books", "Garden", "Hi-Fi; used", "Toys")
    assert column(tables["product"], "rating").domain == Domain(kind="real", low=1, high=5)
    assert column(tables["product"], "price").domain.low == 0.01
    assert column(tables["review"], "stars").domain.labels == (1, 2, 3, 4, 5)
    assert [c.name for c in tables["order"].columns if c.domain.nullable] == ["billing_address_id"]
    assert tables["order_line"].pkey is None


def test_a_clinic_in_mysql() -> None:
    ward, patient, visit = parse_sql((DATA / "clinic.sql").read_text())
    assert (ward.pkey, ward.line) == ("id", 6)
    assert column(patient, "blood").domain.labels == ("A+", "A-", "B+", "0;-")
    assert kinds(patient) == {
        "id": "integer",
        "sex": "label",
        "blood": "label",
        "date_of_birth": "date",
        "insured": "boolean",
    }
    assert keys(visit) == [("patient_id", "patient"), ("ward_in", "ward"), ("ward_out", "ward")]
    assert column(visit, "date").domain == Domain(kind="real", decimals=2, limit=9999.99, nullable=False)
    assert kinds(visit)["type"] == "integer"  # visit_type's labels are not its own
    assert column(visit, "visit_type").domain.labels == ("Planned", "Emergency")
    assert (kinds(visit)["admitted"], kinds(visit)["left"]) == ("timestamp", "timestamp")
    assert (kinds(visit)["report"], kinds(visit)["scan"]) == ("text", "text")
    assert column(visit, "left").domain.nullable


def test_a_music_store_in_sqlite() -> None:
    tables = {table.name: table for table in parse_sql((DATA / "music.sql").read_text())}
    assert list(tables) == ["Artist", "Album", "Track", "Playlist", "PlaylistTrack"]
    assert tables["Album"].pkey == "AlbumId"
    assert column(tables["Album"], "Rating").domain.labels == (1, 2, 3)
    assert keys(tables["Track"]) == [("AlbumId", "album")]
    assert column(tables["Track"], "MediaType").domain.labels == ("MPEG audio", "AAC; protected")
    assert column(tables["Track"], "Milliseconds").domain.low == 1
    assert column(tables["Track"], "Notes").domain == Domain(kind="text")
    assert keys(tables["PlaylistTrack"]) == [("PlaylistId", "Playlist"), ("TrackId", "Track")]


PG_DUMP = """
SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);
CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN CREATE TABLE never (a int); RETURN NEW; END; $$;
CREATE TYPE public.colour AS ENUM (
    'Red',
    'dark Blue'
);
CREATE TABLE public.car (
    id integer NOT NULL,
    colour public.colour,
    gear text DEFAULT 'x'::text NOT NULL,
    owner_id integer,
    CONSTRAINT car_gear_check CHECK ((gear = ANY (ARRAY['Manual'::text, 'auto'::text])))
);
ALTER TABLE public.car OWNER TO somebody;
COMMENT ON TABLE public.car IS 'don''t; CREATE TABLE b (x int)';
CREATE TABLE public.owner (
    id integer NOT NULL,
    age integer,
    CONSTRAINT owner_age_check CHECK (((age >= 18) AND (age < 100)))
);
COPY public.owner (id, age) FROM stdin;
1\t'30
2\t";
\\.
ALTER TABLE ONLY public.car ALTER COLUMN id SET DEFAULT nextval('public.car_id_seq'::regclass);
ALTER TABLE ONLY public.car
    ADD CONSTRAINT car_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.owner
    ADD CONSTRAINT owner_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.car
    ADD CONSTRAINT car_owner FOREIGN KEY (owner_id) REFERENCES public.owner(id) ON DELETE CASCADE;
ALTER TABLE public.owner ADD COLUMN nick varchar(9), ALTER COLUMN age SET NOT NULL;
\\unrestrict abc'
"""


def test_a_dump_of_postgres() -> None:
    car, owner = parse_sql(PG_DUMP)
    assert (car.name, car.pkey, keys(car)) == ("car", "id", [("owner_id", "owner")])
    assert column(car, "colour").domain.labels == ("Red", "dark Blue")
    assert column(car, "gear").domain == Domain(kind="label", labels=("Manual", "auto"), nullable=False)
    age = column(owner, "age").domain
    assert (age.low, age.high, age.nullable) == (18, 99, False)
    assert column(owner, "nick").domain == Domain(kind="text", length=9)
    assert owner.pkey == "id"


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (a int)",
        "CREATE TABLE t (a int);",
        "create table If Not Exists s.T (a int);",
        "/* CREATE TABLE x (a int); */ CREATE TABLE t (a int); -- CREATE TABLE y (a int)",
        "CREATE TABLE t (a int DEFAULT 3, -- it's; fine\n CHECK (length('a;)b') > 0));",
        'CREATE UNLOGGED TABLE "t" ("a" int) WITH (fillfactor = 70);',
        "DROP TABLE t; ATTACH 'x' AS y; DELETE FROM t; CREATE TABLE t (a int); INSERT INTO t VALUES (';');",
        "CREATE VIEW v AS SELECT 1; CREATE TABLE t (a int);"
        "CREATE TABLESPACE u LOCATION 'x'; GRANT ALL ON t TO z",
        "CREATE TABLE t (a int) PARTITION BY RANGE (a);",
    ],
)
def test_one_table_stands_in_many_surroundings(text: str) -> None:
    table = only(text)
    assert table.name.lower() == "t"
    assert kinds(table) == {"a": "integer"}


def test_names_are_quoted_in_every_way() -> None:
    assert kinds(only('CREATE TABLE t ("a;b" int, "select" text, "It""s" date)')) == {
        "a;b": "integer",
        "select": "text",
        'It"s': "date",
    }
    assert kinds(only("CREATE TABLE `t 1` (`key` int, `check in` text)")) == {
        "key": "integer",
        "check in": "text",
    }
    assert kinds(only("CREATE TABLE [t] ([a b] int)")) == {"a b": "integer"}


def test_labels_belong_to_the_column_that_is_named() -> None:
    """Not to one whose name holds another's or the word in, as in the reference implementation."""
    table = only(
        "CREATE TABLE t (type INT, order_type TEXT CHECK (order_type IN ('Web', 'shop')), rating TEXT,"
        " main TEXT CHECK (rating IN ('Low', 'HIGH')))"
    )
    assert kinds(table) == {"type": "integer", "order_type": "label", "rating": "label", "main": "text"}
    assert column(table, "rating").domain.labels == ("Low", "HIGH")


def test_a_key_may_be_declared_twice_alike() -> None:
    table = parse_sql(
        "CREATE TABLE p (id INT PRIMARY KEY, PRIMARY KEY (id));"
        "CREATE TABLE c (p_id INT REFERENCES p, FOREIGN KEY (p_id) REFERENCES P (id))"
    )[1]
    assert keys(table) == [("p_id", "p")]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "there is no CREATE TABLE statement"),
        ("SELECT 1;\nDROP TABLE x", 1, "there is no CREATE TABLE statement"),
        ("def f(x):\n    return x\n", 1, "there is no CREATE TABLE statement"),
        ("-- ok\nprint('a\n", 2, "a quote or comment that begins here never ends"),
        ("CREATE TABLE t (a int);\nCREATE TABLE u (a int,\n b int b int)", 3, "not understood near 'b'"),
        ("CREATE TABLE t (a int,\n b int", 1, "the column list of table 't' never ends"),
        ("CREATE TABLE t ()", 1, "table 't' has no columns"),
        ("CREATE TABLE t (PRIMARY KEY (a))", 1, "table 't' has no column 'a'"),
        ("CREATE TABLE s.t AS SELECT f(1)", 1, "table 't' does not list its columns"),
        ("CREATE TABLE a (x int);\nCREATE TABLE t (LIKE a)", 2, "table 't' copies columns by LIKE"),
        ("CREATE TABLE t (x int)\nINHERITS (u)", 1, "table 't' inherits columns"),
        ("CREATE TABLE t (a int);\nCREATE TABLE s.T (a int)", 2, "table 'T' is declared twice"),
        ("CREATE TABLE t (a int,\n A text)", 2, "column 't.A' is declared twice"),
        ('CREATE TABLE "../t" (a int)', 1, "a table cannot be named '../t'"),
        ("CREATE TABLE t (a int,\n b wavelet)", 2, "column 't.b' is of unknown type 'wavelet'"),
        (
            "CREATE TABLE t (a int, b int,\n PRIMARY KEY (a, b))",
            2,
            "table 't' has the composite primary key (a, b)",
        ),
        ("CREATE TABLE t (a int PRIMARY KEY, b int PRIMARY KEY)", 1, "table 't' has two primary keys"),
        (
            "CREATE TABLE t (a int, b int,\n FOREIGN KEY (a, b) REFERENCES p (x, y))",
            2,
            "table 't' has the composite foreign key (a, b)",
        ),
        (
            "CREATE TABLE t (a int REFERENCES p, FOREIGN KEY (a) REFERENCES q)",
            1,
            "refers to both 'p' and 'q'",
        ),
        ("CREATE TABLE t (a int);\nALTER TABLE u ADD CONSTRAINT k PRIMARY KEY (a)", 2, "names the table 'u'"),
        (
            "CREATE TABLE t (a int);\nALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (b)",
            2,
            "no column 'b'; it has: a",
        ),
        (
            "CREATE TABLE t (a int CHECK (a > 3 AND a < 2))",
            1,
            "'t.a': its CHECK conditions leave no value",
        ),
        ("CREATE TABLE t (a int,\n FOREIGN KEY (a))", 2, "a foreign key of table 't' refers to nothing"),
        ('CREATE TABLE t ("a\nb" int)', 2, "cannot be a name; use printable letters"),
        (f"CREATE TABLE t (a int CHECK ({'(' * 3000}a{')' * 3000}))", 1, "is nested too deeply; simplify it"),
        ("CREATE TABLE t (a int);\nALTER TABLE t ADD CHECK (a IN (1, 2))", 2, "put it into CREATE TABLE"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sql(text)
    assert str(caught.value).startswith(f"the SQL schema, line {line}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


SHOP_TEXT = SHOP.read_text()


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(
    at=st.integers(0, len(SHOP_TEXT)),
    cut=st.integers(0, 30),
    put=st.sampled_from(
        ["", "'", '"', "(", ")", ";", ",", "--", "/*", "$$", "\\", "[", "1e999", " NULL ", " CHECK "]
    ),
)
def test_a_broken_file_is_read_or_refused(at: int, cut: int, put: str) -> None:
    with contextlib.suppress(ConfigError):
        assert parse_sql(SHOP_TEXT[:at] + put + SHOP_TEXT[at + cut :])


def test_a_dump_with_its_data_is_too_long() -> None:
    with pytest.raises(ConfigError, match="1,000,022 letters, more than 1,000,000; leave the data out"):
        parse_sql("CREATE TABLE t (a int)" + " " * 1_000_000)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.sql' cannot be read \(No such file"):
        read_sql_file(tmp_path / "nothing.sql")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_sql_file(tmp_path)
    for content in (b"CREATE TABLE t (a int)\0", b"\xff\xfe\x00C", b"SQLite format 3\x00"):
        (tmp_path / "t.sql").write_bytes(content)
        with pytest.raises(ConfigError, match="is not UTF-8 text"):
            read_sql_file(tmp_path / "t.sql")
    (tmp_path / "t.sql").write_bytes(b"\xef\xbb\xbfCREATE TABLE t (a int)")
    assert only(read_sql_file(tmp_path / "t.sql")).name == "t"
