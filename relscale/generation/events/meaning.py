"""Meaning: tables and columns get names, units and laws together, from concepts of one domain."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
import yaml

from relscale.generation.domains import make_phrases
from relscale.generation.draws import draw_count, draw_option
from relscale.generation.events.config import EventsConfig, LawName, Naming
from relscale.generation.events.laws import Law
from relscale.generation.events.plan import ColumnPlan, KeyPlan, TablePlan
from relscale.generation.events.style import Style

RESERVED = frozenset((
    "all", "and", "any", "array", "as", "asc", "at", "by", "case", "cast", "check", "column", "columns",
    "default", "desc", "describe", "do", "else", "end", "except", "false", "for", "foreign", "from", "full",
    "group", "having", "in", "index", "inner", "into", "is", "join", "left", "like", "limit", "map", "not",
    "null", "offset", "on", "only", "or", "order", "outer", "primary", "references", "returning", "right",
    "select", "show", "similar", "some", "table", "then", "to", "true", "union", "unique", "using", "user",
    "values", "when", "where", "window", "with",
))  # fmt: skip
"""Words of SQL that no table or column is called, since queries need not quote names."""
HISTORIES = ("count", "sum", "mean", "last")
HISTORY_NAMES = {
    "count": ("number so far", "previous count", "sequence"),
    "sum": ("total so far", "running total", "cumulated"),
    "mean": ("average so far", "mean before", "form"),
    "last": ("last value", "previous value", "before"),
}
TIME_NAMES = {
    "entity": ("created at", "registered at"),
    "event": ("date", "time", "timestamp", "happened at"),
}
KEPT_LETTERS = 4
"""Letters that an abbreviated name keeps of each word."""
PLAIN: dict[LawName, LawName] = {
    "boolean": "boolean",
    "category": "category",
    "text": "category",
    "ordinal": "category",
}
"""Laws that remain with plain columns; all others become normal."""


@functools.cache
def lexicon() -> Mapping[str, Any]:
    """Measures, kinds, domains and roles of the shipped concepts (lexicon.yaml)."""
    text = resources.files("relscale.generation.events").joinpath("lexicon.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded


@functools.cache
def _lexicon_laws() -> Counter[str]:
    """Measures by law: columns without a meaning have the same mix."""
    return Counter(entry["law"] for entry in lexicon()["measures"].values())


@functools.cache
def _measures_by_name() -> Mapping[str, Mapping[str, Any]]:
    entries = lexicon()["measures"].values()
    return {wording.replace(" ", ""): entry for entry in entries for wording in entry["names"]}


def entry_named(name: str) -> Mapping[str, Any] | None:
    """What the lexicon says of a column so called, written plain, camel or upper; or None."""
    return _measures_by_name().get(name.lower().replace("_", ""))


def name_tables(
    tables: Sequence[TablePlan], config: EventsConfig, style: Style, *, rng: np.random.Generator
) -> list[TablePlan]:
    """Give names, columns and laws to tables that have none.

    With meaning, each table is a concept of the database's domain that fits its kind, its columns are
    measures of that concept, and a key is called after the table it leads to. Without it names say nothing.
    """
    if not config.meaning.enabled:
        return [_nameless(table, number, tables, config, style, rng) for number, table in enumerate(tables)]
    naming = draw_option(config.meaning.namings, rng=rng)
    domain = lexicon()["domains"][draw_option(sorted(lexicon()["domains"]), rng=rng)]
    taken: dict[str, str] = {}
    concepts = [_concept(table, domain, taken, rng) for table in tables]
    words = [taken[concept[0]] for concept in concepts]
    used: set[str] = set()
    named = []
    for number, table in enumerate(tables):
        name = _unused(written(words[number], naming, rng=rng, of_table=True, number=number), used)
        used.add(name)
        full = _named(
            replace(table, name=name), number, words, concepts[number][1], naming, config, style, rng
        )
        named.append(full)
    return named


def _concept(
    table: TablePlan, domain: Mapping[str, Any], taken: dict[str, str], rng: np.random.Generator
) -> tuple[str, Sequence[str]]:
    """A key of `taken`, under which the table's wording stands, and the concept's measures."""
    concepts = domain[table.kind]
    free = [name for name in concepts if f"{table.kind} {name}" not in taken]
    name = draw_option(free or sorted(concepts), rng=rng)
    used = set(taken.values())
    wordings = [wording for wording in concepts[name]["names"] if wording not in used]
    key = f"{table.kind} {name}"
    while key in taken:
        key += "+"
    wording = draw_option(wordings, rng=rng) if wordings else f"{concepts[name]['names'][0]} {len(used)}"
    taken[key] = wording
    return key, concepts[name]["measures"]


def _named(
    table: TablePlan,
    number: int,
    words: Sequence[str],
    measures: Sequence[str],
    naming: Naming,
    config: EventsConfig,
    style: Style,
    rng: np.random.Generator,
) -> TablePlan:
    used: set[str] = set()

    def named(wording: str) -> str:
        name = _unused(written(wording, naming, rng=rng), used)
        used.add(name)
        return name

    pkey = named(draw_option(("id", f"{words[number]} id"), rng=rng))
    keys: list[KeyPlan] = []
    for key in table.keys:
        same = [other for other in table.keys[: len(keys)] if other.parent == key.parent]
        wording = words[key.parent]
        if key.role == "self":
            wording = draw_option(lexicon()["roles"]["self"], rng=rng)
        elif same:
            wording = draw_option(lexicon()["roles"]["twin"], rng=rng)
        keys.append(replace(key, name=named(f"{wording} id")))
    time_col = table.time_col and named(
        draw_option(TIME_NAMES["event" if table.is_event else "entity"], rng=rng)
    )
    known = lexicon()["measures"]
    fitting = [m for m in dict.fromkeys([*measures, *lexicon()["kinds"][table.kind]]) if m in known]
    others = [m for m in known if m not in fitting]
    order = [*rng.permutation(fitting).tolist(), *rng.permutation(others).tolist()]
    columns = []
    for measure in order[: table.n_columns]:
        entry = known[measure]
        law = law_of(entry, config, style, rng=rng)
        columns.append(ColumnPlan(name=named(draw_option(entry["names"], rng=rng)), law=law))
    columns = _with_histories(table, columns, named, config, rng)
    return replace(
        table,
        pkey=pkey,
        keys=tuple(keys),
        time_col=time_col,
        columns=tuple(columns),
    )


def _nameless(
    table: TablePlan,
    number: int,
    tables: Sequence[TablePlan],
    config: EventsConfig,
    style: Style,
    rng: np.random.Generator,
) -> TablePlan:
    kinds = config.columns.laws
    odds = np.array([_lexicon_laws()[kind] + 1 for kind in kinds], float)
    columns = []
    for place in range(table.n_columns):
        entry = plain_entry(kinds[int(rng.choice(len(odds), p=odds / odds.sum()))], config, rng=rng)
        columns.append(ColumnPlan(name=f"feature_{place}", law=law_of(entry, config, style, rng=rng)))
    columns = _with_histories(table, columns, lambda wording: f"feature_{len(columns)}", config, rng)
    keys = tuple(_key(key, place) for place, key in enumerate(table.keys))
    return replace(table, name=f"table_{number}", keys=keys, columns=tuple(columns))


def _key(key: KeyPlan, place: int) -> KeyPlan:
    return replace(key, name=f"key_{place}")


def _with_histories(
    table: TablePlan, columns: list[ColumnPlan], named: Any, config: EventsConfig, rng: np.random.Generator
) -> list[ColumnPlan]:
    """Let some columns of an event tell of the entity's earlier events instead."""
    if table.main is None or table.kind == "link" or not config.columns.enabled:
        return columns
    result = list(columns)
    for place in range(1, len(columns)):
        if rng.random() < config.columns.history_prob:
            kind = draw_option(HISTORIES, rng=rng)
            name = (
                named(draw_option(HISTORY_NAMES[kind], rng=rng))
                if config.meaning.enabled
                else columns[place].name
            )
            result[place] = ColumnPlan(name=name, law=Law(kind="normal"), history=kind)
    return result


