"""Meaning: names belong together, are plain identifiers, and tell what a column holds."""

import re
from collections import Counter, defaultdict

import pyarrow as pa
import pytest

from relscale.generation.events.config import WHOLE, MeaningPrior
from relscale.generation.events.database import generate_events
from relscale.generation.events.laws import Law
from relscale.generation.events.meaning import RESERVED, law_of, lexicon, written

SMALL = WHOLE.replace(rows_entity=(40, 80), rows_activity=(150, 300))
PLAIN = SMALL.replace(meaning=MeaningPrior(namings=("plain",)))
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def test_the_lexicon_is_whole():
    known = lexicon()
    for domain, kinds in known["domains"].items():
        assert set(kinds) == {"lookup", "entity", "event", "detail", "link"}, domain
        for concepts in kinds.values():
            for concept in concepts.values():
                assert set(concept["measures"]) <= set(known["measures"]), concept
    for measures in known["kinds"].values():
        assert set(measures) <= set(known["measures"])


@pytest.mark.parametrize("measure", sorted(lexicon()["measures"]))
def test_every_measure_has_a_law(measure, rng):
    entry = lexicon()["measures"][measure]
    config = WHOLE
    from relscale.generation.events.style import Style

    law = law_of(entry, config, Style(config.style, rng=rng), rng=rng)
    assert isinstance(law, Law)
    if law.kind in ("category", "text"):
        assert len(law.labels) == len(law.shares) >= 2
    if law.kind in ("category", "text", "ordinal"):
        assert sum(law.shares) == pytest.approx(1, abs=1e-6) and min(law.shares) > 0


def test_names_are_identifiers_and_different():
    styles = Counter()
    for seed in range(60):
        database = generate_events(seed, SMALL)
        names = list(database.tables)
        assert len({name.lower() for name in names}) == len(names)
        for table in database.tables.values():
            columns = table.data.column_names
            assert len({column.lower() for column in columns}) == len(columns)
            for name in [table.name, *columns]:
                assert NAME.fullmatch(name) and name.lower() not in RESERVED, name
        styles["camel" if any(n != n.lower() and n != n.upper() for n in names) else names[0].isupper()] += 1
    assert len(styles) >= 3, "databases write their names in several ways"


def test_a_name_tells_the_type_of_its_column():
    kinds = defaultdict(Counter)
    tried = hit = chance = 0
    overall = Counter()
    for seed in range(80):
        for table in generate_events(seed, PLAIN).tables.values():
            for column in table.features():
                name = re.sub(r"_\d+$", "", column)
                kind = str(table.data[column].type)
                if seed >= 40 and name in kinds:
                    tried += 1
                    hit += kinds[name].most_common(1)[0][0] == kind
                    chance += overall.most_common(1)[0][0] == kind
                elif seed < 40:
                    kinds[name][kind] += 1
                    overall[kind] += 1
    assert tried > 300 and hit / tried > 0.9 > 0.6 > chance / tried


def test_names_say_nothing_without_meaning():
    off = SMALL.replace(meaning=MeaningPrior(enabled=False))
    database = generate_events(3, off)
    for number, table in enumerate(database.tables.values()):
        assert table.name == f"table_{number}"
        assert all(re.fullmatch(r"feature_\d+", column) for column in table.features())
    shapes = [
        [(len(t.fkeys), t.data.num_rows) for t in generate_events(3, config).tables.values()]
        for config in (SMALL, off)
    ]
    assert shapes[0] == shapes[1], "tables, keys and rows are the same"


@pytest.mark.parametrize(
    ("naming", "expected"),
    [
        ("plain", "order_lines"), ("plural", "order_lines"), ("abbreviated", "orde_line"),
        ("camel", "orderLines"), ("upper", "ORDER_LINES"), ("meaningless", "t4"),
    ],
)  # fmt: skip
def test_ways_of_writing(naming, expected, rng):
    wording = "order line" if naming == "plural" else "order lines"
    assert written(wording, naming, rng=rng, of_table=True, number=4) == expected


def test_labels_are_words():
    texts = set()
    for seed in range(20):
        for table in generate_events(seed, PLAIN).tables.values():
            for column in table.features():
                if pa.types.is_string(table.data[column].type):
                    texts |= set(table.data[column].drop_null().unique().to_pylist())
    assert {"web", "arrived too late", "north", "basic"} & texts and len(texts) < 500
