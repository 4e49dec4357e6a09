"""Tables from a folder of CSV and Parquet files: one file each, named after its table."""

import csv
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from relscale.imports.raw import RawTable, is_text
from relscale.platform.errors import DataError

_ENDINGS = (".csv", ".tsv", ".csv.gz", ".parquet")
_SEPARATORS = ",;\t|"


def read_folder(folder: Path, leave_out: frozenset[str] = frozenset()) -> list[RawTable]:
    """The tables of a folder, sorted by name; columns of CSV files are text.

    Raises
    ------
    DataError : no such file in it, two of one table, one that cannot be read.
    """
    tables: dict[str, RawTable] = {}
    for path in sorted(path for path in folder.iterdir() if path.name.endswith(_ENDINGS)):
        name = path.name.split(".")[0]
        if name in tables:
            raise DataError(f"'{folder}' has two files of table '{name}'; keep one of them.")
        if name not in leave_out:
            read = _read_parquet if path.suffix == ".parquet" else _read_csv
            tables[name] = RawTable(name=name, data=read(path))
    if not tables:
        raise DataError(f"'{folder}' holds no CSV or Parquet file; give the folder that has one per table.")
    return list(tables.values())


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None).replace_schema_metadata(None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"'{path}' is not a readable Parquet file ({_reason(error)}); write it again."
        ) from error


def _read_csv(path: Path) -> pa.Table:
    try:
        separator, names = _header(path)
        data = pacsv.read_csv(
            path,
            read_options=pacsv.ReadOptions(use_threads=False),  # its messages name the row then
            parse_options=pacsv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.large_binary())),
        )
        return pa.table({name: _decoded(data[name], name, path) for name in data.column_names})
    except UnicodeDecodeError as error:
        raise DataError(
            f"the first line of '{path}' is not UTF-8 text; convert it, as by `iconv -t utf-8`."
        ) from error
    except (pa.ArrowException, OSError, csv.Error) as error:
        raise DataError(f"'{path}' is not a readable CSV file ({_reason(error)}); mend it.") from error


def _decoded(column: pa.ChunkedArray, name: str, path: Path) -> pa.ChunkedArray:
    try:
        return pc.cast(column, pa.large_string())
    except pa.ArrowInvalid as error:
        row = next(row for row, value in enumerate(column.to_pylist(), 1) if not is_text(value))
        raise DataError(
            f"'{path}', column '{name}', row {row} is not UTF-8 text; convert the file, as by `iconv -t "
            "utf-8`."
        ) from error


def _header(path: Path) -> tuple[str, list[str]]:
    """The separator, the one of , ; tab | that the first line has most of, and the names of the columns."""
    with pa.input_stream(path, compression="detect") as stream:
        start = stream.read(1 << 16).split(b"\n")[0].decode("utf-8-sig")
    separator = max(_SEPARATORS, key=start.count)
    names = next(csv.reader([start.strip("\r\n")], delimiter=separator), [])
    if not names or len(set(names)) < len(names) or "" in names:
        raise DataError(
            f"'{path}' must begin with a line of different column names; it begins with '{start[:60]}'."
        )
    return separator, names


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200].rstrip(".")
    return re.sub(r"CSV parse error: Row #(\d+)", lambda found: f"row {int(found[1]) - 1}", text)
