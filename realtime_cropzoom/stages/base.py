"""What all stages share: a named thread, one stop event, and the first error, kept."""

from __future__ import annotations

import logging
import threading

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import CropzoomError, StageError

POLL_S = 0.1
"""No wait is longer than this without a look at the stop event."""

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
            wrapped = StageError(f"the {stage} stage failed: {type(error).__name__}: {' '.join(str(error).split())}")
            wrapped.__cause__ = error
            error = wrapped
        with self._lock:
            if self.error is None:
                self.error = error
            else:
                logger.debug("%s stage, after the first error: %s", stage, error)


class Stage(threading.Thread):
    """A thread that runs ``work`` to its end, or to the end of the run.

    Daemon, because a thread stuck in native code cannot be joined and must not keep the
    process alive.
    """

    def __init__(self, name: str, control: Control) -> None:
        super().__init__(name=f"cropzoom-{name}", daemon=True)
        self.stage = name
        self.control = control
        self.busy_since_ns = 0
        """When the stage began with the frame it is at; 0 while it waits for one."""

    def run(self) -> None:
        """Run ``work``; whatever it raises ends the run."""
        try:
            self.work()
        except BaseException as error:  # the thread's last frame: nobody above it would see the error
            self.control.fail(self.stage, error)
        finally:
            self.finish()

    def work(self) -> None:
        """Do the stage's job."""
        raise NotImplementedError

    def sleep_until(self, due_ns: int) -> None:
        """Sleep until the monotonic clock says ``due_ns``, or the run stops."""
        while (left_ns := due_ns - now_ns()) > 0 and not self.control.stop.is_set():
            self.control.stop.wait(min(left_ns / 1e9, POLL_S))

    def finish(self) -> None:
        """Tell those who wait for this stage that nothing more will come."""
