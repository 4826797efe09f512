"""What all offline commands share: their options, the threads that run the models, and their output to the user."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from realtime_cropzoom.files.atomic import Say


@dataclass(frozen=True, slots=True)
class OfflineOptions:
    """Flags that ``predict`` and ``pipeline`` share."""

    overwrite: bool = False
    """Replace existing results."""
    resume: bool = False
    """Continue the rows of an interrupted command."""
    skip_viz: bool = False
    """Draw no labelled videos or images."""
    batch: int = 1
    """Number of frames that a model gets at once."""


@dataclass(frozen=True, slots=True)
class OfflineCommand:
    """A running command: where its models run, its options, and how it reports."""

    pool: ThreadPoolExecutor
    workers: int
    """Number of threads of the pool."""
    options: OfflineOptions
    say: Say
    """Shows a line."""
    warn: Say
    """Shows a line about something that a result lacks. The command then does not end with exit code 0."""
