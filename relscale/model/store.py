"""Token store: databases as memory-mapped arrays of typed cells and links, plus one text table.

    STORE/store.json                    written last: format, text encoder, databases in order
    STORE/databases/<name>/meta.json    tables, columns, tasks, places of the arrays
    STORE/databases/<name>/arrays.bin   the arrays of `DatabaseArrays`, one after another
    STORE/databases/<name>/strings.parquet   the database's distinct strings, sorted
    STORE/text/<digest>/                strings.parquet (distinct strings of all databases, sorted),
                                        embeddings.npy float16 [n_strings, d_text],
                                        rows.npy int32 (each database's strings as rows of that table)

One file per database and a bounded number of open ones keep a store of a thousand databases within the
usual limit of open files.
"""

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from relscale.model.context import SemType
from relscale.model.tasks import TaskSpec
from relscale.platform.errors import DataError, ResumeError
from relscale.platform.storage import read_json

FORMAT = 1
NO_TIME = int(np.iinfo(np.int64).min)
"""Time of a row without one: earlier than every time."""
MAX_OPEN = 256
"""Databases of a store that are mapped at once."""
ALIGNMENT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnInfo:
    """One column that gives cells.

    text_row   row of the text table that holds "<column> of <table>"
    mean, std  of the raw values (datetimes: microseconds); a stored value is (raw - mean) / std
    n_cells    non-null values
    is_task    the column belongs to a task's label files
    trainable  a number or boolean feature column with at least two different values
    """

    table: str
    name: str
    sem_type: SemType
    text_row: int
    mean: float
    std: float
    n_cells: int
    is_task: bool
    trainable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TableInfo:
    """Rows offset .. offset + n_rows - 1 of a database; `kind` is "db", "train", "val" or "test"."""

    name: str
    kind: str
    offset: int
    n_rows: int
    time_col: str | None


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
            file.write(array.tobytes())
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


def _n_bytes(dtype: str, shape: list[int]) -> int:
    return int(np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64))


class DatabaseStore:
    """One database of a token store: its description, and its arrays on demand."""

    def __init__(self, folder: Path, text_rows: np.ndarray, owner: "TokenStore") -> None:
        meta = read_json(folder / "meta.json")
        self.folder = folder
        self.name: str = meta["name"]
        self.text_rows = text_rows
        """int32 [n_local_strings]: the database's strings as rows of the store's text table."""
        self.val_timestamp: int = meta["val_timestamp"]
        self.test_timestamp: int = meta["test_timestamp"]
        """Split times, in microseconds since 1970."""
        self.columns = tuple(_column(column, text_rows) for column in meta["columns"])
        self.tables = tuple(TableInfo(**table) for table in meta["tables"])
        self.tasks = tuple(_task(task) for task in meta["tasks"])
        self.skipped_tasks: dict[str, str] = meta["skipped_tasks"]
        self.n_nodes: int = meta["arrays"]["node_time"][1][0]
        self.n_cells: int = meta["arrays"]["cell_bits"][1][0]
        self._layout = meta["arrays"]
        self._owner = owner

    @property
    def arrays(self) -> DatabaseArrays:
        """The mapped arrays (read only); kept open while the database is among the last used."""
        return self._owner.opened(self)

    def map_arrays(self) -> DatabaseArrays:
        """Map the arrays anew."""
        return map_arrays(self.folder / "arrays.bin", self._layout)

    def table(self, name: str, kind: str = "db") -> TableInfo:
        """The rows of a db table, or of one split of a task."""
        for table in self.tables:
            if (table.name, table.kind) == (name, kind):
                return table
        names = ", ".join(f"{table.name} ({table.kind})" for table in self.tables)
        raise DataError(f"database '{self.name}' has no table '{name}' ({kind}); it has: {names}.")

    def task(self, name: str) -> TaskSpec:
        """The task of that name; DataError lists those there are, with the reason for a skipped one."""
        for task in self.tasks:
            if task.name == name:
                return task
        if name in self.skipped_tasks:
            raise DataError(f"task '{name}' of database '{self.name}': {self.skipped_tasks[name]}.")
        known = ", ".join(task.name for task in self.tasks) or "none"
        raise DataError(f"database '{self.name}' has no task '{name}'; it has: {known}.")

    def column_index(self, table: str, name: str) -> int:
        """Place in `columns` of a column of a db table or a task."""
        try:
            return self.column_numbers[table, name]
        except KeyError:
            raise DataError(f"database '{self.name}' has no cells of column '{name}' of '{table}'.") from None

    @cached_property
    def column_numbers(self) -> dict[tuple[str, str], int]:
        """(table, column) -> place in `columns`."""
        return {(column.table, column.name): i for i, column in enumerate(self.columns)}


