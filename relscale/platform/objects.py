"""The object store behind an image: its files, its listings, and what its refusals mean.

Access is by pyarrow.fs, whose AWS client repeats a request that failed on the way or at an overloaded
server. An object appears whole or not at all.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from relscale.platform.errors import ConfigError, ResourceError
from relscale.platform.image import Origin, origin, shown
from relscale.platform.storage import DRAFT

CHUNK = 8 * 2**20
"""Bytes that are held in memory of a file on its way."""
ATTEMPTS = 12
"""Of each request, with growing pauses of up to 20 s between them."""
SECONDS = 30.0
"""Without a byte, after which a request is given up and repeated."""
FIRST_ATTEMPTS, FIRST_SECONDS = 3, 2.5
"""Of the first request of a process, so that a wrong address is told soon."""
CONNECT_SECONDS = 2.5

_UNREACHABLE = re.compile(r"NETWORK_CONNECTION|curlCode|[Cc]ould not connect|timed? ?out", re.ASCII)
_DENIED = re.compile(
    r"ACCESS_DENIED|HTTP status 40[13]|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|ermission"
)
_CODE = re.compile(r"AWS Error ([A-Z0-9_]+)")


def exists(path: Path) -> bool:
    """Whether the store has the object."""
    import pyarrow.fs as pfs

    filesystem, key = _open(path)
    with answering(path):
        return bool(filesystem.get_file_info(key).type == pfs.FileType.File)


def chunks(path: Path) -> Iterator[bytes]:
    """The bytes of an object, piece by piece; FileNotFoundError if there is none."""
    filesystem, key = _open(path)
    with answering(path, may_lack=True), filesystem.open_input_file(key) as file:
        for start in range(0, file.size(), CHUNK):
            yield _read_piece(file, start)


def _read_piece(file: Any, start: int) -> bytes:
    """One piece of an object.

    Arrow reads it into a buffer of just its size, where the text of an error may not fit ("failed to flush
    response stream"); the AWS client does not repeat that request, so it is repeated here.
    """
    for attempt in range(ATTEMPTS):
        try:
            return bytes(file.read_at(CHUNK, start))
        except OSError as error:
            if "response stream" not in str(error) or attempt == ATTEMPTS - 1:
                raise
            time.sleep(min(0.1 * 2**attempt, 10.0))
    raise AssertionError


def read(path: Path) -> bytes | None:
    """The bytes of an object, or None if there is none."""
    try:
        return b"".join(chunks(path))
    except FileNotFoundError:
        return None


def write(path: Path, content: Iterator[bytes]) -> None:
    """Make or replace an object.

    What a failed call leaves of a large one is never seen: a store makes it of its parts at the end, and
    in a folder (file:) it takes its name when it is whole.
    """
    filesystem, key = _open(path)
    is_folder = filesystem.type_name == "local"
    with answering(path):
        folder, _, name = key.rpartition("/")
        draft = f"{folder}/{DRAFT}{name}.{os.getpid()}" if is_folder else key
        if is_folder:
            filesystem.create_dir(folder)
        with filesystem.open_output_stream(draft) as stream:
            for chunk in content:
                stream.write(chunk)
        if is_folder:
            filesystem.move(draft, key)


def names(folder: Path) -> list[str]:
    """Names in a folder of the store, of objects and of folders."""
    import pyarrow.fs as pfs

    filesystem, key = _open(folder)
    with answering(folder):
        found = filesystem.get_file_info(pfs.FileSelector(key, allow_not_found=True))
    return [info.base_name for info in found if not info.base_name.startswith(DRAFT)]


def delete(path: Path) -> None:
    """Remove an object, if there is one."""
    filesystem, key = _open(path)
    with contextlib.suppress(FileNotFoundError), answering(path, may_lack=True):
        filesystem.delete_file(key)


def delete_folder(folder: Path) -> None:
    """Remove all objects of a folder, if there are any."""
    filesystem, key = _open(folder)
    with answering(folder):
        filesystem.delete_dir_contents(key, missing_dir_ok=True)


def for_ray(folder: Path) -> dict[str, Any]:
    """`storage_path` and, for an image, `storage_filesystem` of Ray's run configurations."""
    if origin(folder) is None:
        return {"storage_path": str(folder.absolute())}
    filesystem, key = _open(folder)
    return {"storage_path": key, "storage_filesystem": filesystem}


@contextlib.contextmanager
def answering(path: Path, *, may_lack: bool = False) -> Iterator[None]:
    """Turn what a store refuses into a ResourceError that names the URI, and no word of the store's own.

    A store's messages may hold key ids and signed headers. With `may_lack` a missing object stays a
    FileNotFoundError.
    """
    try:
        yield
    except OSError as error:
        if may_lack and isinstance(error, FileNotFoundError):
            raise
        raise ResourceError(f"'{shown(path)}': {_meaning(error)}.") from error


def _meaning(error: OSError) -> str:
    text = str(error)
    if "NO_SUCH_BUCKET" in text:
        return "there is no such bucket; make it, or choose another"
    if _DENIED.search(text):
        return (
            "the store refuses access with the credentials at hand (403); they need to list, read, write and "
            "delete below it"
        )
    if _UNREACHABLE.search(text):
        return (
            "the store does not answer; check the network, AWS_ENDPOINT_URL and the URI's endpoint_override, "
            "and run again: what is whole is kept"
        )
    code = _CODE.search(text)
    reason = code[1] if code else os.strerror(error.errno) if error.errno else type(error).__name__
    return f"the store fails ({reason}); run again later: what is whole is kept"


def _open(path: Path) -> tuple[Any, str]:
    """The filesystem behind an image, and the name of `path` in it."""
    found = origin(path)
    assert found is not None, path
    root = found.key.split("/")[0]
    return _reached(found.scheme, found.query, root), found.key


@cache
def _reached(scheme: str, query: str, bucket: str) -> Any:
    """The filesystem of a bucket, once it has answered: an address that is wrong is not tried for long."""
    import pyarrow.fs as pfs

    where = Origin(scheme=scheme, query=query, key=bucket)
    if scheme == "file":
        return pfs.LocalFileSystem()
    try:
        info = _filesystem(where, FIRST_ATTEMPTS, FIRST_SECONDS).get_file_info(bucket)
    except OSError as error:
        # An overloaded server is there, and is left to the many attempts.
        if _UNREACHABLE.search(str(error)) or _DENIED.search(str(error)):
            raise ResourceError(f"'{where.uri}': {_meaning(error)}.") from error
    else:
        if info.type == pfs.FileType.NotFound:
            raise ResourceError(f"'{where.uri}': there is no such bucket; make it, or choose another.")
    return _filesystem(where, ATTEMPTS, SECONDS)


def _filesystem(where: Origin, attempts: int, seconds: float) -> Any:
    import pyarrow.fs as pfs

    options = where.options
    if where.scheme == "gs":
        options.pop("region", None)
        return pfs.GcsFileSystem(**options, retry_time_limit=timedelta(seconds=attempts * seconds))
    environment = os.environ
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    if endpoint:
        options.setdefault("endpoint_override", endpoint)
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if "region" not in options:
        options["region"] = region or _region(where.key, "endpoint_override" in options)
    try:
        return pfs.S3FileSystem(
            **options,
            # A small object is one PUT, not three requests.
            allow_delayed_open=True,
            connect_timeout=CONNECT_SECONDS,
            request_timeout=seconds,
            retry_strategy=pfs.AwsStandardS3RetryStrategy(max_attempts=attempts),
        )
    except ValueError as error:
        raise ConfigError(f"'{where.uri}': the options of its URI are not valid ({error}).") from error


def _region(bucket: str, has_endpoint: bool) -> str:
    """Where a bucket of AWS is; other makers' stores have one region."""
    import pyarrow.fs as pfs

    return "us-east-1" if has_endpoint else str(pfs.resolve_s3_region(bucket))
