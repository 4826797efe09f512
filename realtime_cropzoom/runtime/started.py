"""Start handshake: a thread reports that it is ready or why it failed, and another thread waits for the report.

The wait always ends: when the thread is ready, fails or ends without a report, when the program is asked to
stop, and after a time limit.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.errors import CropzoomError, SinkError

T = TypeVar("T")
logger = logging.getLogger(__name__)

STARTS_WITHIN_S = 10.0
"""Timeout (s) for a start. A start that takes longer is taken for hung."""
_LOG_AFTER_S = 3.0
"""Time (s) after which a waiting start logs what it waits for."""
_POLL_S = 0.1
"""Interval (s) at which a wait checks for a stop. Signal handlers run between two checks, too."""


class Started:
    """The report of a starting thread. Later reports are ignored."""

    def __init__(self, failure: type[CropzoomError] = SinkError, advice: str = "") -> None:
        """Create it without a report.

        Args:
            failure: The class of the error for a start that takes too long, is stopped, or ends without a report.
            advice: What the user can do if it takes too long, for the error text.
        """
        self._failure, self._advice = failure, advice
        self._reported = threading.Event()
        self.error: BaseException | None = None
        """Why the start failed; None before the report and after a successful start."""

    @property
    def reported(self) -> bool:
        """Whether the thread has reported."""
        return self._reported.is_set()

    def ready(self) -> None:
        """Report that the thread is ready."""
        self._reported.set()

    def pause(self, seconds: float) -> None:
        """Wait for the report, at most ``seconds``."""
        self._reported.wait(seconds)

    def fail(self, error: BaseException) -> None:
        """Report why the start failed."""
        if not self.reported:
            self.error = error
            self._reported.set()

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Report an error that leaves the block before the thread is ready. Later errors are raised as usual."""
        try:
            yield
        except BaseException as error:
            if self.reported:
                raise
            self.fail(error)
        else:
            self.fail(self._failure("its thread ended before it was ready"))

    def wait(
        self, what: str, timeout_s: float = STARTS_WITHIN_S, stopped: Callable[[], object] = lambda: False
    ) -> None:
        """Wait until the thread is ready.

        Args:
            what: The name of what starts, for the error text.
            timeout_s: Maximum wait (s).
            stopped: Returns a true value if the wait should end.

        Raises:
            BaseException: the error that the thread reported.
            CropzoomError: of the class ``failure`` after ``timeout_s``, or if stopped.
        """
        deadline = now_s() + timeout_s
        while not self._reported.wait(_POLL_S):
            if stopped():
                raise self._failure(f"stopped before {what} was ready")
            if now_s() > deadline:
                advice = f"; {self._advice}" if self._advice else ""
                raise self._failure(f"{what} was not ready within {timeout_s:g} s{advice}")
        if self.error is not None:
            raise self.error


def in_time(
    what: str, work: Callable[[], T], timeout_s: float = STARTS_WITHIN_S, stopped: Callable[[], object] = lambda: False
) -> T:
    """Call ``work`` in a thread of its own and return its result, because a disk may never answer.

    Args:
        what: The name of what is done, for the error text.
        work: The function to call. Its errors are raised here.
        timeout_s: Maximum wait (s).
        stopped: Returns a true value if the wait should end.

    Raises:
        SinkError: after ``timeout_s``, or if stopped. The thread is then left running.
    """
    started, results = Started(), list[T]()

    def do() -> None:
        with started.reporting():
            results.append(work())
            started.ready()

    threading.Thread(target=do, name="cropzoom-start", daemon=True).start()
    begun, logged = now_s(), False
    while not started.reported and not stopped() and (waited_s := now_s() - begun) < timeout_s:
        if waited_s > _LOG_AFTER_S and not logged:
            logged = True
            logger.warning("%s does not answer yet; trying for %g s", what, timeout_s)
        started.pause(_POLL_S)
    if started.reported or stopped():
        started.wait(what, 0, stopped)
        return results[0]
    raise SinkError(f"{what} did not answer within {timeout_s:g} s; is it on a disk or a share that hangs?")
