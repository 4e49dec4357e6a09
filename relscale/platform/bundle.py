"""The results of a finished job as one small zip: packed where they lie, unpacked where they are read.

`python -m relscale.platform.bundle OUT` prints the zip as text. A job's log is the only way back from a
cluster that needs nothing but the address and token that submitted it.
"""

import base64
import io
import re
import stat
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from relscale.platform import remote, storage
from relscale.platform.errors import DataError, RelscaleError
from relscale.platform.progress import human_bytes

LIMIT = 16 * 2**20
"""Bytes of all files together; what is larger stays where it is."""

SUFFIXES = {".html", ".csv", ".json", ".md", ".parquet", ".png", ".svg", ".yaml"}
FOLDERS = ("figures", "predictions", "variants")
"""Folders that belong to a result; databases, stores, trials and checkpoints lie in others."""

_BEGIN, _END = "relscale-bundle-begin", "relscale-bundle-end"


def results(out: Path) -> dict[str, Path]:
    """{name: file} of the reports, tables and figures of an output folder; an image's are brought here.

    Raises
    ------
    DataError : there is no such folder, or nothing to read in it. ResourceError : its store is out of reach.
    """
    if not remote.stage(out) or not out.is_dir():
        raise DataError(f"there is no folder '{remote.shown(out)}'; the job has written nothing yet.")
    found = {path.relative_to(out).as_posix(): path for path in sorted(_readable(out))}
    if not found:
        raise DataError(f"'{remote.shown(out)}' holds no report, table or figure yet.")
    return found


def pack(files: dict[str, Path]) -> tuple[bytes, list[str]]:
    """A zip of the files, and the names of those that do not fit `LIMIT`: the largest ones."""
    buffer, left_out, total = io.BytesIO(), [], 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(files.items(), key=lambda item: item[1].stat().st_size):
            size = path.stat().st_size
            if total + size > LIMIT:
                left_out.append(name)
                continue
            total += size
            archive.write(path, name)
    return buffer.getvalue(), left_out


def unpack(data: bytes, to: Path) -> list[Path]:
    """Write a zip's files below `to`; their paths.

    Raises
    ------
    DataError : it is no zip, larger than `LIMIT`, or a name leads out of `to`; nothing is written then.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise DataError("what came back is no zip; fetch again.") from error
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if sum(entry.file_size for entry in entries) > LIMIT:
            raise DataError(f"the results are larger than {human_bytes(LIMIT)}; nothing was written.")
        targets = [_below(to, entry) for entry in entries]
        for entry, target in zip(entries, targets, strict=True):
            storage.write_bytes(target, archive.read(entry))
    return targets


def as_text(data: bytes) -> str:
    """The zip between two marks, in lines of a log."""
    return f"{_BEGIN}\n{base64.encodebytes(data).decode()}{_END}\n"


def from_text(log: str) -> bytes:
    """The zip in a log; DataError if there is none, or a part of one."""
    found = re.search(rf"^{_BEGIN}\n([A-Za-z0-9+/=\n]*)^{_END}$", log, re.MULTILINE)
    if found is None:
        raise DataError("the job's results did not come back whole; fetch again.")
    return base64.b64decode(found[1])


def _readable(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_file() and path.suffix in SUFFIXES and not path.is_symlink():
            yield path
        elif path.name in FOLDERS and path.is_dir():
            yield from (file for child in (path, *path.rglob("*/")) for file in _files(child))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file() and path.suffix in SUFFIXES)


def _below(to: Path, entry: zipfile.ZipInfo) -> Path:
    name = PurePosixPath(entry.filename)
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or "\\" in entry.filename or is_link:
        raise DataError(
            f"the results hold '{entry.filename}', which leads out of '{to}'; nothing was written."
        )
    target = to / name
    if not target.resolve().is_relative_to(to.resolve()):
        raise DataError(f"'{target}' is a link out of '{to}'; choose another folder.")
    return target


def main() -> None:
    """Pack the folder or URI that is named, and print it."""
    try:
        data, left_out = pack(results(remote.place(sys.argv[1])))
    except RelscaleError as error:
        sys.exit(f"relscale: {error}")
    print(as_text(data), end="")
    if left_out:
        print(f"left out: {', '.join(left_out)}")


if __name__ == "__main__":
    main()
