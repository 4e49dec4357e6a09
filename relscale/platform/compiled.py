"""Compiled functions: numba's machine code, kept on disk until a source file that it came from changes."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
from numba import njit, types
from numba.core.ccallback import CFunc

_OPTIONS: dict[str, Any] = {
    # Fused multiply-add, and no care for the sign of zero. Infinity and not-a-number keep their meaning.
    "fastmath": {"contract", "nsz"},
    "error_model": "numpy",
}
_WITHOUT_NEW_ARRAYS: dict[str, Any] = {"_nrt": False, **_OPTIONS}
"""No counting of references to arrays: code is shorter, faster, and compiled in a third of the time."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a helper of compiled functions, which cannot make new arrays."""
    return njit(**_WITHOUT_NEW_ARRAYS)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a helper of compiled functions, always into its callers: loops around it stay vector loops."""
    return njit(forceinline=True, **_WITHOUT_NEW_ARRAYS)(function)


def spliced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Write a helper of compiled functions out in its callers: it may return a part of an array."""
    return njit(inline="always", **_WITHOUT_NEW_ARRAYS)(function)


def kept(*sources: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile an entry point without Python's lock, and keep its machine code for later processes.

    It cannot make new arrays: its caller does.

    Compiling takes seconds, which every new worker would pay. The code lies beside the function's file or in
    the user's cache folder; where neither can be written it is compiled anew.

    Parameters
    ----------
    sources : paths of every file whose code goes into the function, its own first. numba by itself looks at
        the function's own file alone, and would run old code after a change in a helper's file.
    """

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            dispatcher = njit(nogil=True, cache=True, **_WITHOUT_NEW_ARRAYS)(function)
            dispatcher._cache._cache_file._source_stamp = _stamp(sources)
        except (RuntimeError, AttributeError):  # no folder can be written, or another numba
            dispatcher = njit(nogil=True, **_WITHOUT_NEW_ARRAYS)(function)
        return dispatcher

    return compile_


def linked(signature: Any, *sources: str) -> Callable[[Callable[..., Any]], Any]:
    """Compile a large helper of compiled functions once, to be called at its address, and keep its code.

    Other helpers are compiled again into each caller, and at each level of calls. This one is compiled or
    loaded on import, under the name of the function.

    Parameters
    ----------
    signature : numba's, of scalars and pointers.
    sources : as for `kept`.
    """

    def compile_(function: Callable[..., Any]) -> Any:
        parts: Any = function, (signature.args, signature.return_type), {}, {"nopython": True, **_OPTIONS}
        callback: Any = CFunc(*parts)
        try:
            callback.enable_caching()
            callback._cache._cache_file._source_stamp = _stamp(sources)
        except (RuntimeError, AttributeError):  # as for `kept`
            callback = CFunc(*parts)
        callback.compile()
        llvmlite.binding.add_symbol(function.__qualname__, callback.address)
        external: Any = types.ExternalFunction(function.__qualname__, signature)
        external.callback = callback  # machine code lives as long as its object
        return external

    return compile_


def _stamp(sources: tuple[str, ...]) -> str:
    return hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources)).hexdigest()
