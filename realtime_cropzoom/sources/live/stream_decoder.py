"""Stream decoder: opens a camera or stream through PyAV and yields its intact frames.

Frames that the decoder reports as damaged, or that depend on damaged or missing ones, are dropped and counted.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError, explain
from realtime_cropzoom.sources.base import never
from realtime_cropzoom.sources.container import ANY_LETTERS, readable
from realtime_cropzoom.sources.live.decode_recovery import DEPENDENT_CODECS, DecodeRecovery, DecodeState
from realtime_cropzoom.sources.packet_buffer import PacketBuffer

logger = logging.getLogger(__name__)

LOW_DELAY = {"flags": "low_delay"}
"""FFmpeg options with which the decoder holds back no frame for reordering."""
_TIMESTAMPS_KEPT = 32
"""Number of corrupt timestamps to remember: more than the frames that any decoder holds back."""
_SUSPECT_AFTER_CORRUPT = 3
"""Number of packets to distrust from a corrupt one on. FFmpeg's parser may flag a packet one too early, and after a
frame that does not decode, the decoder starts the next one, even a key frame, with leftover data."""
_SUSPECT_AFTER_ERROR = 2
"""Number of packets to distrust from one on that does not decode. Reason: the same leftover data."""


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
    """Requested frames per second; None if no rate was requested."""
    stopped: Callable[[], bool] = never
    """Returns whether the run has ended; no further packet is read then."""
    keep_packets: bool = False
    """Whether to provide the compressed frames in addition to their pixels."""


@dataclass(frozen=True, slots=True)
class IntactFrame:
    """A decoded frame that depends on no damaged one."""

    frame: av.VideoFrame
    waited_ns: int
    """Time (ns) that the reader waited for its packets since the previous intact frame."""
    lost_before: int
    """Number of damaged or missing frames between the previous intact frame and this one."""


class StreamDecoder:
    """An open camera or stream. One thread opens, reads and closes it."""

    def __init__(self, address: StreamAddress) -> None:
        """Open ``address`` without decoding a frame.

        Raises:
            SourceError: if it cannot be opened or has no video that can be decoded; one line.
        """
        self._address = address
        self.container = _open_container(address)
        try:
            self.stream = _select_stream(self.container, address.shown)
            context = self.stream.codec_context
            self._recovery = DecodeRecovery(context.name, bytes(context.extradata or b""))
            self.packets = PacketBuffer(self.stream, keep=address.keep_packets)
        except BaseException:
            self.close()
            raise
        self.damaged = 0
        """Number of frames that arrived damaged or did not arrive."""
        self._dropped = 0
        """Number of frames dropped since the last intact one: damaged, missing, or dependent on such."""
        self._waited_ns = 0
        self._corrupt_pts: deque[int | None] = deque(maxlen=_TIMESTAMPS_KEPT)
        self._suspect = 0
        """Number of next packets that may be damaged although the decoder reports no error."""

    def intact_frames(self, deadline_ns: int | None = None) -> Iterator[IntactFrame]:
        """Yield the intact frames as they arrive, until the run stops.

        Args:
            deadline_ns: Time (ns) at which the first frame is overdue. If None, a frame is overdue when the recovery
                from damage takes too long.

        Raises:
            SourceError: if frames stop arriving, stay damaged, or the stream ends.
        """
        for packet in self._packets():
            for frame in self._decode(packet) if packet.size else []:
                if self._is_intact(frame):
                    waited_ns, dropped = self._waited_ns, self._dropped
                    self._waited_ns = self._dropped = 0
                    yield IntactFrame(frame, waited_ns, dropped)
            self._check_overdue(deadline_ns)

    def close(self) -> None:
        """Close the camera or connection. It may be called twice."""
        self.container.close()

    def _decode(self, packet: av.Packet[VideoStream]) -> list[av.VideoFrame]:
        """Return the frames decoded from a packet; empty if it does not decode."""
        self._suspect = _SUSPECT_AFTER_CORRUPT if packet.is_corrupt else max(0, self._suspect - 1)
        missing = self._recovery.on_packet(packet, packet.pts, now_ns())
        if missing:
            self._count_damaged(missing)
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            logger.debug("%s: a frame does not decode: %s", self._address.shown, explain(error))
            self._suspect = max(self._suspect, _SUSPECT_AFTER_ERROR)
            self._reject_frame()
            return []
        if self._suspect:  # some decoders report no error and return the damaged frame later
            self._corrupt_pts.append(packet.pts)
            self._recovery.on_damage(now_ns())
        self.packets.add(packet, frames)
        return frames

    def _is_intact(self, frame: av.VideoFrame) -> bool:
        if frame.is_corrupt or frame.pts in self._corrupt_pts:
            self._reject_frame()
            return False
        if self._recovery.on_frame(key_frame=bool(frame.key_frame), pts=frame.pts, at_ns=now_ns()):
            return True
        self._dropped += 1
        return False

    def _reject_frame(self) -> None:
        self._recovery.on_damage(now_ns())
        self._count_damaged(1)

    def _count_damaged(self, frames: int) -> None:
        self.damaged += frames
        self._dropped += frames
        self.packets.invalidate()

    def _check_overdue(self, deadline_ns: int | None) -> None:
        """Raise SourceError if no intact frame comes in time, before the first one or after damage."""
        if deadline_ns is not None and now_ns() > deadline_ns:
            raise SourceError(
                f"{self._address.shown} sends data, but no intact frame within {self._address.timeout_s[0]:g} s; "
                "check the network for losses, and how often the sender sends key frames"
            )
        if deadline_ns is None and self._recovery.on_time(now_ns()) is DecodeState.GIVEN_UP:
            raise SourceError(
                f"{self._address.shown} sends data, but no intact frame since one was damaged or lost; "
                "make the sender send a key frame every second"
            )

    def _packets(self) -> Iterator[av.Packet[VideoStream]]:
        """Yield packets until the run ends, decodable or not. Raises SourceError if the stream fails or ends."""
        packets = self.container.demux(self.stream)
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


def _open_container(address: StreamAddress) -> InputContainer:
    try:
        return av.open(
            address.url,
            format=address.format,
            options=address.options,
            timeout=address.timeout_s,
            metadata_errors=ANY_LETTERS,
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{address.shown} cannot be opened: {address.explain(error)}") from error


def _select_stream(container: InputContainer, shown: str) -> VideoStream:
    """Return the first video stream, with its decoder set up to report damage and to hold back no frame."""
    if not container.streams.video:
        raise SourceError(f"{shown} has no video; expected a camera or a video stream")
    stream = readable(container.streams.video[0], shown)
    context = stream.codec_context
    context.thread_type = "SLICE"  # threads that work on several frames at once would hold them back
    if context.name in DEPENDENT_CODECS:  # report an error instead of concealing it
        context.options = {**context.options, "err_detect": "explode"}
        context.thread_count = 1  # with several threads, FFmpeg does not report the failure of one
    return stream
