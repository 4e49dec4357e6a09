"""Files that are whole or absent: written beside, flushed, renamed."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from relscale.platform.errors import DataError, ResourceError

DRAFT = ".relscale-draft."
"""How the names of unfinished files and folders begin; nothing else is ever swept away."""

RECEIPT = "relscale.json"
"""File in a database's folder that says how relscale made it; written last, and not part of its digest."""


def write_text(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never a part."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, in one move; NaN is refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` in one move, unless the file holds it already.

    ResourceError names a path that cannot be written.
    """
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{DRAFT}{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system refuses while `path` is written into a ResourceError that names it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free some space and run again; what is whole is kept"
        else:
            remedy = "choose another folder"
        reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
        raise ResourceError(f"cannot write '{path}': {reason}; {remedy}.") from error


def read_json(path: Path) -> Any:
    """Read a JSON file; DataError says which file is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"'{path}' does not exist; it is part of a folder that relscale writes.") from error
    except ValueError as error:
        raise DataError(f"'{path}' is not valid JSON ({error}); delete it and run again.") from error


@contextlib.contextmanager
def new_folder(final: Path, drafts: Path | None = None) -> Iterator[Path]:
    """A temporary folder that becomes `final` in one rename when the block ends well.

    It lies in `drafts`, a folder of the same filesystem, or beside `final`. If another process has made
    `final` meanwhile, that one stays: equal inputs give equal bytes. On an error nothing is left behind.
    """
    place = drafts or final.parent
    with writing(final):
        for folder in (place, final.parent):
            folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f"{DRAFT}{final.name}.", dir=place))
    try:
        yield draft
        with writing(final):
            os.chmod(draft, 0o755)
            try:
                os.rename(draft, final)
            except OSError:
                if not final.is_dir():
                    raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def drafts_of(final: Path, drafts: Path) -> int:
    """How many unfinished `new_folder(final, drafts)` there are: each is running, or was killed."""
    return len(list(drafts.glob(f"{DRAFT}{final.name}.*")))


def sweep_drafts(folder: Path) -> int:
    """Remove the temporary files and folders that killed processes left in `folder`; their number.

    Call it at the start of a job, before its workers run, never beside them.
    """
    drafts = list(folder.glob(f"{DRAFT}*"))
    for draft in drafts:
        shutil.rmtree(draft, ignore_errors=True) if draft.is_dir() else draft.unlink(missing_ok=True)
    return len(drafts)


def digest_files(folder: Path, *, exclude: frozenset[str] = frozenset()) -> str:
    """SHA-256 over the names and bytes of every file below `folder`, in sorted order.

    `exclude` holds names relative to `folder` that do not count (a manifest with the digest itself).
    """
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return digest_of({name: _sha256(path) for name, path in files.items() if name not in exclude})


def digest_of(files: Mapping[str, str]) -> str:
    """What `digest_files` gives for files of these names and SHA-256."""
    total = hashlib.sha256()
    for name in sorted(files, key=PurePosixPath):
        total.update(f"{name}\0{files[name]}\n".encode())
    return total.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def unless_current(stamp: Path, inputs: Mapping[str, Any], outputs: Sequence[Path]) -> Iterator[bool]:
    """True if work must be done: an output is missing, or `stamp` was not left by equal inputs.

    The stamp is written when the block ends well, so half-done work is never taken for done.
    """
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    whole = stamp.is_file() and all(path.exists() for path in outputs)
    must_run = not whole or read_json(stamp).get("inputs") != digest
    if must_run:
        stamp.unlink(missing_ok=True)
    yield must_run
    if must_run:
        write_json(stamp, {"inputs": digest})


def make_folder(folder: Path) -> None:
    """Make an output folder with its parents; ResourceError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"cannot make the folder '{folder}': {error.strerror}; choose another."
        ) from error


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder and hold its lock, which ends with the process however it ends."""
    make_folder(folder)
    path = folder / "relscale.lock"
    with contextlib.ExitStack() as opened:
        with writing(path):
            lock = opened.enter_context(path.open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ResourceError(
                f"another relscale process works in '{folder}'; wait for it, or choose another --out."
            ) from error
        yield
