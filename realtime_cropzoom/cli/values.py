"""Types of flags: turn the text of a flag into a value, or refuse it in one line before anything is opened."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.errors import ConfigError, shorten
from realtime_cropzoom.files.paths import is_there, user_path
from realtime_cropzoom.sessions.latest import SESSIONS, describe_latest, find_session

_DAYS_S = 1e7
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
"""Begin of an address, which is no path: as one it would lose a slash."""
T = TypeVar("T", int, float)


class BadValue(argparse.ArgumentTypeError, ConfigError):
    """A text that is no value. While arguments are parsed, its line begins with the argument's name."""


def a_path(text: str) -> Path:
    """Return the path that ``text`` names. An empty text is refused, and so is an address such as ``http://…``."""
    path = user_path(some_text(text, "a file or folder"))
    if _ADDRESS.match(text) and not is_there(path):
        from realtime_cropzoom.sources.base import without_password

        raise BadValue(f"got {without_password(text)}, expected a file or folder of this computer")
    return path


def a_session(text: str, kind: str = SESSIONS) -> Path:
    """Return the session that ``text`` names. It may be ``latest``; then a line says which session that is.

    Args:
        text: Path of a session or a pose file, ``latest``, or FOLDER/latest.
        kind: ``sessions`` or ``triggers``.

    Raises:
        DataError: if there is no session for ``latest``.
    """
    some_text(text, "a session's folder")
    given = a_path(text)
    found = find_session(given, kind)
    if found != given:
        terminal.say(describe_latest(given, found, kind))
    return found


def names(text: str) -> tuple[str, ...]:
    """Return names that have commas between them; ``type`` of an argument."""
    found = tuple(name.strip() for name in text.split(","))
    if not all(found):
        raise BadValue(f"got {text!r}, expected names with commas between them")
    return found


def some_text(text: str, what: str = "some text") -> str:
    """Return ``text``, unless it is empty: a shell writes nothing for a variable that is not set."""
    if not text.strip():
        raise BadValue(f"got {text!r}, expected {what}. Is a variable of the shell not set?")
    return text


def a_name(text: str) -> str:
    """Return a name without spaces, as SLURM's partitions and accounts have."""
    if len(some_text(text, "a name").split()) > 1 or text != text.strip():
        raise BadValue(f"got {text!r}, expected a name without spaces")
    return text


def number(low: float, high: float, what: str = "a number") -> Callable[[str], float]:
    """Return a function that reads a number from ``low`` to ``high``; ``what`` names the unit in its error."""

    def parse(text: str) -> float:
        value = _converted(float, text)
        if value is None or not low <= value <= high:  # False for nan, too
            raise BadValue(f"got {shorten(text)}, expected {what} from {low:g} to {high:g}")
        return value

    return parse


def whole(low: int, high: int, what: str = "a whole number") -> Callable[[str], int]:
    """Return a function that reads a whole number from ``low`` to ``high``; ``what`` names the unit in its error."""

    def parse(text: str) -> int:
        value = _converted(int, text)
        if value is None or not low <= value <= high:
            raise BadValue(f"got {shorten(text)}, expected {what} from {low} to {high}")
        return value

    return parse


seconds = number(0, _DAYS_S, "seconds")
frame_rate = number(0.001, 100_000, "frames per second")


def _converted(kind: Callable[[str], T], text: str) -> T | None:
    try:
        return kind(text)
    except (ValueError, OverflowError):
        return None