class TokenStore:
    """A folder of tokenized databases; build one with `tokenize_folders`, read one with `open`."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.names: tuple[str, ...] = tuple(entry["name"] for entry in manifest["databases"])
        self.digests: tuple[str, ...] = tuple(entry["digest"] for entry in manifest["databases"])
        """SHA-256 of each database's source, in the order of `names`."""
        self.text_encoder: dict[str, str] = manifest["encoder"]
        """Its name and fingerprint."""
        self.fingerprint = store_fingerprint(manifest)
        """Changes with the databases' content, their order, the encoder and the format."""
        self._text = path / "text" / self.fingerprint
        starts = np.cumsum([0] + [entry["n_strings"] for entry in manifest["databases"]])
        self._strings = {name: (starts[i], starts[i + 1]) for i, name in enumerate(self.names)}
        self._databases: dict[str, DatabaseStore] = {}
        self._open: OrderedDict[str, DatabaseArrays] = OrderedDict()

    @classmethod
    def open(cls, path: Path | str) -> "TokenStore":
        """Open a finished store.

        Raises
        ------
        DataError : no finished store at `path`. ResumeError : written in another format.
        """
        path = Path(path)
        if not (path / "store.json").is_file():
            raise DataError(
                f"'{path}' is not a finished token store (no store.json); run `relscale tokenize`."
            )
        manifest = read_json(path / "store.json")
        check_format(path, manifest)
        return cls(path, manifest)

    def database(self, name: str) -> DatabaseStore:
        """One database, described at once and mapped when its arrays are first used."""
        if name not in self._strings:
            first_names = ", ".join(self.names[:5])
            raise DataError(
                f"store '{self.path}' has no database '{name}'; of its {len(self.names)} the first are: "
                f"{first_names}."
            )
        if name not in self._databases:
            first, end = self._strings[name]
            folder = self.path / "databases" / name
            self._databases[name] = DatabaseStore(folder, self._text_rows[first:end], self)
        return self._databases[name]

    def opened(self, database: DatabaseStore) -> DatabaseArrays:
        """The arrays of a database, mapped now or still; the longest unused of many is let go."""
        arrays = self._open.pop(database.name, None) or database.map_arrays()
        self._open[database.name] = arrays
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
        return arrays

    @cached_property
    def embeddings(self) -> np.ndarray:
        """float16 [n_strings, d_text], mapped: the vector of every column name and text."""
        return np.load(self._text / "embeddings.npy", mmap_mode="r")

    @cached_property
    def strings(self) -> list[str]:
        """The text table itself, read whole: string of every row of `embeddings`."""
        import pyarrow.parquet as pq

        return pq.read_table(self._text / "strings.parquet")["string"].to_pylist()

    @cached_property
    def _text_rows(self) -> np.ndarray:
        return np.load(self._text / "rows.npy")


def store_fingerprint(manifest: dict[str, Any]) -> str:
    """16 hexadecimal digits over the content that `store.json` describes."""
    encoder = manifest["encoder"]["fingerprint"]
    databases = [[entry["name"], entry["digest"]] for entry in manifest["databases"]]
    content = json.dumps([manifest["format"], encoder, databases])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def check_format(path: Path, manifest: dict[str, Any]) -> None:
    """ResumeError if a store or a database of one was written in another format."""
    if manifest.get("format") != FORMAT:
        raise ResumeError(
            f"'{path}' has token store format {manifest.get('format')}, this version of relscale reads "
            f"{FORMAT}; tokenize into a new folder."
        )


def _column(meta: dict[str, Any], text_rows: np.ndarray) -> ColumnInfo:
    known = {key: value for key, value in meta.items() if key not in ("sem_type", "string")}
    return ColumnInfo(sem_type=SemType(meta["sem_type"]), text_row=int(text_rows[meta["string"]]), **known)


def _task(meta: dict[str, Any]) -> TaskSpec:
    removed = tuple((table, column) for table, column in meta["remove_columns"])
    return TaskSpec(**{**meta, "remove_columns": removed})
