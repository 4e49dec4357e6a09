"""What SQL declares about the values of a column: its type, and simple CHECK conditions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain

from sqlglot import exp

from relscale.generation.domains import Domain, Label

INTEGER_LIMITS = {
    "TINYINT": 2**7 - 1,
    "SMALLINT": 2**15 - 1,
    "MEDIUMINT": 2**23 - 1,
    "INT": 2**31 - 1,
    "BIGINT": 2**53,
    "INT128": 2**53,
    "INT256": 2**53,
    "SERIAL": 2**31 - 1,
    "BIGSERIAL": 2**53,
    "SMALLSERIAL": 2**15 - 1,
}
UNSIGNED_LIMITS = {
    "UTINYINT": 2**8 - 1,
    "USMALLINT": 2**16 - 1,
    "UMEDIUMINT": 2**24 - 1,
    "UINT": 2**32 - 1,
    "UBIGINT": 2**53,
}
FLOATS = {"FLOAT", "DOUBLE", "UDOUBLE"}
DECIMALS = {"DECIMAL", "DECIMAL32", "DECIMAL64", "DECIMAL128", "DECIMAL256", "BIGDECIMAL", "UDECIMAL"}
MONEY = {"MONEY", "SMALLMONEY"}
ENUMS = {"ENUM", "ENUM8", "ENUM16", "SET"}
LETTERS = {"CHAR", "NCHAR", "BPCHAR", "VARCHAR", "NVARCHAR"}
FIXED = {
    "DATE": Domain(kind="date"),
    "DATE32": Domain(kind="date"),
    "TIME": Domain(kind="integer", decimals=0, low=0, high=86_399),
    "TIMETZ": Domain(kind="integer", decimals=0, low=0, high=86_399),
    "INTERVAL": Domain(kind="integer", decimals=0, low=0),
    "YEAR": Domain(kind="integer", decimals=0, low=1901, high=2155),
    "BOOLEAN": Domain(kind="boolean"),
}
STRICT_STEP = 1e-6
"""How far below or above the bound a number without fixed decimals stays where < or > is declared."""


class UnknownType(ValueError):
    """A type that neither SQL nor the file defines."""


def read_type(kind: exp.DataType | None, enums: Mapping[str, tuple[str, ...]]) -> Domain:
    """The values that a declared type allows.

    Integers (also serial), decimals (money has two digits), floating-point numbers, booleans (also BIT and
    TINYINT(1)), dates, timestamps, enumerations (a SET shows one label at a time) and years are what they
    say. A time of day is seconds since midnight, an interval seconds. All else is text: CHAR and its like,
    JSON, UUID, BLOB, arrays, and a column of SQLite without a type.

    Parameters
    ----------
    enums : labels of the file's own types, by name in lower case.
    """
    if kind is None:
        return Domain(kind="text")
    name = kind.this.name if isinstance(kind.this, exp.DType) else str(kind.this).upper()
    sizes = _sizes(kind)
    if name == "USERDEFINED":
        own = kind.args["kind"]
        plain = (own.name if isinstance(own, exp.Expr) else str(own).rpartition(".")[2]).lower()
        if plain not in enums:
            raise UnknownType(f"unknown type '{plain}'")
        return Domain(kind="label", labels=enums[plain])
    if name in ENUMS and kind.expressions:
        return Domain(kind="label", labels=tuple(label.name for label in kind.expressions))
    if name == "BIT" or (name == "TINYINT" and sizes == [1]):
        bits = sizes[0] if name == "BIT" and sizes else 1
        return Domain(kind="boolean") if bits == 1 else _integer(2 ** min(bits, 53) - 1, low=0)
    if name in INTEGER_LIMITS:
        return _integer(INTEGER_LIMITS[name])
    if name in UNSIGNED_LIMITS:
        return _integer(UNSIGNED_LIMITS[name], low=0)
    if name in DECIMALS and sizes:
        return _decimal(sizes[0], sizes[1] if len(sizes) > 1 else 0)
    if name in MONEY:
        return Domain(kind="real", decimals=2)
    if name in FLOATS | DECIMALS:
        return Domain(kind="real")
    if name.startswith(("TIMESTAMP", "DATETIME", "SMALLDATETIME")):
        return Domain(kind="timestamp")
    if name in LETTERS and sizes:
        return Domain(kind="text", length=max(1, sizes[0]))
    return FIXED.get(name, Domain(kind="text"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A CHECK condition on one column: listed labels, or a bound that is part of the range or not."""

    column: str
    labels: tuple[Label, ...] | None = None
    low: float = -math.inf
    high: float = math.inf
    is_open: bool = False

    def narrow(self, domain: Domain) -> Domain:
        """The domain under this condition; ValueError if nothing is left."""
        if self.labels is not None:
            return _with_labels(domain, self.labels)
        if domain.kind not in ("integer", "real"):
            return domain
        step = 10.0**-domain.decimals if domain.decimals is not None else 0.0
        low = max(-math.inf if domain.low is None else domain.low, self._inside(self.low, step))
        high = min(math.inf if domain.high is None else domain.high, -self._inside(-self.high, step))
        if low > high:
            raise ValueError("its CHECK conditions leave no value")
        return replace(domain, low=None if low == -math.inf else low, high=None if high == math.inf else high)

    def _inside(self, low: float, step: float) -> float:
        """The least allowed multiple of the step from `low` on."""
        if not math.isfinite(low):
            return low
        if not step:
            return low + STRICT_STEP * max(1.0, abs(low)) if self.is_open else low
        digits = max(0, round(-math.log10(step)))
        first = round(math.ceil(round(low / step, 6)) * step, digits)
        return round(first + step, digits) if self.is_open and first <= low else first


