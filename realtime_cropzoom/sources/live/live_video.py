"""Common base of cameras and streams: reads frames as they arrive, through PyAV.

Only intact and recent frames are yielded. Frames that the decoder reports as damaged, that depend on
damaged or missing ones, or that waited in a buffer until they were old, are dropped and counted.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import av
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError, plainly
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo, SourceOptions, never
from realtime_cropzoom.sources.container import ANY_LETTERS, readable
from realtime_cropzoom.sources.display import TURNED, copy_rgb, read_turn
from realtime_cropzoom.sources.live.decode_recovery import LEANING, Recovery
from realtime_cropzoom.sources.live.staleness import FrameClock, StalenessFilter
from realtime_cropzoom.sources.packet_buffer import PacketBuffer

logger = logging.getLogger(__name__)

LOW_DELAY = {"flags": "low_delay"}
"""FFmpeg options with which the decoder holds back no frame for reordering."""
_REORDERED = 32
"""Number of corrupt timestamps to remember: more than the frames that any decoder holds back."""
_SUSPECT = 3
"""Number of packets to distrust from a corrupt one on. FFmpeg's parser may flag a packet one too early, and after a
frame that does not decode, the decoder starts the next one, even a key frame, with leftover data."""
_NO_CLOCK = ("mpjpeg", "mjpeg", "image2pipe", "jpeg_pipe")
"""Formats without timestamps, for which FFmpeg assumes 25 frames per second."""


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """Address of a camera or stream, and the options for opening it."""

    url: str
    """The URL or device for FFmpeg."""
    shown: str
    """Its name in messages, without a password."""
    name: str
    """Short name of characters that are allowed in file names."""
    explain: Callable[[Exception], str]
    """Returns what an error means and what to do about it, in words."""
    format: str | None = None
    """FFmpeg's input format, such as v4l2; None if FFmpeg detects it."""
    options: dict[str, str] = field(default_factory=dict)
    timeout_s: tuple[float, float] = (10.0, 5.0)
    """Timeouts (s) for opening and for waiting for the next frame."""
    asked_fps: float | None = None
    stopped: Callable[[], bool] = never
    """Returns whether the run has ended; no further packet is read then."""
    keep_packets: bool = False
    """Whether to provide the compressed frames beside their pixels."""


