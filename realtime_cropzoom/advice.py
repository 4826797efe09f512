"""Advice names only the flags that the running command has.

Much of the package serves several commands, and not all of them have the same flags. Sentences that name a flag
therefore go through ``advised``. From Python there is no command, and flags stand for the settings of their names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

FLAG = re.compile(r"(?<![\w-])--[a-z][a-z_-]*[a-z]")
"""A flag in a sentence."""
_flags: frozenset[str] | None = None
"""The flags of the command that runs, with hyphens; None where none runs. Threads read it, too: no ContextVar."""


@contextmanager
def flags_of_command(flags: Collection[str]) -> Iterator[None]:
    """While this is open, advice names none but these flags."""
    global _flags
    before, _flags = _flags, frozenset(flags)
    try:
        yield
    finally:
        _flags = before


def advised(text: str, otherwise: str = "") -> str:
    """Return ``text`` where the running command has all flags that it names, else ``otherwise``."""
    named = {flag.replace("_", "-") for flag in FLAG.findall(text)}
    return text if _flags is None or named <= _flags else otherwise
