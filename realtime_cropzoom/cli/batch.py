"""Batch: processes several inputs one after another. An input that fails is reported, and the others are processed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import say_next
from realtime_cropzoom.errors import EXIT_BAD_INPUT, EXIT_INCOMPLETE, CropzoomError

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Batch:
    """Counts the results of the inputs of one command."""

    def __init__(self) -> None:
        self._done = 0
        self._incomplete = False

    def warn(self, text: str) -> None:
        """Print a warning: part of the result of an input is missing."""
        say(text)
        self._incomplete = True

    def fail(self, error: Exception) -> None:
        """Print the reason why an input has no result."""
        self.warn("; ".join([str(error), *getattr(error, "__notes__", ())]))

    def run(
        self,
        inputs: Sequence[T],
        process: Callable[[T], Path],
        next_command: Callable[[T, Path], Sequence[object]] | None = None,
    ) -> int:
        """Process the inputs.

        Args:
            inputs: The inputs.
            process: Processes one input and returns the path of its result, which is printed.
            next_command: Returns the words of the command that comes next, from the last input and its result.

        Returns:
            The exit code: 2 if no input has a result, 3 if something is missing, else 0.
        """
        words: Sequence[object] = ()
        for given in inputs:
            try:
                path = process(given)
            except CropzoomError as error:
                self.fail(error)
            except Exception as error:  # one bad file must not stop the whole batch
                logger.debug("%s failed", name_input(given), exc_info=True)
                self.fail(_unexpected(given, error))
            else:
                print(path)
                words = () if next_command is None else next_command(given, path)
                self._done += 1
        if self._incomplete:
            return EXIT_INCOMPLETE if self._done else EXIT_BAD_INPUT
        if words:
            say_next(*words)
        return 0


def _unexpected(given: object, error: Exception) -> CropzoomError:
    """Return an unexpected error as a one-line error. Raises BrokenPipeError: stdout is closed."""
    if isinstance(error, BrokenPipeError):
        raise error
    if isinstance(error, OSError):
        return CropzoomError(f"{name_input(given)}: {error.filename or 'a file'}: {error.strerror or error}")
    what = " ".join(str(error).split())
    return CropzoomError(f"{name_input(given)} failed: {type(error).__name__}: {what}; please report it")


def name_input(given: object) -> str:
    """Return the path or the name of an input."""
    return str(getattr(given, "path", None) or getattr(given, "name", None) or given)


def say(text: str) -> None:
    """Print a line about an input to stderr."""
    terminal.say(f"cropzoom: {text}")
