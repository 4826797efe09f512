"""Video files, through PyAV: whatever FFmpeg decodes, as RGB, the right way up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.recording import left_out_numbers
from realtime_cropzoom.sources import Captured, SourceInfo
from realtime_cropzoom.sources.times import recorded_times
from realtime_cropzoom.sources.trail import PacketTrail
from realtime_cropzoom.types import UInt8

_ONE_THREAD_PIXELS = 1280 * 1024
"""Up to this size one decoding thread is enough, and more of them only take the core from the models."""

logger = logging.getLogger(__name__)


class VideoFile:
    """A video file. Frames are what ``rgb24`` conversion gives, turned as the file's display matrix says.

    Of a run's own recording, those that had not been captured are left out.
    """

    def __init__(self, path: Path, start_s: float = 0.0, *, keep_packets: bool = False) -> None:
        """Open ``path``; its first frame is the first at ``start_s`` or later. Raises SourceError."""
        if not path.exists():
            raise SourceError(f"no video at {path}; expected a file such as recording.mp4, or synthetic:arena")
        if path.is_dir():
            raise SourceError(f"{path} is a folder; expected one video file")
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty; expected a video file")
        self._path = path
        self._keep_packets = keep_packets
        self._not_captured = left_out_numbers(path)
        self._open()
        self._reformatter = VideoReformatter()
        self._undecodable = 0
        self._damaged = 0
        self._packets = 0
        self._end_s: float | None = None
        self._start_s = start_s
        self._decoded = self._decode_from(start_s)
        # The display matrix, and whether anything decodes at all, is only known once a frame is there.
        self._first = next(self._decoded, None)
        if self._first is None:
            self._container.close()
            raise SourceError(
                f"{path} ends before start_s = {start_s:g} s" if start_s and self._packets else
                f"{path} has no frame that decodes; expected a video file"
            )  # fmt: skip
        self.info = self._describe(self._first)
        self._times = recorded_times(path, self._stream.frames)

    def frames(self) -> Iterator[Captured]:
        """Yield every frame that decodes, in presentation order."""
        first_ns: int | None = None
        index, last_ns, seconds = 0, -1, 0.0
        for frame in chain([self._first], self._decoded):
            assert frame is not None
            seconds = frame.time if frame.time is not None else index / (self.info.fps or 30.0)
            time_ns = self._times.exactly(round((seconds - self._begins_s()) * 1e9))
            first_ns = time_ns if first_ns is None else first_ns
            pts_ns = max(time_ns - first_ns, last_ns + 1)
            turned = frame.rotation % 180 != 0
            width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
            device_ns = None if frame.time is None else round(frame.time * 1e9)
            yield Captured(
                pts_ns, device_ns, width, height, partial(copy_rgb, self._reformatter, frame),
                coded=self._trail.take,
            )  # fmt: skip
            self._damaged += frame.is_corrupt
            index, last_ns = index + 1, pts_ns
        self._end_s = seconds

    def problems(self) -> list[str]:
        """Say how many packets did not decode or are damaged, and whether the file ends before its header says so."""
        problems = []
        if self._undecodable:
            problems.append(f"{self._path}: {self._undecodable} packets did not decode and were left out")
        if self._damaged:
            problems.append(f"{self._path}: {self._damaged} frames are damaged; the decoder has patched them up")
        if missing := self.missing():
            problems.append(f"{self._path} is cut short: its header promises {missing}")
        return problems

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def missing(self) -> str:
        """Return what the header promises beyond the frames that were there; nothing before their end."""
        promised, end_s = self._stream.frames, self._end_s
        if end_s is None:
            return ""
        if promised and not self._start_s:
            return f"{promised} frames, {self._packets} are there" if self._packets < promised else ""
        if self._container.duration is None:
            return ""
        # Only a length in seconds, as in Matroska; sound may go on a little longer than the picture.
        length_s = self._container.duration / av.time_base
        tolerance_s = max(0.2, 3 / (self.info.fps or 30.0))
        return f"{length_s:.2f} s, the last frame is at {end_s:.2f} s" if length_s - end_s > tolerance_s else ""

    def _describe(self, first: av.VideoFrame) -> SourceInfo:
        stream = self._stream
        rate = stream.average_rate or stream.guessed_rate
        width, height = (first.height, first.width) if first.rotation % 180 else (first.width, first.height)
        count = stream.frames if stream.frames > 0 and not self._start_s else None
        coding = "its pictures are turned" if first.rotation else self._trail.coding(width, height)
        return SourceInfo(self._path.stem, width, height, float(rate) if rate else None, count, coding=coding)

    def _begins_s(self) -> float:
        """When the file's first frame is, in the file's own time."""
        start, base = self._stream.start_time, self._stream.time_base
        return float(start * base) if start is not None and base is not None else 0.0

    def _decode_from(self, start_s: float) -> Iterator[av.VideoFrame]:
        """Decode from the key frame before ``start_s``, and hand on what comes then or later."""
        if not start_s:
            yield from self._decode()
            return
        # What is left out is counted from the beginning, and so nothing is skipped there.
        frames = self._decode() if self._not_captured else self._decode_from_key_frame(start_s)
        rate, tick_s = float(self._stream.average_rate or 30), float(self._stream.time_base or 0)
        for index, frame in enumerate(frames):
            seconds = index / rate if frame.time is None else frame.time - self._begins_s()
            if seconds > start_s - 0.51 * tick_s - 1e-6:  # what the container has rounded is not before
                yield frame

    def _decode_from_key_frame(self, start_s: float) -> Iterator[av.VideoFrame]:
        """Seek; where that lands too late, as MPEG-TS does, or there are no times, all is decoded instead."""
        try:
            self._container.seek(round((start_s + self._begins_s()) * av.time_base))
            frames = self._decode()
            first = next(frames, None)
        except av.FFmpegError as error:
            logger.debug("%s: no seeking, decoded from its beginning: %s", self._path, words(error))
            first = None
        if first is not None and first.time is not None and first.time - self._begins_s() <= start_s:
            return chain([first], frames)
        self._container.close()
        self._open()
        return self._decode()

    def _open(self) -> None:
        path = self._path
        try:
            self._container = av.open(str(path))
        except (av.FFmpegError, OSError) as error:
            raise SourceError(
                f"{path} cannot be read as a video ({words(error)}); "
                "it may be another kind of file, or a recording that was cut off before its index was written"
            ) from error
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{path} has no video in it; expected a video file")
        self._stream = self._container.streams.video[0]
        if self._stream.codec_context.width * self._stream.codec_context.height <= _ONE_THREAD_PIXELS:
            self._stream.codec_context.thread_count = 1
        self._trail = PacketTrail(self._stream, keep=self._keep_packets)

    def _decode(self) -> Iterator[av.VideoFrame]:
        for number, frame in enumerate(self._decode_all()):
            if number not in self._not_captured:
                yield frame

    def _decode_all(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                logger.warning("%s: reading ends early: %s", self._path, words(error))
                self._undecodable += 1
                return
            yield from self._decode_packet(packet)
            self._packets += packet.size > 0

    def _decode_packet(self, packet: av.Packet[VideoStream]) -> list[av.VideoFrame]:
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            logger.debug("%s: a packet does not decode: %s", self._path, words(error))
            self._undecodable += 1
            self._trail.spoil()
            return []
        if packet.size:
            self._trail.add(packet, frames)
        return frames


def copy_rgb(reformatter: VideoReformatter, frame: av.VideoFrame, out: UInt8) -> None:
    """Write a frame's RGB pixels, turned as its display matrix says, into (H, W, 3) uint8."""
    rgb = reformatter.reformat(frame, format="rgb24")
    plane = rgb.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(rgb.height, plane.line_size)
    pixels = rows[:, : rgb.width * 3].reshape(rgb.height, rgb.width, 3)
    np.copyto(out, np.rot90(pixels, frame.rotation // 90) if frame.rotation else pixels)


def words(error: Exception) -> str:
    """What FFmpeg says of an error, without the path that we name ourselves."""
    return getattr(error, "strerror", None) or str(error)
