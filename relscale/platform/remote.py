"""Storage by URI: what of an image is whole on the store, brought here, sent there.

A folder is sent file by file, and its record `_relscale.json` last: the names, sizes and SHA-256 of its
files. Whoever reads takes what the record lists and nothing else, so a folder without a record does not
exist, and what a killed writer left is overwritten by the next one. There is no lock between machines: equal
inputs give equal bytes, so two that write the same folder do no harm. A single object is whole by itself.

On a plain local path `publish`, `drop` and `check` do nothing, and the others look at the disk.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from relscale.platform import objects, storage
from relscale.platform.errors import DataError
from relscale.platform.image import bookkeeping, origin, place, reworded, shown, workplace
from relscale.platform.objects import for_ray, read

__all__ = [
    "about", "check", "committed", "digests", "drop", "for_ray", "names", "origin", "place", "publish",
    "read", "remove", "reworded", "shown", "stage", "stage_file", "working_folder",
]  # fmt: skip

RECORD = "_relscale.json"
FORMAT = 1
AT_ONCE = 8
"""Objects of a folder that are on their way at the same time."""
TRANSFERS = 3
"""Times that an object is read until its bytes are those of the record."""

Files = dict[str, dict[str, Any]]
"""{name below the folder: {"bytes", "sha256"}}."""


def publish(
    path: Path,
    *,
    source: Path | None = None,
    about: Mapping[str, Any] | None = None,
    leave_out: Collection[str] = (),
) -> None:
    """Send an image's file or folder to its store, unless it is there already; the record last.

    Parameters
    ----------
    source : where the content lies; None is the image itself.
    about : JSON that the folder's record carries, to be read without the folder.
    leave_out : names of files and folders, at any depth, that are not sent.

    Raises
    ------
    ResourceError : the store refuses, or does not answer.
    """
    if origin(path) is None:
        return
    with _alone(path):
        if path.is_file():
            objects.write(path, _pieces(path))
            return
        files = _files_of(source or path, leave_out)
        record = {"format": FORMAT, "files": files, "about": dict(about) if about else None}
        before = _record(path)
        if before != record:
            if before is not None:  # its files are about to change
                objects.delete(path / RECORD)
            _send(path, source or path, files, before["files"] if before else {})
            objects.write(path / RECORD, iter([json.dumps(record, indent=1).encode()]))
        if source is None:
            _note(path, files)


def stage(folder: Path, only: Collection[str] | None = None, known: Mapping[str, str] | None = None) -> bool:
    """Bring a committed folder of an image here, once for all processes of the node; whether there is one.

    Parameters
    ----------
    only : names of the files that are needed; None takes all.
    known : {name: SHA-256} that the folder must have; if they lie here the store is not asked.

    Raises
    ------
    DataError : the record is none, an object differs from it, or the record from `known`.
    ResourceError : the store does not answer, or the disk is full.
    """
    if origin(folder) is None:
        return folder.is_dir()
    with _alone(folder):
        here = _noted(folder)
        if known is not None and _digests(here).items() >= known.items():
            return True
        record = _record(folder)
        if record is None:
            return False
        wanted = {name: file for name, file in record["files"].items() if only is None or name in only}
        if known is not None and not _digests(wanted).items() >= known.items():
            raise DataError(f"'{shown(folder)}' is not what it was when it was listed; make it again.")
        missing = {name: file for name, file in wanted.items() if here.get(name) != file}
        stale = [name for name, file in here.items() if record["files"].get(name) != file]
        if missing or stale or not folder.is_dir():
            _bring(folder, missing, stale, keep={n: f for n, f in here.items() if n not in stale} | wanted)
    return True


def stage_file(path: Path) -> bool:
    """Bring one object of an image here as it is now; whether there is one."""
    if origin(path) is None:
        return path.is_file()
    data = objects.read(path)
    if data is None:
        path.unlink(missing_ok=True)
        return False
    storage.write_bytes(path, data)
    return True


def about(folder: Path) -> dict[str, Any] | None:
    """What the record of an image's committed folder says `about` it; None if there is none."""
    record = _record(folder) if origin(folder) else None
    return None if record is None else record["about"] or {}


def committed(folder: Path) -> bool:
    """Whether a folder is whole, here or on its store."""
    return folder.is_dir() if origin(folder) is None else objects.exists(folder / RECORD)


def names(folder: Path) -> list[str]:
    """Names in a folder, on its store if it is an image; whole or not."""
    if origin(folder) is not None:
        return objects.names(folder)
    return os.listdir(folder) if folder.is_dir() else []


def digests(folder: Path) -> dict[str, str]:
    """{name: SHA-256} of a folder's files; by its record if it has one, so that nothing is brought here."""
    record = _record(folder) if origin(folder) else None
    return _digests(record["files"] if record else _files_of(folder, ()))


