"""Frames of a video file by their number, in any order: each is exactly the frame that ``VideoFile`` plays there.

An index of all packets is read first, without decoding: the time stamps in display order are the frames. A frame is
then found by its own time stamp, decoded from a key frame before it, so that a seek that lands elsewhere cannot give a
neighbour. Where time stamps do not identify frames (bare H.264, AVI with B-frames, MPEG program streams, joined files),
frames are counted from the beginning of the file: that is slower, and as exact.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.pictures.decoded import DecodedPicture, DecodedPictures
from realtime_cropzoom.sources.container import check_is_file, has_times, main_stream, open_container
from realtime_cropzoom.sources.display import read_turn
from realtime_cropzoom.types import Int64, UInt8

_ONE_THREAD_PIXELS = 1280 * 1024
_WORTH_A_SEEK = 2
"""Minimum number of frames that a seek must save."""


class RandomAccessVideo:
    """A video file whose frames are read in any order. One and the same thread makes, reads and closes it."""

    def __init__(
        self,
        path: Path,
        *,
        by_counting: bool = False,
        progress: Callable[[float], None] = lambda share: None,
        cache_bytes: int = 96 << 20,
    ) -> None:
        """Read the index of the file.

        Args:
            path: The video file.
            by_counting: Whether to count the frames that decode, instead of looking for their time stamps. In a damaged
                file, the numbers are then those of the frames that decode, not those of the packets.
            progress: Is called with the share of the file that is indexed, 0 to 1.
            cache_bytes: Maximum size (bytes) of the decoded frames that are kept; two are kept in any case.

        Raises:
            SourceError: if the file cannot be opened or has no frame.
        """
        check_is_file(path)
        self.path = path
        """The video file."""
        self._open()
        self._ticks, self._keys, places = self._read_index(progress)
        self.by_counting = by_counting or self._is_jumbled() or not _identify(self._ticks, places)
        """Whether frames are found by counting them from the beginning of the file."""
        self.count = len(places)
        """Number of frames. Of a damaged file that is counted, some of them may be missing at the end."""
        if not self.count:
            self.close()
            raise SourceError(f"{path} has no frame that can be decoded; expected a video file")
        self._pictures = DecodedPictures()
        self._cache: OrderedDict[int, DecodedPicture] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._decoded: Iterator[tuple[int, av.VideoFrame]] | None = None
        self._next = 0
        """Number of the frame that ``_decoded`` gives next."""

    @property
    def times_ns(self) -> Int64:
        """(count,) time (ns) of each frame on the clock of the file; empty if frames are counted."""
        if self.by_counting or self._base is None:
            return np.empty(0, np.int64)
        return np.array([round(float(tick * self._base) * 1e9) for tick in self._ticks.tolist()], np.int64)

    @property
    def key_frames(self) -> Int64:
        """(k,) numbers of the frames at which decoding can begin, in order; the first frame if frames are counted."""
        if self.by_counting:
            return np.zeros(1, np.int64)
        return np.unique(np.searchsorted(self._ticks, self._keys)).astype(np.int64)

    @property
    def fps(self) -> float | None:
        """Nominal frames per second; None if the file gives none."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate else None

    def read(self, number: int) -> UInt8:
        """Return a frame as an (H, W, 3) uint8 RGB array, turned as the file's display matrix says.

        Args:
            number: Number of the frame in display order, from 0.

        Raises:
            SourceError: if there is no such frame, or it does not decode.
        """
        return np.asarray(self._picture(number))

    def prepare(self, number: int) -> None:
        """Decode a frame, so that ``read`` is quick. Arguments and errors are as in ``read``.

        Args:
            number: See ``read``.
        """
        self._picture(number)

    @property
    def kept(self) -> int:
        """Number of decoded frames that are kept."""
        return len(self._cache)

    def close(self) -> None:
        """Close the file. It may be called twice."""
        self._container.close()

    def _open(self) -> None:
        self._container = open_container(self.path)
        self._saw_first = False
        try:
            self._stream: Any = main_stream(self._container, self.path)
        except SourceError:
            self._container.close()
            raise
        context = self._stream.codec_context
        if context.width * context.height <= _ONE_THREAD_PIXELS:
            context.thread_count = 1
        self._base = self._stream.time_base

    def _is_jumbled(self) -> bool:
        """Return whether the file has no times, or, as AVI with B-frames, those of the decoding order."""
        context = self._stream.codec_context
        in_order = self._container.format.name == "avi" and context.name in ("h264", "hevc") and context.has_b_frames
        return bool(in_order) or not has_times(self._container)

    def _read_index(self, progress: Callable[[float], None]) -> tuple[Int64, Int64, list[int | None]]:
        """Return the time stamps in display order, those of the key frames, and where each packet is in the file."""
        size, ticks, keys, places = self.path.stat().st_size, list[int](), list[int](), list[int | None]()
        try:
            for packet in self._container.demux(self._stream):
                if not packet.size or packet.is_discard:
                    continue
                places.append(packet.pos)
                if packet.pts is not None:
                    ticks.append(packet.pts)
                    if packet.is_keyframe:
                        keys.append(packet.pts)
                if len(places) % 1000 == 0 and packet.pos is not None:
                    progress(min(1.0, packet.pos / size))
        except av.FFmpegError:  # the end of a file that was cut off; what is there counts
            pass
        self._container.close()
        self._open()
        return np.sort(np.array(ticks, np.int64)), np.sort(np.array(keys, np.int64)), places

    def _picture(self, number: int) -> DecodedPicture:
        if not 0 <= number < self.count:
            raise SourceError(f"{self.path} has {self.count} frames, from 0: it has no frame {number}")
        picture = self._cache.get(number) or self._find(number)
        if picture is None:
            raise SourceError(f"{self.path}: frame {number} does not decode")
        return picture

    def _find(self, number: int) -> DecodedPicture | None:
        """Decode up to a frame: from where the decoder is, else from key frames ever further before it."""
        key = self._key_before(number)
        if self._decoded is not None and self._next <= number and key <= self._next + _WORTH_A_SEEK:
            found = self._decode_to(number)
            if found is not None:
                return found
        for begin in self._beginnings(number):
            self._decoded = self._decode_from(begin)
            found = self._decode_to(number)
            if found is not None:
                return found
        return None

    def _beginnings(self, number: int) -> Iterator[int]:
        """Yield the frames to begin at: key frames before ``number``, from the nearest on, then the first frame."""
        if not self.by_counting:
            keys = np.searchsorted(self._ticks, self._keys[self._keys <= self._ticks[number]])
            for back in (1, 2, 4, 16):
                if back <= len(keys) and keys[-back] > 0:
                    yield int(keys[-back])
        yield 0

    def _key_before(self, number: int) -> int:
        return next(self._beginnings(number))

    def _decode_to(self, number: int) -> DecodedPicture | None:
        """Decode up to a frame and keep what comes on the way; None if it does not come."""
        assert self._decoded is not None
        for at, frame in self._decoded:
            self._next = at + 1
            picture = self._keep(at, frame)
            if at >= number:
                return picture if at == number else None
        self._decoded = None
        return None

    def _keep(self, number: int, frame: av.VideoFrame) -> DecodedPicture:
        picture = self._pictures.of(frame, read_turn(frame))
        self._cache[number] = picture
        self._cache.move_to_end(number)
        while len(self._cache) > max(2, self._cache_bytes // (3 * frame.width * frame.height)):
            self._cache.popitem(last=False)
        return picture

    def _decode_from(self, begin: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield number and frame, from ``begin`` or a frame near it on. Frames that lack a reference are left out."""
        since: int | None = None
        if begin:
            try:
                if not self._saw_first:
                    # x264 states its version in the first frame only: without it FFmpeg decodes the 4:4:4 of old ones
                    # wrongly.
                    next(self._container.decode(self._stream), None)
                    self._saw_first = True
                self._container.seek(int(self._ticks[begin]), stream=self._stream)
            except av.FFmpegError:
                return
        else:
            self._container.close()
            self._open()
            self._saw_first = True  # it decodes from there
        counted = 0
        for packet in self._packets():
            if begin and since is None:
                if not packet.is_keyframe or packet.pts is None:
                    continue
                since = packet.pts
            for frame in _decode(packet):
                if self.by_counting:
                    yield counted, frame
                elif frame.pts is not None and (since is None or (frame.pts >= since and not frame.is_corrupt)):
                    yield int(np.searchsorted(self._ticks, frame.pts)), frame
                counted += 1

    def _packets(self) -> Iterator[Any]:
        try:
            yield from self._container.demux(self._stream)
        except av.FFmpegError:
            return


def _identify(ticks: Int64, places: list[int | None]) -> bool:
    """Return whether each frame has a time stamp of its own.

    Several frames at one place of the file, as in MPEG program streams, share one. FFmpeg then makes up the others, and
    makes up different ones after a seek.
    """
    alone = None not in places and len(set(places)) == len(places)
    return alone and len(ticks) == len(places) and bool((np.diff(ticks) > 0).all())


def _decode(packet: Any) -> list[av.VideoFrame]:
    try:
        frames: list[av.VideoFrame] = packet.decode()
    except av.FFmpegError:  # damaged; ``VideoFile`` leaves it out, too
        return []
    return frames
