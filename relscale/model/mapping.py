"""The arrays of one database in one file, mapped by every process that reads them."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from relscale.platform.errors import DataError

NO_TIME = int(np.iinfo(np.int64).min)
"""Time of a row without one: earlier than every time."""
ALIGNMENT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseArrays:
    """The arrays of one database: N rows ("nodes"), C cells, L links along foreign keys, K columns.

    node_time    int64 [N]    microseconds since 1970, or NO_TIME
    cell_ptr     int64 [N+1]  cells of row i are cell_ptr[i] .. cell_ptr[i+1] - 1
    cell_column  int16 [C]    index into `DatabaseStore.columns`
    cell_bits    int32 [C]    a float32 z-score, or for text the int32 number of the database's string
    parents      int32 [N, W] rows that a row refers to, -1 empty; W >= 1: most foreign keys of a table
    child_ptr    int64 [N+1]  children of db tables, by time (none first), then row
    child_idx    int32 [L]
    own_ptr      int64        per label task, one after another: n_entities + 1 places in own_idx
    own_idx      int32        label rows of an entity, by time, then row
    column_ptr   int64 [K+1]  rows with a value, for the number and boolean columns of db tables
    column_rows  int32
    """

    node_time: np.ndarray
    cell_ptr: np.ndarray
    cell_column: np.ndarray
    cell_bits: np.ndarray
    parents: np.ndarray
    child_ptr: np.ndarray
    child_idx: np.ndarray
    own_ptr: np.ndarray
    own_idx: np.ndarray
    column_ptr: np.ndarray
    column_rows: np.ndarray


def write_arrays(path: Path, arrays: DatabaseArrays) -> dict[str, Any]:
    """Write the arrays into one file; returns name -> [dtype, shape, byte offset] for `map_arrays`."""
    layout: dict[str, Any] = {}
    with path.open("wb") as file:
        for field in fields(arrays):
            array = np.ascontiguousarray(getattr(arrays, field.name))
            file.write(b"\0" * (-file.tell() % ALIGNMENT))
            layout[field.name] = [array.dtype.str, list(array.shape), file.tell()]
            array.tofile(file)
    return layout


def map_arrays(path: Path, layout: dict[str, Any]) -> DatabaseArrays:
    """Map a file that `write_arrays` wrote; DataError if it is missing or shorter than its layout."""
    need = max(at + _n_bytes(dtype, shape) for dtype, shape, at in layout.values())
    if not path.is_file() or path.stat().st_size < need:
        raise DataError(f"'{path}' is missing or cut short; delete its folder and tokenize again.")
    whole = np.memmap(path, mode="r")
    views = {
        name: np.asarray(whole[at : at + _n_bytes(dtype, shape)]).view(dtype).reshape(shape)
        for name, (dtype, shape, at) in layout.items()
    }
    return DatabaseArrays(**views)


def map_array(path: Path) -> np.ndarray:
    """Map a .npy file; DataError if it is missing, cut short or none."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' is missing or cut short; delete its folder and tokenize again.") from error


def _n_bytes(dtype: str, shape: list[int]) -> int:
    return int(np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64))
