"""A recording: a video, encoded or copied, and the table that says which captured frame each of its frames is.

``<name>_recording.csv`` has one row a captured frame: the number it has in the video, or why it has
none. A row is written once that is certain, so after kill -9 the two agree to within a frame. In a copy
numbers may be left out: those of frames that were not captured, and from which captured ones are made.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from realtime_cropzoom.errors import CropzoomError, SinkError
from realtime_cropzoom.files.append import NO_ANSWER, RowFile, taken_away
from realtime_cropzoom.runtime.ring import Lease
from realtime_cropzoom.runtime.started import Started
from realtime_cropzoom.runtime.worker import in_a_line
from realtime_cropzoom.sinks.packet_file import PacketFile
from realtime_cropzoom.sinks.video_encoder import Codec, VideoEncoder
from realtime_cropzoom.sources.encoded import CodecParameters, EncodedFrames
from realtime_cropzoom.sources.recording_table import RECORDING_COLUMNS, recording_table
from realtime_cropzoom.types import FrameMeta, UInt8

logger = logging.getLogger(__name__)

TOO_SLOW = "too_slow"
"""Overwritten before the recorder came to it."""
NOT_WRITTEN = "not_written"
"""The disk was full, or the encoder failed."""
RUN_ENDED = "run_ended"
"""Still waiting when the run was stopped, which waits for nobody."""
NO_KEY_FRAME = "no_key_frame"
"""Of copies: what the frame is made from was damaged, missing or not to be copied; so up to the next key frame."""
CHANGED = "changed"
"""Of copies: the camera came back with another codec or size, which does not go into the same file."""
NO_BOX = "no_box"
"""Of crops: there is none of this frame. It does not count as dropped."""

_WORDS = {
    TOO_SLOW: "because the recorder was too slow",
    NOT_WRITTEN: "because they could not be written",
    RUN_ENDED: "because the run was stopped",
    NO_KEY_FRAME: "because what they are made from was damaged, missing or not to be copied",
    CHANGED: "because the stream came back with another codec or frame size",
}
_ALWAYS = (TOO_SLOW, NOT_WRITTEN, RUN_ENDED)
"""The reasons that the summary names even where they are none."""


class _VideoFile(Protocol):
    """What a recording is written to; it never raises once it is open."""

    on_disk: int

    @property
    def error(self) -> str | None: ...

    def close(self) -> None: ...


_File = TypeVar("_File", bound=_VideoFile)


class Recording(Generic[_File]):
    """A video and its table. Opened, used and closed in one thread; counts may be read from others."""

    def __init__(self, video: Path, codec: str) -> None:
        """Nothing is opened before ``open``."""
        self.video = video
        self.recorded = 0
        self.dropped: Counter[str] = Counter()
        self._codec = codec
        self._started = Started()
        self._file: _File | None = None
        self._table: RowFile | None = None
        self._failed = False
        self._given = 0
        """Frames that the video was given, captured or not."""
        self._waiting: deque[tuple[FrameMeta, int, str]] = deque()
        """Frames whose row is not written yet: the number in the video, and why they are left out, if they are."""

    def open_video(self) -> _File:
        """Make the video. Raises SinkError."""
        raise NotImplementedError

    def open(self) -> bool:
        """Make the files; return whether that could be done."""
        with self._started.reporting():
            self._file = self.open_video()
            self._table = RowFile(recording_table(self.video), RECORDING_COLUMNS + "\n")
            self._started.ready()
        if self._started.error is not None and self._file is not None:
            self._file.close()
        return self._started.error is None

    def wait_open(self, stopped: Callable[[], object] = lambda: False) -> None:
        """Wait for ``open`` in the other thread. Raises SinkError where that failed, after a while, and ``stopped``."""
        try:
            self._started.wait(f"the recording {self.video.name}", stopped=stopped)
        except CropzoomError:
            raise
        except Exception as error:
            raise SinkError(f"cannot record {self.video.name}: {in_a_line(error)}") from error

    def leave_out(self, stamps: Sequence[FrameMeta], why: str) -> None:
        """Mark frames that are not recorded."""
        self._waiting.extend((stamp, -1, why) for stamp in stamps)
        self._settle()

    def close(self) -> None:
        """Close both files; then every frame has its row."""
        assert self._file is not None
        assert self._table is not None
        self._file.close()
        self._settle(closed=True)
        self._table.close()

    def dropped_count(self) -> int:
        """Return how many frames should be in the recording and are not."""
        return sum(count for why, count in self.dropped.items() if why != NO_BOX)

    def left_behind(self, captured: int) -> list[str]:
        """Say what is not in a recording that a disk holds up, which nobody waits for any more."""
        missing = captured - self.recorded - self.dropped.total()
        return [f"{self.video}: {NO_ANSWER}; its last {missing} frames are not in it for certain, and it is not closed"]

    def summary(self) -> dict[str, Any]:
        """Return what ``summary.json`` says of it."""
        dropped = {why: self.dropped[why] for why in _WORDS if why in _ALWAYS or self.dropped[why]}
        return {"file": self.video.name, "codec": self._codec, "frames": self.recorded, "dropped": dropped}

    def problems(self) -> list[str]:
        """Say how many frames are missing, and why."""
        problems = []
        missing = {why: n for why, n in self.summary()["dropped"].items() if n}
        if missing:
            reasons = ", ".join(f"{n} {_WORDS[why]}" for why, n in missing.items())
            error = f" ({self._file.error})" if self._file is not None and self._file.error else ""
            problems.append(f"{self.video}: {sum(missing.values())} frames are not in the recording: {reasons}{error}")
        if self._file is not None and (gone := taken_away(self.video, 1)):
            problems.append(gone)
        if self._table is not None and (problem := self._table.problem()):
            problems.append(problem)
        return problems

    def _gave(self, stamp: FrameMeta, frames: int = 1) -> None:
        """Note that the video was given so many frames, the last of which is the captured one."""
        assert self._file is not None
        self._given += frames
        self._waiting.append((stamp, self._given - 1, ""))
        if self._file.error is not None and not self._failed:
            self._failed = True
            logger.warning("%s: %s; the recording ends here, the run goes on", self.video, self._file.error)
        self._settle()

    def _settle(self, *, closed: bool = False) -> None:
        """Write the rows of the frames whose fate is known: in order, and none before it is on the disk."""
        assert self._file is not None
        assert self._table is not None
        while self._waiting:
            stamp, number, why = self._waiting[0]
            if not why and number >= self._file.on_disk:
                if self._file.error is None and not closed:
                    break
                why = NOT_WRITTEN
            self._waiting.popleft()
            self._table.add(f"{stamp.index},{'' if why else number},{why},{stamp.segment}\n")
            self.recorded += not why
            self.dropped[why] += bool(why)
        self._table.flush()


class EncodedRecording(Recording[VideoEncoder]):
    """Of images, encoded here."""

    def __init__(self, video: Path, size: tuple[int, int], fps: float | None, codec: Codec) -> None:
        """``size`` is (W, H)."""
        super().__init__(video, codec)
        self.size = size
        self._fps, self._encode_as = fps, codec

    def open_video(self) -> VideoEncoder:
        """Make the video. Raises SinkError."""
        return VideoEncoder(self.video, self.size, self._fps, self._encode_as)

    def write(self, stamp: FrameMeta, image: UInt8, lease: Lease) -> None:
        """Record an image of the frame; its lease is given back before it is encoded."""
        assert self._file is not None
        frame = self._file.convert(np.ascontiguousarray(image))
        lease.release()
        if frame is not None:
            self._file.write(frame, stamp.pts_ns)
        self._gave(stamp)


class CopiedRecording(Recording[PacketFile]):
    """Of frames as they came, compressed."""

    def __init__(self, video: Path, coding: CodecParameters) -> None:
        super().__init__(video, f"copy of {coding.codec}")
        self._coding = coding

    def open_video(self) -> PacketFile:
        """Make the video. Raises SinkError."""
        return PacketFile(self.video, self._coding)

    def write(self, stamp: FrameMeta, coded: EncodedFrames | None) -> None:
        """Record the frame, if nothing is missing that it is made from."""
        assert self._file is not None
        if coded is None:
            self.leave_out([stamp], NO_KEY_FRAME)
        elif not coded.coding.goes_on_as(self._coding):
            self.leave_out([stamp], CHANGED)
        else:
            self._file.write(coded, stamp.pts_ns)
            self._gave(stamp, len(coded.frames))
