"""Compiled functions: numba's machine code, kept on disk until a source file that it came from changes."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

_OPTIONS: dict[str, Any] = {
    # Fused multiply-add, and no care for the sign of zero. Infinity and not-a-number keep their meaning.
    "fastmath": {"contract", "nsz"},
    "error_model": "numpy",
}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a helper of compiled functions."""
    return njit(**_OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a helper of compiled functions, always into its callers: loops around it stay vector loops."""
    return njit(forceinline=True, **_OPTIONS)(function)


def kept(*sources: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile an entry point without Python's lock, and keep its machine code for later processes.

    Compiling takes seconds, which every new worker would pay. The code lies beside the function's file or in
    the user's cache folder; where neither can be written it is compiled anew.

    Parameters
    ----------
    sources : paths of every file whose code goes into the function, its own first. numba by itself looks at
        the function's own file alone, and would run old code after a change in a helper's file.
    """
    stamp = hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources)).hexdigest()

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            dispatcher = njit(nogil=True, cache=True, **_OPTIONS)(function)
            dispatcher._cache._cache_file._source_stamp = stamp
        except (RuntimeError, AttributeError):  # no folder can be written, or another numba
            dispatcher = njit(nogil=True, **_OPTIONS)(function)
        return dispatcher

    return compile_
