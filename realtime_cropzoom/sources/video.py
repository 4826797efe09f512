"""Video files, through PyAV: whatever FFmpeg decodes, as RGB, the right way up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources import Captured, SourceInfo
from realtime_cropzoom.types import UInt8

logger = logging.getLogger(__name__)


class VideoFile:
    """A video file. Frames are what ``rgb24`` conversion gives, turned as the file's display matrix says."""

    def __init__(self, path: Path) -> None:
        """Open ``path``. Raises SourceError where it is missing or no video."""
        if not path.exists():
            raise SourceError(f"no video at {path}; expected a file such as recording.mp4, or synthetic:arena")
        if path.is_dir():
            raise SourceError(f"{path} is a folder; expected one video file")
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty; expected a video file")
        self._path = path
        try:
            self._container = av.open(str(path))
        except (av.FFmpegError, OSError) as error:
            raise SourceError(
                f"{path} cannot be read as a video ({_words(error)}); "
                "it may be another kind of file, or a recording that was cut off before its index was written"
            ) from error
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{path} has no video in it; expected a video file")
        self._stream = self._container.streams.video[0]
        self._reformatter = VideoReformatter()
        self._undecodable = 0
        self._packets = 0
        self._complete = False
        self.info = self._describe()

    def frames(self) -> Iterator[Captured]:
        """Yield every frame that decodes, in presentation order. Raises SourceError where none does."""
        first_pts: float | None = None
        index, last_ns = 0, -1
        for frame in self._decode():
            seconds = frame.time if frame.time is not None else index / (self.info.fps or 30.0)
            first_pts = seconds if first_pts is None else first_pts
            pts_ns = max(round((seconds - first_pts) * 1e9), last_ns + 1)
            turned = frame.rotation % 180 != 0
            width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
            device_ns = None if frame.time is None else round(frame.time * 1e9)
            yield Captured(pts_ns, device_ns, width, height, partial(self._copy, frame))
            index, last_ns = index + 1, pts_ns
        self._complete = True
        if index == 0:
            raise SourceError(f"{self._path} has no frame that decodes; expected a video file")

    def problems(self) -> list[str]:
        """Say how many packets did not decode, and whether the file ends before its header says so."""
        problems = []
        if self._undecodable:
            problems.append(f"{self._path}: {self._undecodable} packets did not decode and were left out")
        if self._complete and self._packets < self._stream.frames:
            problems.append(
                f"{self._path} is cut short: its header promises {self._stream.frames} frames, "
                f"{self._packets} are there"
            )
        return problems

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _describe(self) -> SourceInfo:
        stream, codec = self._stream, self._stream.codec_context
        rate = stream.average_rate or stream.guessed_rate
        width, height = codec.width, codec.height
        # The display matrix is only known once a frame is there: look at the first, then start over.
        for frame in self._decode():
            width, height = (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)
            break
        self._container.seek(0)
        self._packets = self._undecodable = 0
        return SourceInfo(
            self._path.stem, width, height, float(rate) if rate else None, stream.frames if stream.frames > 0 else None
        )

    def _decode(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                logger.warning("%s: reading ends early: %s", self._path, _words(error))
                self._undecodable += 1
                return
            try:
                yield from packet.decode()
            except av.FFmpegError as error:
                logger.debug("%s: a packet does not decode: %s", self._path, _words(error))
                self._undecodable += 1
            self._packets += packet.size > 0

    def _copy(self, frame: av.VideoFrame, out: UInt8) -> None:
        rgb = self._reformatter.reformat(frame, format="rgb24")
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(rgb.height, plane.line_size)
        pixels = rows[:, : rgb.width * 3].reshape(rgb.height, rgb.width, 3)
        np.copyto(out, np.rot90(pixels, frame.rotation // 90) if frame.rotation else pixels)


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
