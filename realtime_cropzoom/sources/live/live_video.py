"""Source of live frames, for cameras and streams: yields intact and recent frames as they arrive, through PyAV.

Frames that are damaged, or that waited in a buffer until they were old, are dropped and counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import av

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.pictures.decoded import DecodedPicture, DecodedPictures
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo, SourceOptions
from realtime_cropzoom.sources.display import TURNED, read_turn
from realtime_cropzoom.sources.live.staleness import FrameClock, StalenessFilter
from realtime_cropzoom.sources.live.stream_decoder import StreamAddress, StreamDecoder

_NO_CLOCK = ("mpjpeg", "mjpeg", "image2pipe", "jpeg_pipe")
"""Formats without timestamps, for which FFmpeg assumes 25 frames per second."""
_UNCOMPRESSED = ("rawvideo", "wrapped_avframe")
_OF_THE_DRIVER = "rawvideo"
"""Codec whose frames lie in the memory of a camera's driver, which is gone once the camera is closed."""


class LiveVideo:
    """Camera or stream. One thread opens, reads and closes it."""

    def __init__(self, address: StreamAddress) -> None:
        """Open ``address`` and wait for the first intact frame.

        Raises:
            SourceError: if it cannot be opened or no intact frame comes in time; one line.
        """
        self._address = address
        self._decoder = StreamDecoder(address)
        self._pictures = DecodedPictures()
        try:
            first = self._wait_for_frame()
            self.pixel_format = self._read_pixel_format(first)
            """Pixel format or codec of the frames, as FFmpeg names it."""
            self.info = self._describe(first)
        except BaseException:
            self.close()
            raise

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield frames as they arrive, until the run stops.

        Raises:
            SourceError: if frames stop arriving, stay damaged, or the stream ends.
        """
        staleness, clock = StalenessFilter(self.info.fps), FrameClock()
        has_clock = self._decoder.container.format.name not in _NO_CLOCK
        lost_before = stale_before = 0
        for intact in self._decoder.intact_frames():
            frame, received_ns = intact.frame, now_ns()
            lost_before += intact.lost_before
            own_ns = round(frame.time * 1e9) if has_clock and frame.time is not None else None
            if staleness.is_stale(received_ns, intact.waited_ns, own_ns):
                stale_before += 1
                continue
            picture = self._pictures.of(frame, read_turn(frame))
            height, width, _ = picture.shape
            yield CapturedFrame(
                clock.frame_time_ns(own_ns, received_ns), own_ns, width, height, picture.copy_to, lost_before,
                image=picture if self._can_keep(picture) else None, encoded=self._decoder.packets.take,
                stale_before=stale_before,
            )  # fmt: skip
            lost_before = stale_before = 0

    def problems(self) -> list[str]:
        """Return the number of damaged or missing frames, in words; empty if there were none."""
        damaged = self._decoder.damaged
        return [f"{self._address.shown}: {damaged} frames arrived damaged or not at all"] if damaged else []

    def close(self) -> None:
        """Close the camera or connection. It may be called twice."""
        self._decoder.close()

    def _wait_for_frame(self) -> av.VideoFrame:
        deadline_ns = now_ns() + round(self._address.timeout_s[0] * 1e9)
        for intact in self._decoder.intact_frames(deadline_ns):
            return intact.frame
        raise SourceError(f"{self._address.shown} was given up before its first frame: the run has ended")

    def _read_pixel_format(self, frame: av.VideoFrame) -> str:
        codec = self._decoder.stream.codec_context.name
        return frame.format.name if codec in _UNCOMPRESSED else codec

    def _describe(self, frame: av.VideoFrame) -> SourceInfo:
        rate, turn = self._decoder.stream.average_rate, read_turn(frame)
        width, height = turn.size(frame.width, frame.height)
        at = f"at {float(rate):.4g} fps" if rate else "at an unknown frame rate"
        return SourceInfo(
            self._address.name, width, height, float(rate) if rate else None, None, live=True,
            notes=(f"{self._address.shown} gives {frame.width}x{frame.height} {self.pixel_format} {at}",),
            asked_fps=self._address.asked_fps,
            coding=self._decoder.packets.coding(width, height) if turn.is_none else TURNED,
            kept=self._can_keep(self._pictures.of(frame, turn)),
        )  # fmt: skip

    def _can_keep(self, picture: DecodedPicture) -> bool:
        return picture.is_cheap and self._decoder.stream.codec_context.name != _OF_THE_DRIVER


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
    unused = [key for key, value in given.items() if value is not None]
    return [f"{name} is a stream: {', '.join(unused)} cannot be set"] if unused else []
