"""A recording: a video, and the table that says which captured frame each of its frames is.

``<name>_recording.csv`` has one row a captured frame: the number it has in the video, or why it has
none. A row is written once that is certain, so after kill -9 the two agree to within a frame.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.recording import RECORDING_COLUMNS, recording_table
from realtime_cropzoom.ring import Lease
from realtime_cropzoom.sinks.encoder import Codec, VideoEncoder
from realtime_cropzoom.sinks.files import RowFile
from realtime_cropzoom.types import Stamp, UInt8

logger = logging.getLogger(__name__)

TOO_SLOW = "too_slow"
"""Overwritten before the recorder came to it."""
NOT_WRITTEN = "not_written"
"""The disk was full, or the encoder failed."""
RUN_ENDED = "run_ended"
"""Still waiting when the run was stopped, which waits for nobody."""
NO_BOX = "no_box"
"""Of crops: there is none of this frame. It does not count as dropped."""

_WORDS = {
    TOO_SLOW: "because the recorder was too slow",
    NOT_WRITTEN: "because they could not be written",
    RUN_ENDED: "because the run was stopped",
}


class Recording:
    """A video and its table. Opened, used and closed in one thread; counts may be read from others."""

    def __init__(self, video: Path, size: tuple[int, int], fps: float | None, codec: Codec) -> None:
        """``size`` is (W, H). Nothing is opened before ``open``."""
        self.video = video
        self.size = size
        self.recorded = 0
        self.dropped: Counter[str] = Counter()
        self._fps, self._codec = fps, codec
        self._opened = threading.Event()
        self._refused: SinkError | None = None
        self._encoder: VideoEncoder | None = None
        self._table: RowFile | None = None
        self._waiting: deque[tuple[Stamp, str]] = deque()
        """Frames whose row is not written yet, and why they are left out; nothing where they are not."""

    def open(self) -> bool:
        """Make the files; return whether that could be done."""
        try:
            self._encoder = VideoEncoder(self.video, self.size, self._fps, self._codec)
            self._table = RowFile(recording_table(self.video), RECORDING_COLUMNS + "\n")
        except SinkError as error:
            self._refused = error
        finally:
            self._opened.set()
        if self._refused is not None and self._encoder is not None:
            self._encoder.close()
        return self._refused is None

    def wait_open(self) -> None:
        """Wait for ``open`` in the other thread. Raises SinkError where it could not be done."""
        self._opened.wait()
        if self._refused is not None:
            raise self._refused

    def write(self, stamp: Stamp, image: UInt8, lease: Lease) -> None:
        """Record an image of the frame; its lease is given back before it is encoded."""
        assert self._encoder is not None
        frame = self._encoder.convert(np.ascontiguousarray(image))
        lease.release()
        self._waiting.append((stamp, ""))
        if frame is not None:
            self._encoder.write(frame, stamp.pts_ns)
            if self._encoder.error is not None:  # from here on no frame is converted
                logger.warning("%s: %s; the recording ends here, the run goes on", self.video, self._encoder.error)
        self._settle()

    def leave_out(self, stamps: Sequence[Stamp], why: str) -> None:
        """Mark frames that are not recorded."""
        self._waiting.extend((stamp, why) for stamp in stamps)
        self._settle()

    def close(self) -> None:
        """Close both files; then every frame has its row."""
        assert self._encoder is not None
        assert self._table is not None
        self._encoder.close()
        self._settle(closed=True)
        self._table.close()

    def dropped_count(self) -> int:
        """Return how many frames should be in the recording and are not."""
        return sum(count for why, count in self.dropped.items() if why != NO_BOX)

    def summary(self) -> dict[str, Any]:
        """Return what ``summary.json`` says of it."""
        dropped = {why: self.dropped[why] for why in (TOO_SLOW, NOT_WRITTEN, RUN_ENDED)}
        return {"file": self.video.name, "codec": self._codec, "frames": self.recorded, "dropped": dropped}

    def problems(self) -> list[str]:
        """Say how many frames are missing, and why."""
        problems = []
        missing = {why: n for why, n in self.summary()["dropped"].items() if n}
        if missing:
            reasons = ", ".join(f"{n} {_WORDS[why]}" for why, n in missing.items())
            error = f" ({self._encoder.error})" if self._encoder is not None and self._encoder.error else ""
            problems.append(f"{self.video}: {sum(missing.values())} frames are not in the recording: {reasons}{error}")
        if self._table is not None and self._table.lost_rows:
            table = self._table
            problems.append(f"{table.path}: {table.error}; {table.lost_rows} rows are lost")
        return problems

    def _settle(self, *, closed: bool = False) -> None:
        """Write the rows of the frames whose fate is known: in order, and none before it is on the disk."""
        assert self._encoder is not None
        assert self._table is not None
        while self._waiting:
            stamp, why = self._waiting[0]
            if not why and self.recorded >= self._encoder.on_disk:
                if self._encoder.error is None and not closed:
                    break
                why = NOT_WRITTEN
            self._waiting.popleft()
            number = "" if why else self.recorded
            self._table.add(f"{stamp.index},{number},{why},{stamp.segment}\n")
            self.recorded += not why
            self.dropped[why] += bool(why)
        self._table.flush()
