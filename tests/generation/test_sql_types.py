"""Types and CHECK conditions: what they allow a column to hold."""

import pytest

from relscale.generation.domains import Domain
from relscale.generation.sql import parse_sql


def domain(declaration: str, *, head: str = "") -> Domain:
    """The domain of column c of a table with this declaration."""
    (table,) = parse_sql(f"{head} CREATE TABLE t (c {declaration}, other int)")
    return table.columns[0].domain


@pytest.mark.parametrize(
    ("declaration", "expected"),
    [
        ("int", Domain(kind="integer", decimals=0, limit=2**31 - 1)),
        ("bigserial NOT NULL", Domain(kind="integer", decimals=0, limit=2**53, nullable=False)),
        ("smallint", Domain(kind="integer", decimals=0, limit=2**15 - 1)),
        ("tinyint", Domain(kind="integer", decimals=0, limit=127, low=-127, high=127)),
        ("tinyint(1)", Domain(kind="boolean")),
        ("bit(1)", Domain(kind="boolean")),
        ("bit(4)", Domain(kind="integer", decimals=0, limit=15, low=0, high=15)),
        ("boolean", Domain(kind="boolean")),
        ("int unsigned", Domain(kind="integer", decimals=0, limit=2**32 - 1, low=0)),
        ("numeric(5, 2)", Domain(kind="real", decimals=2, limit=999.99)),
        ("decimal(4)", Domain(kind="integer", decimals=0, limit=9999)),
        ("numeric", Domain(kind="real")),
        ("double precision", Domain(kind="real")),
        ("money", Domain(kind="real", decimals=2)),
        ("date", Domain(kind="date")),
        ("timestamp without time zone", Domain(kind="timestamp")),
        ("timestamptz", Domain(kind="timestamp")),
        ("datetime", Domain(kind="timestamp")),
        ("time", Domain(kind="integer", decimals=0, low=0, high=86_399)),
        ("varchar(12)", Domain(kind="text", length=12)),
        ("text", Domain(kind="text")),
        ("uuid", Domain(kind="text")),
        ("jsonb", Domain(kind="text")),
        ("bytea", Domain(kind="text")),
        ("int[]", Domain(kind="text")),
        ("ENUM('New', 'old')", Domain(kind="label", labels=("New", "old"))),
    ],
)
def test_types(declaration: str, expected: Domain) -> None:
    assert domain(declaration) == expected


def test_own_types_are_found_whatever_their_case() -> None:
    enum = "CREATE TYPE s.Mood AS ENUM ('Sad', 'Glad');"
    assert domain("mood", head=enum).labels == ("Sad", "Glad")
    assert domain('s."Mood" NOT NULL', head=enum) == Domain(
        kind="label", labels=("Sad", "Glad"), nullable=False
    )


@pytest.mark.parametrize(
    ("declaration", "low", "high"),
    [
        ("int CHECK (c BETWEEN 1 AND 5)", 1, 5),
        ("int CHECK (c > 0 AND c < 10)", 1, 9),
        ("int CHECK ((c >= 0.5) AND ((c)::numeric <= 7.5))", 1, 7),
        ("int CHECK (0 <= c) CHECK (100 > c)", 0, 99),
        ("int CHECK (c >= -5)", -5, None),
        ("int CHECK (c < 5 AND c < 3)", None, 2),
        ("numeric(4, 2) CHECK (c > 0 AND c < 1)", 0.01, 0.99),
        ("real CHECK (c >= 0 AND c <= 1)", 0, 1),
        ("real CHECK (c > 0)", 1e-6, None),
        ("int CHECK (c > 0 OR other > 0)", None, None),
        ("int CHECK (NOT c > 3)", None, None),
        ("int CHECK (c > other)", None, None),
        ("int CHECK (abs(c) > 3)", None, None),
        ("int CHECK (other > 3)", None, None),
        ("date CHECK (c > '2020-01-01')", None, None),
        ("text CHECK (c > 3)", None, None),
    ],
)
def test_ranges(declaration: str, low: float | None, high: float | None) -> None:
    assert domain(declaration).low == (None if low is None else pytest.approx(low))
    assert domain(declaration).high == (None if high is None else pytest.approx(high))


@pytest.mark.parametrize(
    ("declaration", "labels"),
    [
        ("text CHECK (c IN ('a', 'B', NULL))", ("a", "B")),
        ("text CHECK (c = 'a' OR c = 'B' OR c IS NULL)", ("a", "B")),
        ("varchar(3) CHECK (((c)::text = ANY ((ARRAY['x'::character varying, 'Y'])::text[])))", ("x", "Y")),
        ("int CHECK (c IN (-1, 0, 1))", (-1, 0, 1)),
        ("real CHECK (c IN (1, 2.5))", (1.0, 2.5)),
        ("text CHECK (c IN (1, 2))", ("1", "2")),
        ("text CHECK (c IN ('a', 'b', 'b')) CHECK (c IN ('b', 'c'))", ("b",)),
        ("text CHECK (c IN ('it''s', 'a;b', 'IN (''x'')'))", ("it's", "a;b", "IN ('x')")),
        ("text CHECK (c NOT IN ('a'))", ()),
        ("text CHECK (lower(c) IN ('a'))", ()),
        ("text CHECK (c = 'a' OR other = 1)", ()),
        ("text CHECK (c = 'a' OR length(c) = 3)", ()),
        ("boolean CHECK (c IN (true))", ()),
    ],
)
def test_listed_labels(declaration: str, labels: tuple) -> None:
    found = domain(declaration)
    assert found.labels == labels
    assert [type(label) for label in found.labels] == [type(label) for label in labels]
    assert (found.kind == "label") == bool(labels)
