"""Run folder: the folder of a run and its small files, on a disk that may be full or not answer."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.files.append import NO_ANSWER
from realtime_cropzoom.files.atomic import try_write_whole
from realtime_cropzoom.runtime.started import in_time
from realtime_cropzoom.sessions.folder import make_given_folder, make_session_folder

logger = logging.getLogger(__name__)
T = TypeVar("T")

_REMOVE_TIMEOUT_S = 1.0
"""Timeout (s) for removing the folder of a run whose start failed."""
_SAVE_TIMEOUT_S = 1.0
"""Timeout (s) for writing a small file at the end."""


class RunFolder:
    """The folder of one run. A small file that cannot be written does not end the run; it is a problem."""

    def __init__(self, out: Path, given: Path | None, stopped: Callable[[], object]) -> None:
        """Make nothing yet.

        Args:
            out: The folder in which session folders are made.
            given: The folder to make instead; None for a new session folder.
            stopped: Returns a true value if the run stops, which ends each wait for the disk.
        """
        self._out, self._given, self._stopped = out, given, stopped
        self.path: Path | None = None
        """The folder; None until it is made."""
        self.problems: list[str] = []
        """Messages about the small files that could not be written."""

    def make(self, name: str) -> Path:
        """Make the folder, and return it.

        Args:
            name: Name of the source, for a new session folder.

        Raises:
            SinkError: if it cannot be made, exists already, or the disk does not answer.
        """
        given = self._given
        work = (lambda: make_session_folder(self._out, name)) if given is None else (lambda: make_given_folder(given))
        self.path = self._in_time(self._out, work)
        return self.path

    def in_time(self, work: Callable[[], T]) -> T:
        """Call ``work``, which uses the folder, and return its result. Raises SinkError if the disk does not answer."""
        assert self.path is not None
        return self._in_time(self.path, work)

    def _in_time(self, folder: Path, work: Callable[[], T]) -> T:
        return in_time(f"the folder {folder}", work, stopped=self._stopped)

    def save(self, name: str, text: str) -> None:
        """Write a small file. If that fails, log it and remember the problem."""
        assert self.path is not None
        problem = try_write_whole(self.path / name, text)
        if problem is not None:
            logger.error("%s", problem)
            self.problems.append(problem)

    def save_at_end(self, name: str, text: str) -> list[str]:
        """Write a small file for a limited time, because the run must end.

        Returns:
            The problems with it; empty if it is written.
        """
        before = len(self.problems)
        thread = threading.Thread(target=self.save, args=(name, text), name="cropzoom-save", daemon=True)
        thread.start()
        thread.join(_SAVE_TIMEOUT_S)
        if thread.is_alive():
            self.problems.append(f"{self.path}/{name}: {NO_ANSWER}; it is not written, and says 'running'")
        return self.problems[before:]

    def remove(self) -> None:
        """Remove the folder of a run whose start failed; it has no frame in it."""
        folder = self.path
        if folder is not None:
            with contextlib.suppress(SinkError):  # the disk does not answer, and the folder stays
                in_time(f"the folder {folder}", lambda: shutil.rmtree(folder, ignore_errors=True), _REMOVE_TIMEOUT_S)