class LiveVideo:
    """Camera or stream. One thread opens, reads and closes it."""

    def __init__(self, address: StreamAddress) -> None:
        """Open ``address`` and wait for the first intact frame.

        Raises:
            SourceError: if it cannot be opened or no intact frame comes in time; one line.
        """
        self._address = address
        self._damaged = 0
        self._left_out = 0
        self._corrupt: deque[int | None] = deque(maxlen=_REORDERED)
        self._suspect = 0
        """Number of next packets that may be damaged although the decoder reports no error."""
        self._waited_ns = 0
        self._reformatter = VideoReformatter()
        try:
            self._container = av.open(
                address.url,
                format=address.format,
                options=address.options,
                timeout=address.timeout_s,
                metadata_errors=ANY_LETTERS,
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(f"{address.shown} cannot be opened: {address.explain(error)}") from error
        try:
            self.info = self._look()
        except BaseException:
            self.close()
            raise

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield frames as they arrive, until the run stops.

        Raises:
            SourceError: if frames stop arriving, stay damaged, or the stream ends.
        """
        fresh = StalenessFilter(self.info.fps)
        has_clock = self._container.format.name not in _NO_CLOCK
        clock = FrameClock()
        lost_before = stale_before = 0
        for frame in self._whole_frames():
            received_ns, waited_ns = now_ns(), self._waited_ns
            self._waited_ns = 0
            lost_before += self._left_out
            self._left_out = 0
            own_ns = round(frame.time * 1e9) if has_clock and frame.time is not None else None
            if fresh.is_stale(received_ns, waited_ns, own_ns):
                stale_before += 1
                continue
            turn = read_turn(frame)
            width, height = turn.size(frame.width, frame.height)
            yield CapturedFrame(
                clock.frame_time_ns(own_ns, received_ns), own_ns, width, height,
                partial(copy_rgb, self._reformatter, frame, turn=turn), lost_before, coded=self._trail.take,
                stale_before=stale_before,
            )  # fmt: skip
            lost_before = stale_before = 0

    def problems(self) -> list[str]:
        """Return the number of damaged or missing frames, in words; empty if there were none."""
        if not self._damaged:
            return []
        return [f"{self._address.shown}: {self._damaged} frames came damaged or not at all, and were left out"]

    def close(self) -> None:
        """Close the camera or connection."""
        self._container.close()

    def _look(self) -> SourceInfo:
        """Set up the decoder and return the properties of the stream once a frame is intact."""
        shown = self._address.shown
        if not self._container.streams.video:
            raise SourceError(f"{shown} has no picture in it; expected a camera or a video stream")
        stream = self._stream = readable(self._container.streams.video[0], self._address.shown)
        context = stream.codec_context
        context.thread_type = "SLICE"  # threads that work on several frames at once would hold them back
        if context.name in LEANING:  # report an error instead of concealing it
            context.options = {**context.options, "err_detect": "explode"}
            context.thread_count = 1  # with several threads, FFmpeg does not report the failure of one
        self._recovery = Recovery(context.name, bytes(context.extradata or b""))
        self._trail = PacketBuffer(stream, keep=self._address.keep_packets)
        deadline_ns = now_ns() + round(self._address.timeout_s[0] * 1e9)
        for frame in self._whole_frames(deadline_ns):
            rate = stream.average_rate
            self.pixel_format = frame.format.name if context.name in ("rawvideo", "wrapped_avframe") else context.name
            self._waited_ns = self._left_out = 0
            turn = read_turn(frame)
            width, height = turn.size(frame.width, frame.height)
            return SourceInfo(
                self._address.name, width, height, float(rate) if rate else None, None, live=True,
                notes=(self._describe(frame, rate),), asked_fps=self._address.asked_fps,
                coding=self._trail.coding(width, height) if turn.is_none else TURNED,
            )  # fmt: skip
        raise SourceError(f"{shown} was not waited for any longer: the run has ended")

    def _describe(self, frame: av.VideoFrame, rate: Fraction | None) -> str:
        at = f"at {float(rate):.4g} fps" if rate else "at a rate it does not say"
        return f"{self._address.shown} gives {frame.width}x{frame.height} {self.pixel_format} {at}"

    def _whole_frames(self, deadline_ns: int | None = None) -> Iterator[av.VideoFrame]:
        for packet in self._packets():
            for frame in self._decode(packet) if packet.size else []:
                if self._is_whole(frame):
                    yield frame
            self._check_patience(deadline_ns)

    def _decode(self, packet: av.Packet[VideoStream]) -> list[av.VideoFrame]:
        """Return the frames decoded from a packet; empty if it does not decode."""
        self._suspect = _SUSPECT if packet.is_corrupt else max(0, self._suspect - 1)
        missing = self._recovery.add(packet, packet.pts, now_ns())
        if missing:
            self._leave_out(missing)
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            logger.debug("%s: a frame does not decode: %s", self._address.shown, plainly(error))
            self._suspect = max(self._suspect, 2)  # the decoder starts the next frame with leftover data
            self._spoil()
            return []
        if self._suspect:  # some decoders report no error and return the damaged frame later
            self._corrupt.append(packet.pts)
            self._recovery.damaged(now_ns())
        self._trail.add(packet, frames)
        return frames

    def _is_whole(self, frame: av.VideoFrame) -> bool:
        if frame.is_corrupt or frame.pts in self._corrupt:
            self._spoil()
            return False
        if self._recovery.is_whole(bool(frame.key_frame), frame.pts, now_ns()):
            return True
        self._left_out += 1
        return False

    def _spoil(self) -> None:
        self._recovery.damaged(now_ns())
        self._leave_out(1)

    def _leave_out(self, damaged: int) -> None:
        self._damaged += damaged
        self._left_out += damaged
        self._trail.invalidate()

    def _check_patience(self, deadline_ns: int | None) -> None:
        """Raise SourceError if no intact frame comes in time, before the first one or after damage."""
        if deadline_ns is not None and now_ns() > deadline_ns:
            raise SourceError(
                f"{self._address.shown} sends, but no whole frame came within {self._address.timeout_s[0]:g} s; "
                "check the network's losses, and how often the sender sends key frames"
            )
        if deadline_ns is None and self._recovery.is_given_up(now_ns()):
            raise SourceError(
                f"{self._address.shown} sends, but nothing whole since a frame was damaged or lost; "
                "have the sender send a key frame a second"
            )

    def _packets(self) -> Iterator[av.Packet[VideoStream]]:
        """Yield packets until the run ends, decodable or not. Raises SourceError if the stream fails or ends."""
        packets = self._container.demux(self._stream)
        while not self._address.stopped():
            asked_ns = now_ns()
            try:
                packet = next(packets)
            except StopIteration:
                raise SourceError(f"{self._address.shown} has ended") from None
            except (av.FFmpegError, OSError) as error:
                raise SourceError(f"{self._address.shown}: {self._address.explain(error)}") from error
            self._waited_ns += now_ns() - asked_ns
            yield packet


def camera_option_notes(name: str, options: SourceOptions) -> list[str]:
    """Return a message about set options that only cameras have; empty if none is set.

    Args:
        name: Name of the stream, for the message.
        options: The requested options.
    """
    given = {
        "camera_size": options.size, "pixel_format": options.pixel_format, "exposure_ms": options.exposure_ms,
        "gain": options.gain, "roi": options.roi, "trigger": options.trigger or None,
    }  # fmt: skip
    odd = [key for key, value in given.items() if value is not None]
    return [f"{name} is as its sender makes it: {', '.join(odd)} cannot be asked of it"] if odd else []
