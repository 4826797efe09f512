"""Worker threads: a named thread with a limited number of restarts, and the stop event and first error of a run."""

from __future__ import annotations

import logging
import threading
from collections import deque

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import CropzoomError, StageError, one_line

POLL_S = 0.1
"""Maximum time (s) that a wait lasts before it checks the stop event again."""
_RESTARTS = 3
"""Maximum number of restarts per minute. A stage that fails more often has a lasting fault."""
_MINUTE_NS = 60_000_000_000

logger = logging.getLogger(__name__)


class RunControl:
    """The stop event of a run, its reason and its first error, shared by all threads of the run."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.reason = "finished"
        """Why the run ended without an error. Set before ``stop``."""
        self._lock = threading.Lock()
        self.error: CropzoomError | None = None
        """The first error; later ones are consequences and only logged."""

    def sleep_until(self, due_ns: int) -> None:
        """Sleep until the monotonic clock reaches ``due_ns`` or the run stops."""
        while (left_ns := due_ns - now_ns()) > 0 and not self.stop.is_set():
            self.stop.wait(min(left_ns / 1e9, POLL_S))

    def fail(self, stage: str, error: BaseException) -> None:
        """Keep the first error and stop the run."""
        self.keep(stage, error)
        self.stop.set()

    def keep(self, stage: str, error: BaseException) -> None:
        """Keep the first error and let the run continue. Errors of unknown kinds become a StageError."""
        if not isinstance(error, CropzoomError):
            logger.exception("%s stage failed", stage, exc_info=error)
            wrapped = StageError(f"the {stage} stage failed: {one_line(error)}")
            wrapped.__cause__ = error
            error = wrapped
        with self._lock:
            if self.error is None:
                self.error = error
            else:
                logger.debug("%s stage, after the first error: %s", stage, error)


class RestartBudget:
    """The number of restarts that a failing stage is allowed per minute."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._times = deque[int](maxlen=max(allowed, 1))
        self.count = 0
        """Number of restarts so far."""

    def grant(self, at_ns: int) -> bool:
        """Return whether one more restart is allowed at ``at_ns`` (monotonic, ns), and count it if so."""
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

    def __init__(self, name: str, control: RunControl, *, restart: bool = False) -> None:
        """Create the thread without starting it.

        Args:
            name: Name of the stage in errors and in the thread's name.
            control: Stop event and first error of the run.
            restart: Whether ``work`` is called again after an error, at most three times per minute.
        """
        super().__init__(name=f"cropzoom-{name}", daemon=True)
        self.stage = name
        self.control = control
        self.restarts = RestartBudget(_RESTARTS if restart else 0)
        self.last_failure = ""
        """The error that caused the last restart, in one line; "" before the first."""
        self.busy_since_ns = 0
        """Time (monotonic, ns) at which the stage started its current frame; 0 while it waits for one."""

    def run(self) -> None:
        """Run ``work``. An error ends the run unless the stage may restart."""
        try:
            while not self._run_once():
                self.busy_since_ns = 0
                self.recover()
        except BaseException as error:  # the outermost call of the thread: the error would be lost
            self.control.fail(self.stage, error)
        finally:
            self.finish()

    def _run_once(self) -> bool:
        """Run ``work``; return False if it failed and is to be called again. Raises the error that ends the run."""
        try:
            self.work()
        except CropzoomError:  # raised on purpose: a restart would meet the same cause
            raise
        except Exception as error:
            if self.control.stop.is_set() or not self.restarts.grant(now_ns()):
                raise
            self.last_failure = one_line(error)
            logger.warning("the %s stage failed and starts again: %s", self.stage, self.last_failure)
            logger.debug("%s stage", self.stage, exc_info=error)
            return False
        return True

    def work(self) -> None:
        """Do the stage's job."""
        raise NotImplementedError

    def recover(self) -> None:
        """Restore a clean state after an error in ``work``, before ``work`` is called again."""

    def finish(self) -> None:
        """Announce to the consumers of this stage that nothing follows. Called once, at the end of the thread."""
