"""Video files as a source: reads every format that FFmpeg decodes, as RGB in display orientation, through PyAV."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.video.stream import VideoStream

from realtime_cropzoom.errors import SourceError, explain
from realtime_cropzoom.files.paths import is_file
from realtime_cropzoom.pictures.decoded import DecodedPictures
from realtime_cropzoom.pictures.turn import Turn
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo
from realtime_cropzoom.sources.container import (
    check_is_file,
    end_of_all_s,
    has_times,
    main_stream,
    open_container,
    other_videos,
    promised_length_s,
)
from realtime_cropzoom.sources.display import TURNED, read_turn
from realtime_cropzoom.sources.frame_times import DecodingOrder, FrameTimes
from realtime_cropzoom.sources.gaps import GapDetector
from realtime_cropzoom.sources.image_file import bits_note
from realtime_cropzoom.sources.joined import grown_problem, joined_problem
from realtime_cropzoom.sources.packet_buffer import PacketBuffer
from realtime_cropzoom.sources.recorded_times import recorded_times
from realtime_cropzoom.sources.recording_table import read_uncaptured, recording_table_path

_ONE_THREAD_PIXELS = 1280 * 1024
"""Maximum frame size (pixels) for a single decoding thread. More threads would only take CPU from the models."""
_DEFAULT_FPS = 30.0
"""Frames per second of a file that gives no frame rate."""
_SOUND_AFTER_S = 1.0
"""Sound that continues for longer than this time (s) after the last frame was recorded without a picture."""

logger = logging.getLogger(__name__)


class _Decoded(NamedTuple):
    """A decoded frame and its time in s since the beginning of the file, None if it has none."""

    frame: av.VideoFrame
    seconds: float | None


class VideoFile:
    """Video file source. Frames are converted to ``rgb24`` and turned as the file's display matrix says.

    The frames that decode are the recording. If the header counts more, ``problems`` reports it. In the
    recording of a run, frames that were not captured are left out.
    """

    def __init__(self, path: Path, start_s: float = 0.0, *, keep_packets: bool = False) -> None:
        """Open the file and decode its first frame.

        Args:
            path: The video file.
            start_s: Time (s) in the file; the first frame is the first one at this time or later.
            keep_packets: Whether to provide the compressed frames in addition to their pixels.

        Raises:
            SourceError: if the file cannot be opened or has no frame there that decodes.
        """
        check_is_file(path)
        self._path = path
        self._keep_packets = keep_packets
        self._not_captured = read_uncaptured(path)
        self._open()
        self._pictures = DecodedPictures()
        self._undecodable = _Count()
        self._damaged = _Count()
        self._packets = 0
        self._end_s = 0.0
        self._read_to = 0
        """Byte offset at which the last packet ends."""
        self._size = path.stat().st_size
        self._ended = False
        self._start_s = start_s
        self._decoded = self._decode_from(start_s)
        # The display matrix, and whether anything decodes at all, is only known once a frame is there.
        self._first = next(self._decoded, None)
        if self._first is None:
            self._container.close()
            raise SourceError(
                f"{path} ends before start_s = {start_s:g} s" if start_s and self._packets else
                f"{path} has no frame that can be decoded; expected a video file"
            )  # fmt: skip
        self.info = self._describe(self._first.frame)
        self._recorded = recorded_times(path, self._stream.frames)
        self._times = FrameTimes(round(1e9 / (self.info.fps or _DEFAULT_FPS)))

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield every frame that decodes, in presentation order."""
        first_ns: int | None = None
        for index, decoded in enumerate(chain([self._first], self._decoded)):
            assert decoded is not None
            frame, seconds = decoded
            own_ns = None if seconds is None else self._recorded.exactly(round(seconds * 1e9))
            time_ns = self._times.time(index, own_ns)
            self._watch_times(index, own_ns)
            first_ns = time_ns if first_ns is None else first_ns
            picture = self._pictures.of(frame, read_turn(frame))
            height, width, _ = picture.shape
            device_ns = None if frame.time is None else round(frame.time * 1e9)
            yield CapturedFrame(
                time_ns - first_ns, device_ns, width, height, picture.copy_to,
                image=picture if picture.is_cheap else None, encoded=self._packet_buffer.take,
            )  # fmt: skip
            if frame.is_corrupt:
                self._damaged.add(seconds)
        self._ended = True

    def problems(self) -> list[str]:
        """Return messages about packets that did not decode, damaged or missing frames, and a too long header count."""
        problems = []
        if self._undecodable.count:
            problems.append(
                f"{self._path}: {self._undecodable.count} packets did not decode and were left out"
                f"{self._undecodable.where}"
            )
        if self._damaged.count:
            problems.append(
                f"{self._path}: {self._damaged.count} frames are damaged; the decoder concealed the damage"
                f"{self._damaged.where}"
            )
        if self._ended:
            joined = joined_problem(self._path, self._container.format.name, self._read_to)
            problems += filter(None, (joined, grown_problem(self._path, self._size)))
        promised, lost = self._promised(), self._lost()
        if promised:
            how = "has frames missing" if lost else "is cut short, or its header counts too many"
            problems.append(f"{self._path} {how}: its header declares {promised}{'; ' if lost else ''}{lost}")
        elif lost:
            problems.append(f"{self._path} is damaged, or its recorder lost frames: {lost}")
        return problems

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _promised(self) -> str:
        """Return, in words, what the header declares beyond the frames found; empty before the end of the file."""
        promised = self._stream.frames
        if not self._ended:
            return ""
        if promised and not self._start_s:
            return f"{promised} frames, the file has {self._packets}" if self._packets < promised else ""
        # Only a length in seconds, as in Matroska, of all its streams together.
        length_s = promised_length_s(self._container)
        tolerance_s = max(0.2, 3 / (self.info.fps or _DEFAULT_FPS))
        if length_s is None or length_s - self._end_s <= tolerance_s:
            return ""
        if len(self._container.streams) > 1:
            end_s = end_of_all_s(self._path, max(0.0, self._end_s - 1))
            if length_s - end_s <= tolerance_s or end_s - self._end_s > _SOUND_AFTER_S:
                return ""  # nothing is missing: the sound continues after the picture
        return f"{length_s:.2f} s, the last frame is at {self._end_s:.2f} s"

    def _lost(self) -> str:
        """Return, in words, which frames are missing between others, beyond those that did not decode."""
        own = is_file(recording_table_path(self._path)) or self._recorded.are_known
        gaps = self._gaps.lost(own=own, reordered=self._stream.codec_context.has_b_frames) if self._ended else []
        if self._gaps.frames_in(gaps) <= self._undecodable.count:
            return ""
        return self._gaps.describe(gaps)

    def _watch_times(self, index: int, own_ns: int | None) -> None:
        """Record the time of a frame to find gaps, and log a warning the first time that a time does not increase."""
        before = self._times.last_corrected
        if own_ns is not None:
            self._gaps.frame(index, own_ns)
        if self._times.corrected == 1 and before is not None and before[0] == index:
            _, own, last = before
            what = "do not increase" if own == last else "go backwards"
            logger.warning(
                "%s: its frame times %s after frame %d (%.2f s, then %.2f s), as in joined files; "
                "the run continues them at %.4g frames per second",
                self._path, what, index - 1, last / 1e9, own / 1e9, self.info.fps or _DEFAULT_FPS,
            )  # fmt: skip

    def _describe(self, first: av.VideoFrame) -> SourceInfo:
        stream, turn = self._stream, read_turn(first)
        rate = stream.average_rate or stream.guessed_rate
        width, height = turn.size(first.width, first.height)
        count = stream.frames if stream.frames > 0 and not self._start_s else None
        coding = self._packet_buffer.coding(width, height) if turn.is_none else TURNED
        return SourceInfo(
            self._path.stem, width, height, float(rate) if rate else None, count,
            notes=tuple(self._notes(first, turn)), coding=coding,
            kept=self._pictures.of(first, turn).is_cheap,
        )  # fmt: skip

    def _notes(self, first: av.VideoFrame, turn: Turn) -> Iterator[str]:
        if depth := _depth_note(self._path, first):
            yield depth
        if others := other_videos(self._container, self._stream, self._path):
            yield others
        if turn.left_out:
            yield f"{self._path} asks for {turn.left_out}, which is not applied; expected quarter turns and mirroring"
        if self._order is not None:
            yield f"{self._path}: AVI stores no times of B-frames; the run assumes evenly spaced frames"

    def _begins_s(self) -> float:
        """Return the start time (s) of the stream on the time axis of the file; 0 if it has none."""
        start, base = self._stream.start_time, self._stream.time_base
        return float(start * base) if start is not None and base is not None else 0.0

    def _decode_from(self, start_s: float) -> Iterator[_Decoded]:
        """Decode from the key frame before ``start_s`` (s), and yield the frames at that time or later."""
        if not start_s:
            yield from self._decode()
            return
        # Frames to leave out are counted from the beginning of the file, so seeking would lose the count.
        frames = self._decode() if self._not_captured else self._decode_from_key_frame(start_s)
        rate, tick_s = float(self._stream.average_rate or _DEFAULT_FPS), float(self._stream.time_base or 0)
        for index, decoded in enumerate(frames):
            seconds = index / rate if decoded.seconds is None else decoded.seconds
            if seconds > start_s - 0.51 * tick_s - 1e-6:  # allow for the rounding of the container
                yield decoded

    def _decode_from_key_frame(self, start_s: float) -> Iterator[_Decoded]:
        """Seek and decode. If the seek lands too late, as in MPEG-TS, or there are no times, decode the whole file."""
        try:
            # x264 states its version in the first frame only: without it FFmpeg decodes the 4:4:4 of old ones wrongly.
            next(self._container.decode(self._stream), None)
            self._container.seek(round((start_s + self._begins_s()) * av.time_base))
            frames = self._decode()
            first = next(frames, None)
        except av.FFmpegError as error:
            logger.debug("%s: no seeking, decoded from its beginning: %s", self._path, explain(error))
            first = None
        if first is not None and first.seconds is not None and first.seconds <= start_s:
            return chain([first], frames)
        self._container.close()
        self._open()
        return self._decode()

    def _open(self) -> None:
        self._container = open_container(self._path)
        try:
            self._stream = main_stream(self._container, self._path)
        except SourceError:
            self._container.close()
            raise
        context = self._stream.codec_context
        if context.width * context.height <= _ONE_THREAD_PIXELS:
            context.thread_count = 1
        self._packet_buffer = PacketBuffer(self._stream, keep=self._keep_packets)
        container = self._container.format.name
        jumbled = container == "avi" and context.name in ("h264", "hevc") and context.has_b_frames
        self._order = DecodingOrder() if jumbled else None
        self._has_times = has_times(self._container)
        self._gaps = GapDetector(float(self._stream.time_base or 0) * 1e9)
        self._places_are_known = container.startswith("matroska") and len(self._container.streams) == 1

    def _decode(self) -> Iterator[_Decoded]:
        for number, decoded in enumerate(self._decode_all()):
            if number not in self._not_captured:
                yield decoded

    def _decode_all(self) -> Iterator[_Decoded]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                logger.warning("%s: reading ends early: %s", self._path, explain(error))
                self._undecodable.add(self._end_s)
                return
            for frame in self._decode_packet(packet):
                yield _Decoded(frame, self._seconds(frame))
            self._packets += packet.size > 0

    def _decode_packet(self, packet: av.Packet[VideoStream]) -> list[av.VideoFrame]:
        seconds = self._since_beginning(packet.pts)
        if packet.size and packet.pts is not None and packet.time_base is not None:
            self._end_s = max(self._end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.pos is not None:
                self._read_to = max(self._read_to, packet.pos + packet.size)
            if self._places_are_known:
                self._gaps.packet(packet.pos, packet.size, None if seconds is None else round(seconds * 1e9))
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            logger.debug("%s: a packet does not decode: %s", self._path, explain(error))
            self._undecodable.add(seconds)
            self._packet_buffer.invalidate()
            return []
        if packet.size:
            self._packet_buffer.add(packet, frames)
            if self._order is not None:
                self._order.add(packet)
        return frames

    def _seconds(self, frame: av.VideoFrame) -> float | None:
        """Return the time of a frame in s since the beginning of the file; None if it has none."""
        if not self._has_times:
            return None
        return self._since_beginning(frame.pts if self._order is None else self._order.next())

    def _since_beginning(self, ticks: int | None) -> float | None:
        base = self._stream.time_base
        return None if ticks is None or base is None else float(ticks * base) - self._begins_s()


def _depth_note(path: Path, frame: av.VideoFrame) -> str:
    """Return a warning if a 16-bit video, such as a camera's lossless recording, uses only its lower bits."""
    if not frame.format.name.startswith(("gray16", "rgb48", "bgr48", "gbrp16")):
        return ""
    values: Any = frame.to_ndarray()
    return bits_note(path, values)


class _Count:
    """Count of events and the time (s) of the first one."""

    def __init__(self) -> None:
        self.count = 0
        self._first_s: float | None = None

    def add(self, seconds: float | None) -> None:
        self._first_s = seconds if self.count == 0 else self._first_s
        self.count += 1

    @property
    def where(self) -> str:
        """Place of the first event, to be appended to a sentence; empty if its time is unknown."""
        return (
            "" if self._first_s is None else f" ({'at' if self.count == 1 else 'the first at'} {self._first_s:.2f} s)"
        )
