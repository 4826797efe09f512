"""Recording: a video, encoded or copied, and the table that maps captured frames to its frames.

``<name>_recording.csv`` has one row per frame that was captured while the recording went on: its number in the video,
or the reason why it has none. A row is written once that is certain, so after kill -9 video and table agree to within a
frame. In a copy, numbers are skipped for uncaptured frames that captured frames depend on.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import CropzoomError, SinkError, advise, one_line, pluralize
from realtime_cropzoom.files.append import NO_ANSWER, RowFile, taken_away
from realtime_cropzoom.runtime.ring import Lease
from realtime_cropzoom.runtime.started import Started
from realtime_cropzoom.sinks.packet_file import PacketFile
from realtime_cropzoom.sinks.video_encoder import Codec, VideoEncoder
from realtime_cropzoom.sources.encoded import CodecParameters, EncodedFrames
from realtime_cropzoom.sources.recording_table import RECORDING_COLUMNS, recording_table_path
from realtime_cropzoom.types import FrameMeta, Picture

logger = logging.getLogger(__name__)

TOO_SLOW = "too_slow"
"""The frame was overwritten before the recorder read it."""
NOT_WRITTEN = "not_written"
"""The disk was full, or the encoder failed."""
RUN_ENDED = "run_ended"
"""The frame was still waiting when the run was stopped."""
NO_KEY_FRAME = "no_key_frame"
"""In copies: a frame that this one depends on was damaged, missing or not copyable. Lasts until the next key frame."""
CHANGED = "changed"
"""In copies: the camera came back with another codec or size, which does not fit into the same file."""
NO_BOX = "no_box"
"""In crops: the frame has no box, so no crop. It does not count as dropped."""
BEFORE_KEY_FRAME = "before_key_frame"
"""In a copy that begins while the run goes: the first key frame comes later. It does not count as dropped."""

_WORDS = {
    TOO_SLOW: "because the recorder was too slow",
    NOT_WRITTEN: "because they could not be written",
    RUN_ENDED: "because the run was stopped",
    NO_KEY_FRAME: "because a frame that they depend on was damaged, missing or not copyable",
    CHANGED: "because the stream came back with another codec or frame size",
}
"""Each reason for which a frame is missing, in words."""
_IF_TOO_SLOW = {
    "ffv1": "take --record h264, or --record copy if the camera sends compressed frames, or smaller frames",
    "h264": "take --record copy if the camera sends compressed frames, or smaller frames, or fewer per second",
}
"""Advice for a recorder that is too slow, by codec."""
_IF_COPY_TOO_SLOW = "write to a faster disk"
"""Advice for a recorder that is too slow and encodes nothing."""
_ALWAYS = (TOO_SLOW, NOT_WRITTEN, RUN_ENDED)
"""Reasons that the summary lists even if their count is 0."""
_EXPECTED = (NO_BOX, BEFORE_KEY_FRAME)
"""Reasons that do not count as dropped."""


class _VideoFile(Protocol):
    """Video file of a recording. Once open, it never raises."""

    on_disk: int

    @property
    def error(self) -> str | None: ...

    def close(self) -> None: ...


_File = TypeVar("_File", bound=_VideoFile)


class Recording(Generic[_File]):
    """A video and its table. One thread opens, writes and closes them; other threads may read the counts."""

    def __init__(self, video: Path, codec: str) -> None:
        """Nothing is opened before ``open``."""
        self.video = video
        self.first = 0
        """Index of the first captured frame of the recording. Set before ``open``."""
        self.end: int | None = None
        """Index of the frame before which the recording ends; None for the end of the run. Any thread may set it."""
        self.began_ns = now_ns()
        """When the recording began (monotonic, ns)."""
        self.recorded = 0
        self.dropped: Counter[str] = Counter()
        self._codec = codec
        self.on_failure: Callable[[str], object] = lambda reason: None
        """Called once, in the thread that writes, if the video takes no more frames."""
        self._started = Started()
        self._file: _File | None = None
        self._table: RowFile | None = None
        self._failed = False
        self._warned = False
        self._zero_ns: int | None = None
        """Frame time (ns) at which the video begins; None before its first frame."""
        self._given = 0
        """Number of frames given to the video, captured or not."""
        self._waiting: deque[tuple[FrameMeta, int, str]] = deque()
        """Frames whose row is not written yet: metadata, number in the video, and the reason if they are left out."""

    def open_video(self) -> _File:
        """Make the video. Raises SinkError."""
        raise NotImplementedError

    def open(self) -> bool:
        """Create both files; return whether that succeeded."""
        with self._started.reporting():
            self._file = self.open_video()
            self._table = RowFile(recording_table_path(self.video), RECORDING_COLUMNS + "\n")
            self._started.ready()
        if self._started.error is not None and self._file is not None:
            self._file.close()
            with contextlib.suppress(OSError):
                self.video.unlink()  # it has no frame
        return self._started.error is None

    def wait_open(self, stopped: Callable[[], object] = lambda: False) -> None:
        """Wait until ``open`` has finished in the other thread.

        Raises:
            SinkError: if that failed, took too long, or ``stopped`` returns True.
        """
        try:
            self._started.wait(f"the recording {self.video.name}", stopped=stopped)
        except CropzoomError:
            raise
        except Exception as error:
            raise SinkError(f"cannot record {self.video.name}: {one_line(error)}") from error

    def mark_dropped(self, metas: Sequence[FrameMeta], reason: str) -> None:
        """Mark frames that are not recorded. Warn once if the recorder is too slow."""
        metas = [meta for meta in metas if self.covers(meta.index)]
        if reason == TOO_SLOW and metas and not self._warned:
            self._warned = True
            logger.warning("%s: the recorder is too slow, so frames are missing; %s", self.video, self._advice)
        self._waiting.extend((meta, -1, reason) for meta in metas)
        self._settle()

    def close(self) -> None:
        """Close both files; then every frame has its row."""
        assert self._file is not None
        assert self._table is not None
        self._file.close()
        self._settle(closed=True)
        self._table.close()
        if self.end == self.first:  # whoever asked for it was told that it cannot be
            with contextlib.suppress(OSError):
                self.video.unlink()
                self._table.path.unlink()

    def covers(self, index: int) -> bool:
        """Return whether the captured frame ``index`` is part of the recording."""
        end = self.end
        return self.first <= index and (end is None or index < end)

    @property
    def failed(self) -> bool:
        """Whether the video takes no more frames, as on a full disk. They are marked as missing."""
        return self._file is not None and self._file.error is not None

    def as_text(self) -> str:
        """Return the name of the video and how many frames it holds, for people."""
        return f"{self.video.name}: {pluralize(self.recorded, 'frame')}"

    def waiting(self, captured: int) -> int:
        """Return the number of frames, of ``captured`` ones, that are neither recorded nor left out yet."""
        end = captured if self.end is None else min(captured, self.end)
        return max(0, end - self.first) - self.recorded - self.dropped.total()

    @property
    def _advice(self) -> str:
        return advise(_IF_TOO_SLOW.get(self._codec, _IF_COPY_TOO_SLOW), "take smaller frames")

    def dropped_count(self) -> int:
        """Return the number of frames that are missing in the recording."""
        return sum(count for reason, count in self.dropped.items() if reason not in _EXPECTED)

    def left_behind(self, captured: int) -> list[str]:
        """Return a message for a recording that is abandoned because its disk does not answer.

        Args:
            captured: Number of frames that the run captured.
        """
        missing = self.waiting(captured)
        return [f"{self.video}: {NO_ANSWER}; its last {missing} frames may be missing, and it was not closed"]

    def summary(self) -> dict[str, Any]:
        """Return the entry of this recording in ``summary.json``."""
        dropped = {reason: self.dropped[reason] for reason in _WORDS if reason in _ALWAYS or self.dropped[reason]}
        return {
            "file": self.video.name,
            "codec": self._codec,
            "first_frame": self.first,
            "frames": self.recorded,
            "dropped": dropped,
        }

    def problems(self) -> list[str]:
        """Return messages about missing frames with the reasons, and about faults of the files; empty if none."""
        problems = []
        missing = {reason: n for reason, n in self.summary()["dropped"].items() if n}
        if missing:
            total = pluralize(sum(missing.values()), "frame")
            is_or_are = "is" if sum(missing.values()) == 1 else "are"
            reasons = ", ".join(f"{n} {_WORDS[reason]}" for reason, n in missing.items())
            reasons = f", {_WORDS[next(iter(missing))]}" if len(missing) == 1 else f": {reasons}"
            error = f" ({self._file.error})" if self._file is not None and self._file.error else ""
            advice = f"; {self._advice}" if TOO_SLOW in missing else ""
            problems.append(f"{self.video}: {total} {is_or_are} not in the recording{reasons}{error}{advice}")
        if self._file is not None and (gone := taken_away(self.video, 1)):
            problems.append(gone)
        if self._table is not None and (problem := self._table.problem()):
            problems.append(problem)
        return problems

    def _time_ns(self, meta: FrameMeta) -> int:
        """Return the time (ns) of a frame in the video, which begins with the run or with its own first frame."""
        if self._zero_ns is None:
            self._zero_ns = meta.pts_ns if self.first else 0
        return meta.pts_ns - self._zero_ns

    def _count_given(self, meta: FrameMeta, frames: int = 1) -> None:
        """Note that ``frames`` frames were written to the video, and that the last one is the captured frame."""
        assert self._file is not None
        self._given += frames
        self._waiting.append((meta, self._given - 1, ""))
        if self._file.error is not None and not self._failed:
            self._failed = True
            logger.warning("%s: %s; the recording ends here, the run continues", self.video, self._file.error)
            self.on_failure(self._file.error)
        self._settle()

    def _settle(self, *, closed: bool = False) -> None:
        """Write the rows of frames whose outcome is known, in order, and none before its frame is on the disk."""
        assert self._file is not None
        assert self._table is not None
        while self._waiting:
            meta, number, reason = self._waiting[0]
            if not reason and number >= self._file.on_disk:
                if self._file.error is None and not closed:
                    break
                reason = NOT_WRITTEN
            self._waiting.popleft()
            self._table.add(f"{meta.index},{'' if reason else number},{reason},{meta.segment}\n")
            self.recorded += not reason
            self.dropped[reason] += bool(reason)
        self._table.flush()


class EncodedRecording(Recording[VideoEncoder]):
    """Recording of images, which are encoded here."""

    def __init__(self, video: Path, size: tuple[int, int], fps: float | None, codec: Codec) -> None:
        """Prepare the recording without opening its files.

        Args:
            video: Path of the video.
            size: (width, height) in pixels.
            fps: Nominal frames per second; None if unknown.
            codec: ``h264`` or ``ffv1``.
        """
        super().__init__(video, codec)
        self.size = size
        self._fps, self._encode_as = fps, codec

    def open_video(self) -> VideoEncoder:
        """Make the video. Raises SinkError."""
        return VideoEncoder(self.video, self.size, self._fps, self._encode_as)

    def write(self, meta: FrameMeta, image: Picture, lease: Lease) -> None:
        """Record an image of a frame.

        Args:
            meta: Index and times of the frame.
            image: Image of the size of the recording.
            lease: Lease of the frame in the ring. It is released before the image is encoded.
        """
        assert self._file is not None
        if not self.covers(meta.index):
            return
        frame = self._file.convert(np.ascontiguousarray(image))
        lease.release()
        if frame is not None:
            self._file.write(frame, self._time_ns(meta))
        self._count_given(meta)


class CopiedRecording(Recording[PacketFile]):
    """Recording of frames as the camera compressed them."""

    def __init__(self, video: Path, coding: CodecParameters) -> None:
        super().__init__(video, f"copy of {coding.codec}")
        self._coding = coding

    def open_video(self) -> PacketFile:
        """Make the video. Raises SinkError."""
        return PacketFile(self.video, self._coding)

    def write(self, meta: FrameMeta, encoded: EncodedFrames | None) -> None:
        """Record a frame, or leave it out if it cannot be copied.

        Args:
            meta: Index and times of the frame.
            encoded: The compressed frame; None if a frame that it depends on is missing.
        """
        assert self._file is not None
        if not self.covers(meta.index):
            return
        if encoded is None:
            self.mark_dropped([meta], NO_KEY_FRAME)
        elif not encoded.coding.is_compatible_with(self._coding):
            self.mark_dropped([meta], CHANGED)
        else:
            self._file.write(encoded, self._time_ns(meta))
            self._count_given(meta, len(encoded.frames))
