"""Dates and times in texts, in the forms that people and programs write them."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = (
    r"(?:(?:T|,? +)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:[.,]\d{1,9})?))?"
    r" ?(?P<half>[AaPp])?(?:[Mm])? ?(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?"
)
_DAY, _MONTH, _YEAR = r"(?P<day>\d{1,2})", r"(?P<month>\d{1,2})", r"(?P<year>\d{4})"
_WORD = r"(?P<word>[A-Za-z]{3,9})\.?"

_FORMS = {
    "YYYY-MM-DD": rf"{_YEAR}-{_MONTH}-{_DAY}",
    "YYYY/MM/DD": rf"{_YEAR}/{_MONTH}/{_DAY}",
    "DD.MM.YYYY": rf"{_DAY}\.{_MONTH}\.{_YEAR}",
    "D Mon YYYY": rf"{_DAY}[ -]{_WORD}[ -]{_YEAR}",
    "Mon D, YYYY": rf"{_WORD} {_DAY},? {_YEAR}",
}
_EITHER = rf"(?P<first>\d{{1,2}})(?P<mark>[/-])(?P<then>\d{{1,2}})(?P=mark){_YEAR}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """Moments [n] in UTC, NaT where a text is none; how many texts have each form.

    unclear : a text whose day and month no other value of the column, nor the user, tells apart.
    """

    moments: pd.Series
    forms: dict[str, int]
    unclear: str | None


def parse_dates(texts: pd.Series, day_first: bool | None = None) -> Dates:
    """Read texts (object [n], none missing) form by form; a calendar has no 30 February, nor have these."""
    moments = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[us]")
    forms: dict[str, int] = {}
    for form, pattern in _FORMS.items():
        found = _moments(_parts(texts[moments.isna()], pattern))
        if len(found):
            forms[form] = len(found)
            moments[found.index] = found
    parts = _parts(texts[moments.isna()], _EITHER)
    if not len(parts):
        return Dates(moments=moments, forms=forms, unclear=None)
    first, then = parts["first"].astype(int), parts["then"].astype(int)
    if day_first is None:
        day_first = _day_first(first, then)
    unclear = str(texts[parts.index[0]]) if day_first is None else None
    found = _moments(parts.assign(day=first if day_first else then, month=then if day_first else first))
    moments[found.index] = found
    if len(found):
        forms["DD/MM/YYYY" if day_first else "MM/DD/YYYY"] = len(found)
    return Dates(moments=moments, forms=forms, unclear=unclear)


def _day_first(first: pd.Series, then: pd.Series) -> bool | None:
    """Which of the two is the day, by values above 12; None if none has one, or both have."""
    early, late = bool((first > 12).any()), bool((then > 12).any())
    return None if early == late else early


def _parts(texts: pd.Series, pattern: str) -> pd.DataFrame:
    """The named groups of the texts that match as a whole."""
    parts = texts.astype(object).str.extract(re.compile(f"^{pattern}{_CLOCK}$"))
    return parts[parts["year"].notna()]


def _moments(parts: pd.DataFrame) -> pd.Series:
    """The moments of those parts that are one."""
    if "word" in parts:
        parts = parts.assign(
            month=parts["word"].str[:3].str.lower().map(dict(zip(_MONTHS, range(1, 13), strict=True)))
        )
    names = ["year", "month", "day"]
    calendar = parts[names].apply(pd.to_numeric)
    midnight = pd.to_datetime(calendar, errors="coerce")
    hour, minute = (pd.to_numeric(parts[name]).fillna(0) for name in ("hour", "minute"))
    second = pd.to_numeric(parts["second"].str.replace(",", ".")).fillna(0)
    half = parts["half"].str.lower()
    hour = hour.where(half.isna(), hour % 12 + 12 * (half == "p"))
    micros = np.rint((3600 * hour + 60 * minute + second).to_numpy(np.float64) * 1e6).astype(np.int64)
    moments = midnight.astype("datetime64[us]") + pd.to_timedelta(micros, unit="us") - _offset(parts["zone"])
    return moments[(hour < 24) & (minute < 60) & (second < 60) & midnight.notna()]


def _offset(zone: pd.Series) -> pd.Series:
    """Distance of a text's clock from UTC; none given means UTC."""
    digits = zone.str.extract(r"^([+-])(\d{2}):?(\d{2})?$")
    minutes = 60 * pd.to_numeric(digits[1]).fillna(0) + pd.to_numeric(digits[2]).fillna(0)
    return pd.to_timedelta(minutes.where(digits[0] != "-", -minutes), unit="min")