def drop(folder: Path) -> None:
    """Remove an image's copy here; what is on the store stays."""
    if origin(folder) is not None:
        with _alone(folder):
            bookkeeping(folder, "record").unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


def remove(folder: Path) -> None:
    """Remove a folder here and on its store, where its record goes first."""
    if origin(folder) is not None:
        objects.delete(folder / RECORD)
        objects.delete_folder(folder)
        drop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def check(folder: Path) -> None:
    """ResourceError unless an image's store can be written, told before hours of work; a few seconds."""
    if origin(folder) is not None:
        objects.write(folder / "_relscale-probe", iter([b""]))


@contextlib.contextmanager
def working_folder(out: Path, leave_out: Collection[str] = ()) -> Iterator[Path]:
    """Where a command makes its results, which are sent if the block ends well; `out` itself if it is plain.

    A store that cannot be written is told at the start (ResourceError).
    """
    check(out)
    folder = workplace(out)
    yield folder
    if origin(out) is not None:
        publish(out, source=folder, leave_out=leave_out)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """The only process or thread of this node that moves this file or folder."""
    lock = bookkeeping(path, "lock")
    with storage.writing(path):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _files_of(folder: Path, leave_out: Collection[str]) -> Files:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for name, path in names.items()
        if not {*name.split("/")} & {*leave_out, "relscale.lock"} and storage.DRAFT not in name
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(objects.CHUNK):
            yield piece


def _send(folder: Path, source: Path, files: Files, before: Files) -> None:
    new = [name for name, file in files.items() if before.get(name) != file]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda name: objects.write(folder / name, _pieces(source / name)), new))


def _record(folder: Path) -> dict[str, Any] | None:
    """The record of a committed folder; DataError if it is none, or names a file out of the folder."""
    data = objects.read(folder / RECORD)
    if data is None:
        return None
    try:
        record = json.loads(data)
        whole = record["format"] == FORMAT and all(map(_sound, record["files"], record["files"].values()))
    except (ValueError, TypeError, KeyError, AttributeError):
        whole = False
    if not whole:
        raise DataError(f"'{shown(folder / RECORD)}' is no record that relscale writes; delete the folder.")
    return record


def _sound(name: str, file: Mapping[str, Any]) -> bool:
    inside = str(PurePosixPath(name)) == name and not {"..", "/", "."} & set(PurePosixPath(name).parts)
    return inside and isinstance(file["bytes"], int) and bool(re.fullmatch("[0-9a-f]{64}", file["sha256"]))


def _digests(files: Files) -> dict[str, str]:
    return {name: file["sha256"] for name, file in files.items()}


def _bring(folder: Path, missing: Files, stale: Collection[str], *, keep: Files) -> None:
    """Fetch the missing files beside the folder, then put them in their place: one rename for a new one."""
    with storage.writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(
            f"{storage.DRAFT}{folder.name}.*"
        ):  # of killed processes: we hold the lock
            shutil.rmtree(left, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=f"{storage.DRAFT}{folder.name}.", dir=folder.parent))
    try:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda name: _fetch(folder, name, missing[name], draft), missing))
        bookkeeping(folder, "record").unlink(missing_ok=True)
        with storage.writing(folder):
            os.chmod(draft, 0o755)
            _move_in(draft, folder, stale)
        _note(folder, keep)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fetch(folder: Path, name: str, file: Mapping[str, Any], draft: Path) -> None:
    """One object, compared with its record; read anew if it was cut on the way."""
    target = draft / name
    for _ in range(TRANSFERS):
        with storage.writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            sink = target.open("wb")
        total = hashlib.sha256()
        with sink, contextlib.suppress(FileNotFoundError):
            for chunk in objects.chunks(folder / name):
                total.update(chunk)
                with storage.writing(target):
                    sink.write(chunk)
        if total.hexdigest() == file["sha256"]:
            return
    raise DataError(
        f"'{shown(folder / name)}' is missing or differs from its record ({file['bytes']} bytes, SHA-256 "
        f"{file['sha256'][:12]}...); delete '{shown(folder / RECORD)}' and make it again."
    )


def _move_in(draft: Path, folder: Path, stale: Collection[str]) -> None:
    if not folder.exists():
        draft.rename(folder)
        return
    for name in stale:
        (folder / name).unlink(missing_ok=True)
    for path in [path for path in draft.rglob("*") if path.is_file()]:
        target = folder / path.relative_to(draft)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _note(folder: Path, files: Files) -> None:
    """Remember which of the folder's committed files lie here."""
    storage.write_json(bookkeeping(folder, "record"), files)


def _noted(folder: Path) -> Files:
    note = bookkeeping(folder, "record")
    return storage.read_json(note) if note.is_file() and folder.is_dir() else {}
