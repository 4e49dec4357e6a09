"""Token store: databases as memory-mapped arrays of typed cells and links, plus what they share.

    STORE/store.json                    written last: format, text encoder, databases in order, and the
                                        SHA-256 of every other file
    STORE/databases/<name>/meta.json    tables, columns, tasks, places of the arrays
    STORE/databases/<name>/arrays.bin   the arrays of `DatabaseArrays`, one after another
    STORE/databases/<name>/strings.parquet   the database's distinct strings, sorted
    STORE/shared/<fingerprint>/         strings.parquet (distinct strings of all databases, sorted),
                                        embeddings.npy float16 [n_strings, d_text],
                                        rows.npy int32 (each database's strings as rows of that table),
                                        trainable.npy (TRAINABLE, the columns of all databases to train on)

One file per database and a bounded number of open ones keep a store of a thousand databases within the
usual limit of open files. Training starts from `trainable.npy`; a database's own description is read when
the first of its rows is drawn. STORE may be the image of a storage URI: what is shared is brought to this
node when it is first used, and a database when it is asked for, once for all processes of the node.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from relscale.model.context import SemType
from relscale.model.mapping import NO_TIME, DatabaseArrays, map_array, map_arrays
from relscale.model.tasks import TaskSpec
from relscale.platform import remote
from relscale.platform.errors import DataError, ResumeError
from relscale.platform.storage import read_json

__all__ = ["FORMAT", "NO_TIME", "ColumnInfo", "DatabaseStore", "TableInfo", "TokenStore"]

FORMAT = 3
TO_TRAIN_ON = ("meta.json", "arrays.bin")
"""Files of a database that are read once its strings are in the shared table."""
MAX_OPEN = 256
"""Databases of a store that are mapped at once."""
TRAINABLE = np.dtype(
    [("database", "<i4"), ("column", "<i4"), ("n_cells", "<i8"), ("row_width", "<i4"), ("first", "<i8")]
)
"""A column that training may ask for: place of its database in the store, its number there, its cells, the
most cells that a row of its table has, and of the labels of a forecast task the first row of the train split
(-1 of a feature column, whose rows are in `column_rows`)."""


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
    """Rows offset .. offset + n_rows - 1 of a database; `kind` is "db", "train", "val" or "test".

    `row_width` is the most cells that one of the rows has, for a task over its three splits.
    """

    name: str
    kind: str
    offset: int
    n_rows: int
    time_col: str | None
    row_width: int


class DatabaseStore:
    """One database of a token store: its description, and its arrays on demand."""

    def __init__(self, folder: Path, text_rows: np.ndarray, owner: "TokenStore") -> None:
        meta = read_meta(folder)
        self.folder = folder
        self.name: str = meta["name"]
        self.prior: str | None = meta.get("prior")  # stores made before this was written down have none
        """What made the database up; None of a real one."""
        self.text_rows = text_rows
        """int32 [n_local_strings]: the database's strings as rows of the store's text table."""
        self.val_timestamp: int = meta["val_timestamp"]
        self.test_timestamp: int = meta["test_timestamp"]
        """Split times, in microseconds since 1970."""
        self.columns = tuple(_column(column, text_rows) for column in meta["columns"])
        self.tables = tuple(TableInfo(**table) for table in meta["tables"])
        self.tasks = tuple(_task(task) for task in meta["tasks"])
        """All tasks whose labels are here."""
        self.skipped_tasks: dict[str, str] = meta["skipped_tasks"]
        """Why a task, in `tasks` or not, cannot be predicted."""
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
        """The task to predict of that name; DataError lists those there are, with a skipped one's reason."""
        if name in self.skipped_tasks:
            raise DataError(f"task '{name}' of database '{self.name}': {self.skipped_tasks[name]}.")
        for task in self.tasks:
            if task.name == name:
                return task
        known = ", ".join(task.name for task in self.predictable_tasks) or "none"
        raise DataError(f"database '{self.name}' has no task '{name}'; it has: {known}.")

    @property
    def predictable_tasks(self) -> tuple[TaskSpec, ...]:
        """The tasks that a Relational Transformer has an output for."""
        return tuple(task for task in self.tasks if task.name not in self.skipped_tasks)

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
        self._strings = np.cumsum([0] + [entry["n_strings"] for entry in manifest["databases"]])
        self._places = {name: place for place, name in enumerate(self.names)}
        self._manifest = manifest
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
        if not remote.stage_file(path / "store.json"):
            raise DataError(
                f"'{path}' is not a finished token store (no store.json); run `relscale tokenize`."
            )
        manifest = read_json(path / "store.json")
        check_format(path, manifest)
        return cls(path, manifest)

    def place(self, name: str) -> int:
        """Place of a database in `names`; DataError if the store has none of that name."""
        if name not in self._places:
            first_names = ", ".join(self.names[:5])
            raise DataError(
                f"store '{self.path}' has no database '{name}'; of its {len(self.names)} the first are: "
                f"{first_names}."
            )
        return self._places[name]

    def database(self, name: str) -> DatabaseStore:
        """One database, described at once and mapped when its arrays are first used."""
        if name not in self._databases:
            place = self.place(name)
            text_rows = self._text_rows[self._strings[place] : self._strings[place + 1]]
            self._databases[name] = DatabaseStore(self._stage(name, TO_TRAIN_ON), text_rows, self)
        return self._databases[name]

    def bring(self, names: Sequence[str], only: Sequence[str] = TO_TRAIN_ON) -> None:
        """Bring these databases of an image to this node, several at once, before they are used."""
        if remote.origin(self.path) is None:
            return
        with ThreadPoolExecutor(remote.AT_ONCE) as threads:
            list(threads.map(lambda name: self._stage(name, only), names))

    def _stage(self, name: str, only: Sequence[str]) -> Path:
        folder = self.path / "databases" / name
        files = self._manifest["databases"][self.place(name)]["files"]
        remote.stage(folder, only, {file: files[file] for file in only})
        return folder

    @cached_property
    def _shared(self) -> Path:
        folder = self.path / "shared" / self.fingerprint
        remote.stage(folder, known=self._manifest["files"])
        return folder

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
        return map_array(self._shared / "embeddings.npy")

    @cached_property
    def strings(self) -> list[str]:
        """The text table itself, read whole: string of every row of `embeddings`."""
        import pyarrow.parquet as pq

        return pq.read_table(self._shared / "strings.parquet")["string"].to_pylist()

    @cached_property
    def trainable(self) -> np.ndarray:
        """TRAINABLE [n], mapped: the trainable columns of all databases, in order."""
        return map_array(self._shared / "trainable.npy")

    @cached_property
    def _text_rows(self) -> np.ndarray:
        return map_array(self._shared / "rows.npy")

    def files(self) -> Iterator[tuple[Path, str]]:
        """Every file of the store but store.json, with the SHA-256 that it had when it was written."""
        for entry in self._manifest["databases"]:
            for name, digest in entry["files"].items():
                yield self.path / "databases" / entry["name"] / name, digest
        for name, digest in self._manifest["files"].items():
            yield self._shared / name, digest


def read_meta(folder: Path) -> dict[str, Any]:
    """The description of a database of a store; DataError if it is missing or broken."""
    try:
        return read_json(folder / "meta.json")
    except DataError as error:
        raise DataError(
            f"'{folder / 'meta.json'}' is missing or broken; delete the folder '{folder}' and tokenize again."
        ) from error


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
            f"{FORMAT}; delete it, or tokenize into a new folder."
        )


def _column(meta: dict[str, Any], text_rows: np.ndarray) -> ColumnInfo:
    known = {key: value for key, value in meta.items() if key not in ("sem_type", "string")}
    return ColumnInfo(sem_type=SemType(meta["sem_type"]), text_row=int(text_rows[meta["string"]]), **known)


def _task(meta: dict[str, Any]) -> TaskSpec:
    removed = tuple((table, column) for table, column in meta["remove_columns"])
    return TaskSpec(**{**meta, "remove_columns": removed})