def read_check(condition: exp.Expr) -> list[Rule]:
    """The rules that follow from a CHECK condition; what is not simple gives none.

    Understood are IN and = ANY (ARRAY[...]), BETWEEN, comparisons with a number, AND, and OR of labels or
    IS NULL.
    """
    e = _bare(condition)
    match e:
        case exp.And():
            return [*read_check(e.left), *read_check(e.right)]
        case exp.Or():
            return _either(e)
        case exp.In() if not e.args.get("query"):
            return _labels(e.this, e.expressions)
        case exp.EQ():
            right = _bare(e.expression)
            if isinstance(right, exp.Any):
                right = _bare(right.this)
            return _labels(e.this, right.expressions if isinstance(right, exp.Array) else [right])
        case exp.Between():
            lows = _bound(e.this, e.args["low"], is_low=True, is_open=False)
            return lows + _bound(e.this, e.args["high"], is_low=False, is_open=False)
        case exp.GTE() | exp.GT() | exp.LTE() | exp.LT():
            is_low, is_open = isinstance(e, exp.GTE | exp.GT), isinstance(e, exp.GT | exp.LT)
            straight = _bound(e.left, e.right, is_low=is_low, is_open=is_open)
            return straight or _bound(e.right, e.left, is_low=not is_low, is_open=is_open)
    return []


def _with_labels(domain: Domain, labels: tuple[Label, ...]) -> Domain:
    if domain.kind == "boolean":
        return domain
    numeric = domain.kind in ("integer", "real") and not any(isinstance(label, str) for label in labels)
    if domain.kind == "label":
        labels = tuple(label for label in domain.labels if label in labels)
    elif numeric:
        number = int if domain.kind == "integer" else float
        labels = tuple(number(label) for label in labels)
    else:
        labels = tuple(str(label) for label in labels)
    if not labels:
        raise ValueError("its CHECK conditions leave no value")
    return Domain(kind="label", labels=tuple(dict.fromkeys(labels)), nullable=domain.nullable)


def _either(e: exp.Or) -> list[Rule]:
    parts = [part for part in (_bare(p) for p in e.flatten()) if not _is_null_test(part)]
    rules = [read_check(part) for part in parts]
    if any(len(found) != 1 or found[0].labels is None for found in rules):
        return []
    columns = {found[0].column for found in rules}
    if len(columns) != 1:
        return []
    return [Rule(column=columns.pop(), labels=tuple(chain(*(found[0].labels or () for found in rules))))]


def _is_null_test(e: exp.Expr) -> bool:
    return isinstance(e, exp.Is) and isinstance(e.expression, exp.Null)


def _labels(column: exp.Expr, values: list[exp.Expr]) -> list[Rule]:
    column = _bare(column)
    labels = [_literal(value) for value in values if not isinstance(_bare(value), exp.Null)]
    if not isinstance(column, exp.Column) or not labels or None in labels:
        return []
    return [Rule(column=column.name.lower(), labels=tuple(x for x in labels if x is not None))]


def _bound(column: exp.Expr, value: exp.Expr, *, is_low: bool, is_open: bool) -> list[Rule]:
    column, number = _bare(column), _literal(value)
    if not isinstance(column, exp.Column) or number is None or isinstance(number, str):
        return []
    if is_low:
        return [Rule(column=column.name.lower(), low=number, is_open=is_open)]
    return [Rule(column=column.name.lower(), high=number, is_open=is_open)]


def _literal(e: exp.Expr) -> Label | None:
    e = _bare(e)
    if isinstance(e, exp.Neg):
        inner = _literal(e.this)
        return None if inner is None or isinstance(inner, str) else -inner
    if isinstance(e, exp.National):
        return str(e.this)
    if not isinstance(e, exp.Literal):
        return None
    if e.is_string:
        return str(e.this)
    number = float(e.this)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and e.this.isdigit() else number


def _bare(e: exp.Expr) -> exp.Expr:
    """Without parentheses and casts, which pg_dump writes around everything."""
    while isinstance(e, exp.Paren | exp.Cast):
        e = e.this
    return e


def _integer(limit: int, low: int | None = None) -> Domain:
    # A range as small as a byte's is used whole, as a declared one is.
    if limit <= 2**8:
        return Domain(kind="integer", decimals=0, limit=limit, low=-limit if low is None else low, high=limit)
    return Domain(kind="integer", decimals=0, limit=limit, low=low)


def _decimal(digits: int, decimals: int) -> Domain:
    limit = min(10.0 ** (digits - decimals) - 10.0**-decimals, 1e9)
    if decimals <= 0:
        return Domain(kind="integer", decimals=0, limit=limit)
    return Domain(kind="real", decimals=decimals, limit=limit)


def _sizes(kind: exp.DataType) -> list[int]:
    """The numbers in brackets behind a type."""
    texts = [parameter.name for parameter in kind.expressions]
    return [int(text) for text in texts if text.isdigit()]
