"""Tables as a source has them, before anything is read into their values."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from relscale.platform.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class RawKey:
    """A foreign key; no `parent_columns` means the parent's primary key."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTable:
    """Rows in the order of the source, with its names and keys.

    primary_key : empty where rows have none.
    """

    name: str
    data: pa.Table
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[RawKey, ...] = ()


def is_text(value: bytes) -> bool:
    """Whether bytes are UTF-8."""
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def unknown_name(where: str, kind: str, name: str, valid: Iterable[str]) -> ConfigError:
    """A wrong name, as the sentence that offers the nearest right one."""
    known = list(valid)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    remedy = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known) or 'none'}."
    return ConfigError(f"{where} has no {kind} '{name}'; {remedy}")


def check_rows(tables: Iterable[RawTable]) -> None:
    """DataError names a table without rows."""
    for table in tables:
        if table.data.num_rows == 0:
            raise DataError(
                f"table '{table.name}' has no rows; fill it, or name it in 'leave_out' of the import's file."
            )
