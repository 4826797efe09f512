"""What all stages share: a named thread, one stop event, and the first error, kept."""

from __future__ import annotations

import logging
import threading
from collections import deque

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import CropzoomError, StageError

POLL_S = 0.1
"""No wait is longer than this without a look at the stop event."""
_RESTARTS = 3
"""What fails more often than this within a minute is broken, and beginning anew does not help it."""
_MINUTE_NS = 60_000_000_000

logger = logging.getLogger(__name__)


class Control:
    """What the threads of one run know of each other: that it is time to stop, and why."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.reason = "finished"
        """Why the run ended, where no error ended it; set before ``stop`` is."""
        self._lock = threading.Lock()
        self.error: CropzoomError | None = None
        """The first error; later ones are consequences and only logged."""

    def fail(self, stage: str, error: BaseException) -> None:
        """Keep the first error and stop the run."""
        self.keep(stage, error)
        self.stop.set()

    def keep(self, stage: str, error: BaseException) -> None:
        """Keep the first error, but let the run come to its end."""
        if not isinstance(error, CropzoomError):
            logger.exception("%s stage failed", stage, exc_info=error)
            wrapped = StageError(f"the {stage} stage failed: {in_a_line(error)}")
            wrapped.__cause__ = error
            error = wrapped
        with self._lock:
            if self.error is None:
                self.error = error
            else:
                logger.debug("%s stage, after the first error: %s", stage, error)


class Restarts:
    """Which failures of a stage may be answered by beginning anew: so many a minute."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._times = deque[int](maxlen=max(allowed, 1))
        self.count = 0
        """How many there have been."""

    def grant(self, at_ns: int) -> bool:
        """Whether there may be one more; if so, it counts."""
        full = len(self._times) == self._allowed
        if self._allowed == 0 or (full and at_ns - self._times[0] < _MINUTE_NS):
            return False
        self._times.append(at_ns)
        self.count += 1
        return True


class Stage(threading.Thread):
    """A thread that runs ``work`` to its end, or to the end of the run.

    Daemon, because a thread stuck in native code cannot be joined and must not keep the
    process alive.
    """

    def __init__(self, name: str, control: Control, *, restart: bool = False) -> None:
        """With ``restart``, ``work`` is called again when it has raised, unless that happens all the time."""
        super().__init__(name=f"cropzoom-{name}", daemon=True)
        self.stage = name
        self.control = control
        self.restarts = Restarts(_RESTARTS if restart else 0)
        self.last_failure = ""
        """What the last restart was for."""
        self.busy_since_ns = 0
        """When the stage began with the frame it is at; 0 while it waits for one."""

    def run(self) -> None:
        """Run ``work``; whatever it raises ends the run, unless the stage may begin anew."""
        try:
            while not self._comes_to_its_end():
                self.busy_since_ns = 0
                self.recover()
        except BaseException as error:  # the thread's last frame: nobody above it would see the error
            self.control.fail(self.stage, error)
        finally:
            self.finish()

    def _comes_to_its_end(self) -> bool:
        """Run ``work``; return False where it failed and is to be called again. Raises what ends the run."""
        try:
            self.work()
        except CropzoomError:  # raised on purpose: the next time would be no different
            raise
        except Exception as error:
            if self.control.stop.is_set() or not self.restarts.grant(now_ns()):
                raise
            self.last_failure = in_a_line(error)
            logger.warning("the %s stage failed and begins anew: %s", self.stage, self.last_failure)
            logger.debug("%s stage", self.stage, exc_info=error)
            return False
        return True

    def work(self) -> None:
        """Do the stage's job."""
        raise NotImplementedError

    def recover(self) -> None:
        """Put everything in order after ``work`` has raised and before it is called again."""

    def sleep_until(self, due_ns: int) -> None:
        """Sleep until the monotonic clock says ``due_ns``, or the run stops."""
        while (left_ns := due_ns - now_ns()) > 0 and not self.control.stop.is_set():
            self.control.stop.wait(min(left_ns / 1e9, POLL_S))

    def finish(self) -> None:
        """Tell those who wait for this stage that nothing more will come."""


def in_a_line(error: BaseException) -> str:
    """Return kind and text of an error, without line breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
