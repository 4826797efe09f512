"""Capture stage: supervises the thread that reads the source, and closes the ring when no further frame comes.

A call that waits for a network or a camera cannot be interrupted. It ends by its own time limit. So the source has a
thread of its own (``source_reader``), which this stage leaves behind if it does not return when the run stops.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.pipeline.source_reader import CaptureOptions, SourceReader, Tap
from realtime_cropzoom.runtime.ring import Ring
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage
from realtime_cropzoom.sources.base import Source, SourceInfo
from realtime_cropzoom.types import StreamState

logger = logging.getLogger(__name__)

_OPEN_TIMEOUT_S = 120.0
"""Timeout (s) for opening the source. Sources have shorter limits of their own; a hung driver or disk has none."""
READER_JOIN_TIMEOUT_S = 0.5
"""Timeout (s) for joining the reader of a live source when the run stops."""


class CaptureStage(Stage):
    """Opens the source when it is started. Captures no frame before ``begin`` provides a ring."""

    def __init__(self, open_source: Callable[[], Source], control: RunControl, options: CaptureOptions) -> None:
        super().__init__("capture", control)
        self.reader = SourceReader(open_source, control, options)
        """The thread that reads the source, with the counts of captured, lost and old frames."""
        self._ring: Ring | None = None
        self._finished = threading.Event()

    def wait_open(self) -> SourceInfo:
        """Wait until the source is open, and return its properties.

        Raises:
            SourceError: if it cannot be opened, takes too long, or the run stops.
            CropzoomError: the first error of the run, if there is one.
        """
        try:
            self.reader.opened.wait("the source", _OPEN_TIMEOUT_S, self.control.stop.is_set)
        except SourceError as error:
            raise (self.control.error or error) from None
        assert self.reader.info is not None
        return self.reader.info

    def begin(self, ring: Ring, tap: Tap | None = None) -> None:
        """Start to capture into ``ring``; ``tap`` receives each frame after that, in the thread of the reader."""
        self._ring = ring
        self.reader.begin(ring, tap)
        if self._finished.is_set():  # a live source may be given up before; ``finish`` closes the ring if it is not
            ring.close()

    def stream(self, at_ns: int) -> StreamState:
        """Return whether frames arrive at ``at_ns`` (monotonic, ns)."""
        return self.reader.stream(at_ns) if self.is_alive() else StreamState.ENDED

    def seconds(self) -> float:
        """Return the time (s) between the first and the last captured frame."""
        return (self.reader.last_ns - self.reader.first_ns) / 1e9

    def work(self) -> None:
        """Wait for the reader. If the run stops, a live source that does not return is left behind."""
        reader = self.reader
        reader.start()
        while reader.is_alive():
            reader.join(POLL_S)
            if self.control.stop.is_set() and (reader.info is None or reader.info.live):
                reader.join(READER_JOIN_TIMEOUT_S)
                if reader.is_alive():
                    name = "the source" if reader.info is None else reader.info.name
                    logger.warning("%s still waits for a frame and is left alone; it closes by itself", name)
                return

    def finish(self) -> None:
        """Announce the end of the stream to the readers of the ring."""
        self._finished.set()
        if self._ring is not None:
            self._ring.close()
