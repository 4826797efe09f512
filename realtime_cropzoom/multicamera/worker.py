"""Camera process: runs the pipeline of one of several cameras; the supervisor starts it with ``python -m``.

Orders arrive on stdin, reports go to stdout, as ``messages`` describes. If stdin closes, the supervisor is gone, and
this process ends, too.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from realtime_cropzoom.errors import EXIT_FAILED, EXIT_INCOMPLETE, CropzoomError
from realtime_cropzoom.inference.pose_quality import nothing_found
from realtime_cropzoom.multicamera.messages import (
    End,
    FrameCount,
    Heartbeat,
    Job,
    Note,
    Problem,
    Report,
    Stop,
    decode_order,
    encode,
)
from realtime_cropzoom.runtime.signals import stop_on_signals

if TYPE_CHECKING:
    from realtime_cropzoom.pipeline.pipeline import Pipeline

logger = logging.getLogger(__name__)
_ORPHAN_ENDS_WITHIN_S = 5.0
"""Time (s) after which a process without a supervisor exits, also if its pipeline hangs."""


class CameraProcess:
    """Runs one pipeline by the orders of the supervisor, and reports to it."""

    def __init__(self, orders: io.RawIOBase, reports: TextIO) -> None:
        """Create it; ``orders`` is read line by line, ``reports`` is written."""
        self._orders, self._reports = orders, reports
        self._pipeline: Pipeline | None = None
        self.stopped: tuple[str, int] | None = None
        """Reason and exit code of the first stop; None before it."""

    def run(self) -> int:
        """Run the pipeline to its end and return the exit code."""
        job = decode_order(self._orders.readline())
        if not isinstance(job, Job):
            raise ValueError(f"first order: got {job}, expected a Job")
        received = stop_on_signals(lambda why: self.stop(why, 128 + received[-1]))
        threading.Thread(target=self._listen, name="cropzoom-group", daemon=True).start()
        try:
            code, reason = self._track(job)
        except CropzoomError as error:
            code, reason = EXIT_FAILED, str(error)
            if self.stopped is not None and not self._summary():  # stopped during the start, so the error is no fault
                reason, code = self.stopped
        self._send(End(code, reason, self._summary() or None))
        return code

    def stop(self, reason: str, code: int) -> None:
        """End the run, or the one that is about to start. Later reasons are ignored."""
        self.stopped = self.stopped or (reason, code)
        if self._pipeline is not None:
            self._pipeline.stop(reason)

    def _track(self, job: Job) -> tuple[int, str]:
        from realtime_cropzoom.config.resolve import resolve
        from realtime_cropzoom.pipeline.pipeline import Pipeline

        pipeline = Pipeline(resolve(job.settings, {}), folder=Path(job.folder), anchor_ns=job.anchor_ns)
        self._pipeline = pipeline
        stopped = self.stopped
        if stopped is not None:
            return stopped[1], stopped[0]
        pipeline.start()
        self._send(FrameCount(pipeline.info.frame_count))
        for note in pipeline.notes:
            self._send(Note(note))
        self._watch(pipeline)
        summary = pipeline.join()
        for problem in summary["problems"]:
            self._send(Problem(problem))
        if self.stopped is not None:
            return self.stopped[1], str(summary["reason"])
        return (EXIT_INCOMPLETE if summary["problems"] or nothing_found(summary["animal"]) else 0), str(
            summary["reason"]
        )

    def _watch(self, pipeline: Pipeline) -> None:
        while not pipeline.control.stop.is_set() and not pipeline.wait(1.0):
            self._send(Heartbeat(pipeline.progress()))

    def _listen(self) -> None:
        for line in self._orders:
            self.obey(line)
        # From here on stderr has no reader. A start that hangs does not notice the stop, hence the exit below.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        self.stop("stopped: the process that ran all cameras is gone", 128 + signal.SIGTERM)
        time.sleep(_ORPHAN_ENDS_WITHIN_S)
        os._exit(EXIT_FAILED)

    def obey(self, line: bytes) -> None:
        """Carry out the order in a line. An unknown order is logged and ignored."""
        try:
            order = decode_order(line)
        except ValueError as error:
            logger.warning("ignored an unknown order: %s", error)
            return
        if isinstance(order, Stop):
            self.stop(order.reason, order.exit)
        else:
            logger.warning("ignored a second job")

    def _summary(self) -> dict[str, Any]:
        return {} if self._pipeline is None else self._pipeline.summary

    def _send(self, report: Report) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone; ``_listen`` ends the run
            self._reports.write(encode(report))
            self._reports.flush()


def main() -> int:
    """Run the camera whose job arrives on stdin, and return the exit code. Output of libraries goes to stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Unbuffered: a thread that waits inside the lock of a buffer would break the shutdown of the interpreter.
    orders = io.FileIO(sys.stdin.fileno(), closefd=False)
    code = CameraProcess(orders, reports).run()
    with contextlib.suppress(OSError):
        reports.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
