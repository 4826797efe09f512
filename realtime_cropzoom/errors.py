"""Every error this package raises on purpose.

::

    CropzoomError
    ├── ConfigError      a setting is missing, misspelt or makes no sense
    ├── SourceError      a source cannot be opened, or broke while it was read
    ├── ModelError       a model cannot be used, or gave numbers that are none
    ├── ScheduleError    a box file cannot be replayed on these frames
    ├── DataError        training data or a table cannot be read
    ├── SinkError        an output cannot be opened, or failed while running
    ├── StageError       a stage ended by itself, or would not end
    └── StateError       a run was asked for what it cannot do before its start, or after its end

The text says what was given, what was expected and what to do, in one line: the
command line prints it as it is and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CropzoomError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(CropzoomError):
    """A setting is missing, misspelt or makes no sense."""


class SourceError(CropzoomError):
    """A source cannot be opened, or broke while it was read."""


class ModelError(CropzoomError):
    """A model cannot be used, or gave numbers that are none."""


class ScheduleError(CropzoomError):
    """A box file cannot be replayed on these frames."""


class DataError(CropzoomError):
    """Training data or a table cannot be read."""


class SinkError(CropzoomError):
    """An output cannot be opened, or failed while running."""


class StageError(CropzoomError):
    """A stage ended by itself, or would not end."""


class StateError(CropzoomError):
    """A run was asked for what it cannot do before its start, or after its end."""


def did_you_mean(given: str, names: Iterable[str]) -> str:
    """Return the end of an error's line about a name that is not among ``names``: the likeliest one, or nothing."""
    likely = difflib.get_close_matches(given[:100], list(names), n=1)
    return f" Did you mean {likely[0]!r}?" if likely else ""


def shortened(value: object, limit: int = 60) -> str:
    """Return a value as it is written, cut where it is too long for a line."""
    text = repr(value[:limit] if isinstance(value, str | bytes) else value)
    whole = len(text) <= limit + 2 and not (isinstance(value, str | bytes) and len(value) > limit)
    return text if whole else f"{text[:limit]}… ({type(value).__name__} of {_size(value)})"


def _size(value: object) -> str:
    return f"{len(value)} items" if isinstance(value, list | tuple | dict) else f"{len(str(value))} characters"
