"""Material of the measurements: frames in memory, videos of the arena, and a source that plays frames from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np

from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo
from realtime_cropzoom.sources.video_file import VideoFile
from realtime_cropzoom.types import UInt8

FRAMES_IN_MEMORY = 240
"""Number of frames that are played, forwards and backwards."""


class MemorySource:
    """A source of decoded frames, kept as they are. It plays them forwards and backwards, so that nothing jumps."""

    def __init__(
        self,
        images: list[UInt8],
        fps: float,
        count: int,
        *,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """``before`` is called before the first frame."""
        height, width = images[0].shape[:2]
        self.info = SourceInfo("memory", width, height, fps, count, kept=True)
        self._images = [*images, *images[-2:0:-1]]
        self._before = before

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield the frames. The capture stage sets the pace."""
        info = self.info
        assert info.fps is not None
        assert info.frame_count is not None
        self._before()
        for index in range(info.frame_count):
            image = self._images[index % len(self._images)]
            time_ns, copy_to = round(index * 1e9 / info.fps), partial(_copy, image)
            yield CapturedFrame(time_ns, None, info.width, info.height, copy_to, image=image)

    def problems(self) -> list[str]:
        """Return no problems."""
        return []

    def close(self) -> None:
        """Do nothing: no file is open."""


def _copy(image: UInt8, out: UInt8) -> None:
    np.copyto(out, image)


def arena_frames(width: int, height: int, count: int, fps: float = 30.0) -> list[UInt8]:
    """Return frames of the synthetic arena, in which the animal moves as a camera with ``fps`` sees it."""
    arena = Arena(ArenaSettings(width=width, height=height, fps=fps))
    return [arena.render(i) for i in range(count)]


def decode(video: Path, count: int) -> list[UInt8]:
    """Return the first frames of a video. Raises SourceError if it cannot be read."""
    source, images = VideoFile(video), []
    for captured in source.frames():
        images.append(np.empty((captured.height, captured.width, 3), np.uint8))
        captured.copy_to(images[-1])
        if len(images) == count:
            break
    source.close()
    return images


def write_video(path: Path, images: Iterable[UInt8], size: tuple[int, int]) -> None:
    """Write (H, W, 3) RGB images as an H.264 4:2:0 (or, without that encoder, MPEG-4) video."""
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options={"preset": "superfast"} if codec == "libx264" else {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *size, "yuv420p", 12 * size[0] * size[1]
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
