"""Keys of any type, single or composite, to row numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from relscale.imports.raw import RawKey, RawTable
from relscale.platform.errors import DataError

EMPTY = ("", "NULL", "null", "\\N")
"""Texts that stand for no value in any column; `\\N` is MySQL's and PostgreSQL's."""

_BETWEEN = "\x1f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The row that every row refers to by one foreign key.

    rows : int64 [n], rows of the parent in the order of the source; -1 for none.
    n_null, n_dangling : rows without a key, and with one that the parent lacks; `examples` of these.
    """

    key: RawKey
    rows: np.ndarray
    n_null: int
    n_dangling: int
    examples: tuple[str, ...]


def key_texts(table: RawTable, columns: Sequence[str]) -> pd.Series:
    """One text per row and key, object [n], missing where any part is; 7, 7.0 and "7" are the same."""
    parts = [_part(table.data[column]) for column in columns]
    if len(parts) == 1:
        return parts[0]
    whole = pd.concat(parts, axis=1).notna().all(axis=1)
    joined = parts[0].str.cat(parts[1:], sep=_BETWEEN)
    return joined.where(whole, None)


def _part(column: pa.ChunkedArray) -> pd.Series:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = pc.cast(column, kind.value_type)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        column = pa.chunked_array(
            [pa.array([v.hex() if v is not None else None for v in column.to_pylist()], pa.large_string())]
        )
    elif pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    values = pd.Series(pc.cast(column, pa.large_string()).to_pandas().astype(object))
    values = values.where(values.notna(), None).str.strip()
    # Whole numbers become "7.0" where a program had to store missing ones among them.
    return values.str.replace(r"^(-?\d+)\.0*$", r"\1", regex=True).where(~values.isin(EMPTY), None)


def unique_keys(table: RawTable, columns: Sequence[str]) -> pd.Index:
    """The keys of all rows; DataError names the first row without one, or with that of an earlier row."""
    keys = key_texts(table, columns)
    name = ", ".join(columns)
    if keys.isna().any():
        row = int(np.argmax(keys.isna().to_numpy()))
        raise DataError(f"table '{table.name}': the primary key '{name}' is empty in row {row + 1}; fill it.")
    again = keys.duplicated().to_numpy()
    if again.any():
        row = int(np.argmax(again))
        first = int(np.argmax((keys == keys[row]).to_numpy()))
        raise DataError(
            f"table '{table.name}': the key '{name}' is {shown(keys[row])} in row {first + 1} and again in "
            f"row {row + 1}; name columns that tell rows apart."
        )
    return pd.Index(keys)


def link(table: RawTable, key: RawKey, parents: pd.Index) -> Link:
    """Look a foreign key up in its parent's keys; DataError if not one is found there."""
    keys = key_texts(table, key.columns)
    rows = parents.get_indexer(pd.Index(keys)).astype(np.int64)
    given = keys.notna().to_numpy()
    dangling = np.flatnonzero(given & (rows < 0))
    if len(dangling) and len(dangling) == given.sum():
        raise DataError(
            f"table '{table.name}': no '{', '.join(key.columns)}' is a '{', '.join(key.parent_columns)}' "
            f"of table '{key.parent}' (row {dangling[0] + 1} has {shown(keys[dangling[0]])}); name another."
        )
    return Link(
        key=key,
        rows=np.where(given, rows, -1),
        n_null=int((~given).sum()),
        n_dangling=len(dangling),
        examples=tuple(f"row {row + 1}: {shown(keys[row])}" for row in dangling[:3]),
    )


def shown(key: str) -> str:
    """A key in a message."""
    return "'" + key.replace(_BETWEEN, "', '") + "'"
