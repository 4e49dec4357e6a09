"""Numbers and booleans in texts: separators of thousands, decimal commas, currencies, yes and no."""

import pandas as pd
import pyarrow as pa

TRUTHS = (("true", "false"), ("t", "f"), ("yes", "no"), ("y", "n"), ("1", "0"))

_PLAIN = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
_CODE = r"^[+-]?0\d"
_POINT_THOUSANDS = r"^[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?$"
_COMMA_THOUSANDS = r"^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$"
_COMMA_DECIMAL = r"^[+-]?\d+,\d+$"
_AROUND = r"[$€£¥%\s\u00a0\u202f]"


def parse_booleans(texts: pd.Series) -> pd.Series | None:
    """True, False, or missing where a text is neither word; None unless both words of one pair occur."""
    words = texts.str.lower()
    for true, false in TRUTHS:
        if (words == true).any() and (words == false).any():
            return words.map({true: True, false: False})
    return None


def parse_numbers(texts: pd.Series) -> tuple[pd.Series, str]:
    """Numbers as plain texts (missing where there is none), and a remark on how they were written.

    A code with a leading zero, such as 00501, makes the whole column none of numbers. One column has one way
    of writing: 1,234 is a thousand and more unless another value shows that the comma is decimal.
    """
    bare = texts.str.replace(_AROUND, "", regex=True)
    if bare.str.match(_CODE).any():
        return pd.Series(None, index=texts.index, dtype=object), ""
    remark = "written with currency or per cent signs" if (bare != texts).any() else ""
    point = bare.str.match(_POINT_THOUSANDS) & bare.str.contains(",|\\..*\\.", regex=True)
    decimal = bare.str.match(_COMMA_DECIMAL) & ~bare.str.match(_COMMA_THOUSANDS)
    if point.any() or decimal.any():
        remark = "written with a decimal comma"
        bare = bare.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    elif bare.str.match(_COMMA_THOUSANDS).any():
        remark = "written with commas between thousands"
        bare = bare.where(~bare.str.match(_COMMA_THOUSANDS), bare.str.replace(",", "", regex=False))
    return bare.where(bare.str.match(_PLAIN), None).str.removeprefix("+"), remark


def number_array(texts: pd.Series) -> pa.Array:
    """Plain texts of numbers as int64 where all are whole and fit, else as float64."""
    values = pa.array(texts, pa.large_string(), from_pandas=True)
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:
        return values.cast(pa.float64())
