"""Films whose pixels say which frame they are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from realtime_cropzoom.runtime.ring import OrderedReader, Ring
from realtime_cropzoom.sources.base import CapturedFrame, Source
from realtime_cropzoom.types import FrameMeta, UInt8


class Footage:
    """Draws frames, writes them as videos, and reads back which frame an image is.

    Along the top edge ten blocks spell the frame's index in binary, dark for 0 and gray for 1, so
    that no lossy codec loses it; below, a white blob moves on a gray floor.
    """

    BITS = 10
    _DARK, _FLOOR, _GRAY = 30, 60, 110
    _THRESHOLD = 70

    def __init__(self, size: tuple[int, int] = (160, 96)) -> None:
        self.size = size
        self._strip = max(8, size[1] // 6)

    def blob_at(self, index: int) -> tuple[float, float]:
        """Where the middle of the blob is in a frame, in pixels: a slow path that stays inside."""
        width, height = self.size
        across, down = width * (0.5 + 0.3 * np.sin(index / 17)), height * (0.6 + 0.15 * np.cos(index / 11))
        return float(across), float(down)

    def draw(self, index: int) -> UInt8:
        """Return frame ``index``, (H, W, 3) RGB."""
        width, height = self.size
        y, x = np.mgrid[:height, :width]
        across, down = self.blob_at(index)
        blob = np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * 5.0**2))
        image = self._FLOOR + (255 - self._FLOOR) * blob
        for bit in range(self.BITS):
            value = self._GRAY if index >> bit & 1 else self._DARK
            image[: self._strip, width * bit // self.BITS : width * (bit + 1) // self.BITS] = value
        return np.repeat(image[..., None].round().astype(np.uint8), 3, axis=2)

    def index_of(self, image: np.ndarray) -> int:
        """Return the index that the blocks of an image spell."""
        width = image.shape[1]
        row = image[self._strip // 2].reshape(width, -1).mean(axis=1)
        middles = [width * (2 * bit + 1) // (2 * self.BITS) for bit in range(self.BITS)]
        return sum(int(row[middle] > self._THRESHOLD) << bit for bit, middle in enumerate(middles))

    def write(
        self,
        path: Path,
        frames: int = 20,
        *,
        codec: str = "mpeg4",
        pix_fmt: str = "yuv420p",
        fps: int = 30,
        times_ms: Sequence[int] | None = None,
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
    ) -> Path:
        """Write a video; with ``times_ms`` its frames have those times instead of a constant rate."""
        base = Fraction(1, 1000) if times_ms is not None else Fraction(1, fps)
        with av.open(str(path), "w", options=container_options or {}) as container:
            stream = container.add_stream(codec, rate=1000 if times_ms is not None else fps, options=options or {})
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = self.size
            stream.pix_fmt = pix_fmt
            stream.codec_context.time_base = base
            for index in range(len(times_ms) if times_ms is not None else frames):
                frame = av.VideoFrame.from_ndarray(self.draw(index), format="rgb24")
                frame.time_base = base
                frame.pts = index if times_ms is None else times_ms[index]
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path


def film_in_a_ring(frames: int, size: tuple[int, int]) -> tuple[Ring, OrderedReader]:
    """Return a closed ring that holds a film of ``frames`` frames at 100 fps, with a reader of it."""
    ring, footage = Ring(frames, size[1], size[0]), Footage(size)
    reader = OrderedReader(ring, None)
    for index in range(frames):
        slot = ring.claim(0)
        assert slot is not None
        ring.memory(slot)[:] = footage.draw(index)
        ring.publish(slot, FrameMeta(index, index * 10**7, None, index * 10**7))
    ring.close()
    return ring, reader


def shown_index(captured: CapturedFrame, footage: Footage) -> int:
    """Return the index that a frame of ``footage`` shows."""
    image = np.zeros((captured.height, captured.width, 3), np.uint8)
    captured.copy_to(image)
    return footage.index_of(image)


def read_shown(source: Source, footage: Footage, most: int | None = None) -> list[tuple[int, int]]:
    """Return shown index and ``pts_ns`` of the frames of a source, of at most ``most``, and close it."""
    try:
        return [(shown_index(c, footage), c.pts_ns) for c in itertools.islice(source.frames(), most)]
    finally:
        source.close()
