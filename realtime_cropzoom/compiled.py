"""Compiled loops: Python functions in machine code, which run without the interpreter lock.

numba compiles a function the first time, which takes seconds, and keeps the result beside its file or in the user's
cache folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function for ``signature``, or loads it from the cache of an earlier process.

    Without a folder that can be written, or on a full disk, it compiles again in every process.
    """

    def compile_it(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(signature, nogil=True, error_model="numpy", cache=True)(function)
        except (OSError, RuntimeError):
            return numba.njit(signature, nogil=True, error_model="numpy")(function)

    return compile_it


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function as a part of the compiled functions that call it."""
    return numba.njit(nogil=True, error_model="numpy")(function)