def plain_entry(kind: LawName, config: EventsConfig, *, rng: np.random.Generator) -> dict[str, Any]:
    """A law as the lexicon would state it, with invented labels, for a column without meaning."""
    entry: dict[str, Any] = {"law": kind, **_PLAIN_RANGES.get(kind, {})}
    if kind in ("category", "text"):
        count = draw_count(config.columns.classes, rng=rng)
        phrases = make_phrases(3 * count if kind == "text" else count, None, rng=rng).tolist()
        if kind == "text":
            entry["topics"] = [phrases[3 * k : 3 * k + 3] for k in range(count)]
        else:
            entry["labels"] = phrases
    elif kind == "ordinal":
        entry["classes"] = config.columns.classes
    elif kind == "count":
        entry["decimals"] = 0
    return entry


_PLAIN_RANGES: dict[LawName, dict[str, Any]] = {
    "normal": {"location": (-100, 100), "scale": (0.1, 100)},
    "lognormal": {"location": (-1, 8), "scale": (0.2, 1.5)},
    "pareto": {"location": (0, 8), "shape": (0.8, 3)},
    "zero_inflated": {"location": (0, 5), "scale": (0.3, 1.5), "shape": (0.1, 0.8)},
    "percentage": {"location": (-3, 3), "scale": (0.3, 1.5)},
    "count": {"location": (0.3, 60), "scale": (0.4, 5)},
    "boolean": {"share": (0.05, 0.95)},
    "moment": {"location": (1, 8), "scale": (0.3, 1.2)},
    "identifier": {"location": (0, 1000), "scale": (2000, 999_999)},
}


