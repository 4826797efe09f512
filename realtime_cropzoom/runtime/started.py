"""How a thread says that it is ready, or why it is not, and how another one waits for that.

The wait always ends: when the thread is ready, when it fails, when it ends without a word, when the program
is asked to stop, and after a limit.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from realtime_cropzoom.errors import SinkError

T = TypeVar("T")
logger = logging.getLogger(__name__)

STARTS_WITHIN_S = 10.0
"""What is not ready by then will not be."""
_SAID_AFTER_S = 3.0
"""A start that waits for longer says what for."""
_POLL_S = 0.1
"""So often a wait looks whether it was stopped. A signal handler runs between two looks, too."""


class Started:
    """Said once by the thread that starts; the first word counts."""

    def __init__(self) -> None:
        self._said = threading.Event()
        self.error: BaseException | None = None
        """Why it is not ready; None while nothing is known, and when it is."""

    @property
    def said(self) -> bool:
        """Whether it is known how the start went."""
        return self._said.is_set()

    def ready(self) -> None:
        """Say that it is ready."""
        self._said.set()

    def pause(self, seconds: float) -> None:
        """Wait for the first word, so long at most."""
        self._said.wait(seconds)

    def fail(self, error: BaseException) -> None:
        """Say why it is not."""
        if not self.said:
            self.error = error
            self._said.set()

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Say for the thread what leaves the block before it is ready; what leaves it later goes on."""
        try:
            yield
        except BaseException as error:
            if self.said:
                raise
            self.fail(error)
        else:
            self.fail(SinkError("its thread ended before it was ready"))

    def wait(
        self, what: str, timeout_s: float = STARTS_WITHIN_S, stopped: Callable[[], object] = lambda: False
    ) -> None:
        """Wait until ``what`` is ready. Raises what went wrong; SinkError after ``timeout_s`` and when ``stopped``."""
        deadline = time.monotonic() + timeout_s
        while not self._said.wait(_POLL_S):
            if stopped():
                raise SinkError(f"stopped before {what} was ready")
            if time.monotonic() > deadline:
                raise SinkError(f"{what} was not ready within {timeout_s:g} s")
        if self.error is not None:
            raise self.error


def in_time(
    what: str, work: Callable[[], T], timeout_s: float = STARTS_WITHIN_S, stopped: Callable[[], object] = lambda: False
) -> T:
    """Return what ``work`` returns, or raise what it raises; it is done in a thread, as a disk may never answer.

    Raises SinkError after ``timeout_s`` and when ``stopped``; the thread is left behind then.
    """
    started, results = Started(), list[T]()

    def do() -> None:
        with started.reporting():
            results.append(work())
            started.ready()

    threading.Thread(target=do, name="cropzoom-start", daemon=True).start()
    begun, said = time.monotonic(), False
    while not started.said and not stopped() and (waited_s := time.monotonic() - begun) < timeout_s:
        if waited_s > _SAID_AFTER_S and not said:
            said = True
            logger.warning("%s does not answer yet; trying for %g s", what, timeout_s)
        started.pause(_POLL_S)
    if started.said or stopped():
        started.wait(what, 0, stopped)
        return results[0]
    raise SinkError(f"{what} did not answer within {timeout_s:g} s; is it on a disk or a share that hangs?")
