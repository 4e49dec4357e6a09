"""Checksums: whether a token store's files are what was written."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from relscale.model.store import TO_TRAIN_ON, TokenStore
from relscale.platform.errors import DataError


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_store(store: TokenStore, progress: Callable[[str, int, int], None] | None = None) -> None:
    """Compare every file of a store with the hash that was recorded when it was written.

    Parameters
    ----------
    progress : called with "MB", those read so far and those in all.

    Raises
    ------
    DataError : a file is missing or differs; the first is named.

    Cost: one reading of the store.
    """
    store.bring(store.names, (*TO_TRAIN_ON, "strings.parquet"))
    files = list(store.files())
    sizes = [path.stat().st_size / 1e6 if path.is_file() else 0.0 for path, _ in files]
    n_read = 0.0
    for (path, digest), size in zip(files, sizes, strict=True):
        if not path.is_file() or file_digest(path) != digest:
            raise DataError(
                f"'{path}' is missing or differs from what was written (SHA-256 {digest[:12]}...); delete "
                f"the folder '{path.parent}' and tokenize into '{store.path}' again."
            )
        n_read += size
        if progress is not None:
            progress("MB", round(n_read), round(sum(sizes)))