def law_of(
    entry: Mapping[str, Any],
    config: EventsConfig,
    style: Style,
    *,
    rng: np.random.Generator,
    all_classes: bool = False,
) -> Law:
    """Draw a law from the ranges of an entry of the lexicon.

    all_classes : every label of the entry is a class, not some of them.

    Classes are as uneven as a Dirichlet law makes them whose parameter the database's style gives. Where
    columns are plain, numbers are normal and classes even.
    """
    kind: LawName = entry["law"]
    enabled = config.columns.enabled
    if not enabled:
        kind = PLAIN.get(kind, "normal")
    labels, shares = _classes(entry, kind, config, style, rng, all_classes)
    if not enabled and kind == "normal":
        return Law(kind="normal")

    def number(name: str, default: float) -> float:
        bounds = entry.get(name)
        return default if bounds is None else float(rng.uniform(*bounds))

    return Law(
        kind=kind,
        location=number("location", 0.0),
        scale=number("scale", 1.0),
        shape=number("shape", 1.0),
        low=entry.get("low"),
        high=entry.get("high"),
        decimals=entry.get("decimals"),
        shares=(number("share", 0.5) if enabled else 0.5,) if kind == "boolean" else shares,
        labels=labels,
    )


def _classes(
    entry: Mapping[str, Any],
    kind: LawName,
    config: EventsConfig,
    style: Style,
    rng: np.random.Generator,
    all_classes: bool,
) -> tuple[tuple[tuple[str, ...], ...], tuple[float, ...]]:
    """Labels and probabilities of the classes; both empty for numbers."""
    if kind not in ("category", "text", "ordinal"):
        return (), ()
    options = [[text] for text in entry.get("labels", ())] or list(entry.get("topics", ()))
    if not options and "classes" in entry:
        count = draw_count(tuple(entry["classes"]), rng=rng)
        options = [[str(k + 1)] for k in range(count)] if kind == "category" else []
    elif kind != "ordinal" and len(options) > 2 and not all_classes:
        most = min(len(options), config.columns.classes[1])
        count = draw_count((min(config.columns.classes[0], most), most), rng=rng)
        options = [options[i] for i in sorted(rng.choice(len(options), count, replace=False))]
        count = len(options)
    else:
        count = len(options)
    if not config.columns.enabled or entry.get("uneven") is False:
        shares = np.full(count, 1 / count)
    else:
        shares = rng.dirichlet(np.full(count, float(style.draw("evenness", (0.5, 5.0), rng=rng))))
        shares = (shares + 0.01) / (1 + 0.01 * count)
    return tuple(tuple(texts) for texts in options), tuple(shares.tolist())


def written(
    wording: str, naming: Naming, *, rng: np.random.Generator, of_table: bool = False, number: int = 0
) -> str:
    """A wording as a database writes it: letters, digits and underscores, the first one a letter."""
    words = wording.lower().split()
    match naming:
        case "abbreviated":
            return "_".join(word[:KEPT_LETTERS] for word in words)
        case "camel":
            return words[0] + "".join(word.capitalize() for word in words[1:])
        case "upper":
            return "_".join(words).upper()
        case "meaningless":
            return (
                f"t{number}" if of_table else f"{'k' if words[-1] == 'id' else 'c'}{rng.integers(100, 1000)}"
            )
        case "plural":
            return _plural("_".join(words)) if of_table else "_".join(words)
    return "_".join(words)


def _plural(name: str) -> str:
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")


def _unused(name: str, used: set[str]) -> str:
    taken = {other.lower() for other in used} | RESERVED
    candidate, number = name, 2
    while candidate.lower() in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate
