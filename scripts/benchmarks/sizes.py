"""Frame sizes: what is added to decoding and the bare models when the frames of a recording grow.

A lockstep run takes frames of an H.264 4:2:0 file at a rate so low that one frame is done before the next is decoded.
Nothing overlaps, so the time of a frame is the sum of decoding, both models, and everything else: copies, conversion,
the detector's and the pose model's input, heatmaps, hand-overs between threads.

The animal grows with the frame, and so do the boxes. A box that shows only a part of it gives heatmaps without a peak,
which take 1 ms to decode.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from itertools import count as count_from
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np

from benchmarks.material import CROP_SIZE, HEIGHT, SHIPPED, Bench, prepare
from benchmarks.paced import paced
from benchmarks.results import Row
from benchmarks.runs import frame_ms, run_lockstep
from realtime_cropzoom.bench.material import write_video
from realtime_cropzoom.pipeline import detect
from realtime_cropzoom.sources.base import CapturedFrame
from realtime_cropzoom.sources.video_file import VideoFile
from realtime_cropzoom.types import UInt8

TITLE = "Frame sizes: what is added to decoding and the bare models, H.264 4:2:0, one frame at a time"
_SIZES = ((640, 480), (1280, 1024), (1920, 1080), (3840, 2160))
_FPS = 20.0
_FRAMES, _WARM = 40, 8
_ROUNDS = 3
_GROWTH_MS = 0.3


def run(bench: Bench) -> Iterator[Row]:
    """Yield one row a size, and by how much the last exceeds the first."""
    films = {size: _film(bench, size) for size in _SIZES}
    detector, pose = prepare(SHIPPED, bench.frames[0])
    rounds = 1 if bench.quick else _ROUNDS
    logging.getLogger(detect.__name__).setLevel(logging.ERROR)  # the boxes are larger than those of the training
    bare_ms: list[float] = []
    whole_ms: dict[tuple[int, int], list[float]] = {size: [] for size in _SIZES}
    decode_ms: dict[tuple[int, int], list[float]] = {size: [] for size in _SIZES}
    for _ in range(rounds):
        bare_ms.append(sum(float(np.median(paced(bench, model, _FPS, _FRAMES))) for model in (detector, pose)))
        for size, film in films.items():
            source = PacedFile(film, _FPS)
            timing = run_lockstep(bench, SHIPPED, _FRAMES, source, crop_size=CROP_SIZE * size[1] // HEIGHT)
            whole_ms[size].append(float(np.median(frame_ms(timing)[_WARM:])))
            decode_ms[size].append(float(np.median(source.decode_ms[_WARM:])))
    added = {size: float(np.median(np.subtract(whole_ms[size], bare_ms))) for size in _SIZES}
    bare, n = float(np.median(bare_ms)), f"{rounds} × {_FRAMES - _WARM} frames"
    for size in _SIZES:
        decode = float(np.median(decode_ms[size]))
        value = f"{added[size]:.2f} ms (decoding {decode:.2f}, both bare models {bare:.2f})"
        numbers = {"size": size, "added_ms": added[size], "decode_ms": decode, "bare_ms": bare, "whole": whole_ms[size]}
        yield Row(f"{size[0]}×{size[1]}: added", value, n=n, numbers=numbers)
    growth = float(np.median(np.subtract(whole_ms[_SIZES[-1]], whole_ms[_SIZES[0]])))
    name = f"growth from {_SIZES[0][0]}×{_SIZES[0][1]} to {_SIZES[-1][0]}×{_SIZES[-1][1]}"
    yield Row(name, f"{growth:.2f} ms", f"≤ {_GROWTH_MS} ms", growth <= _GROWTH_MS, n, {"growth_ms": growth})


def _film(bench: Bench, size: tuple[int, int]) -> Path:
    """Write frames of the recording, enlarged to ``size``."""
    path = bench.scratch / f"film_{size[0]}x{size[1]}.mp4"
    if not path.exists():
        enlarged = (_enlarged(image, size) for image in bench.frames[:_FRAMES])
        write_video(path, enlarged, size)
    return path


def _enlarged(image: UInt8, size: tuple[int, int]) -> UInt8:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)


class PacedFile:
    """A video file that decodes one frame each 1 / fps seconds, right when it is due."""

    def __init__(self, path: Path, fps: float) -> None:
        self._source, self._fps = VideoFile(path), fps
        self.info = self._source.info
        self.decode_ms: list[float] = []
        """Time to read and decode each frame."""

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield the frames."""
        frames, begin = self._source.frames(), perf_counter()
        for index in count_from():
            time.sleep(max(0.0, begin + index / self._fps - perf_counter()))
            begun = perf_counter()
            captured = next(frames, None)
            if captured is None:
                return
            self.decode_ms.append((perf_counter() - begun) * 1e3)
            yield captured

    def problems(self) -> list[str]:
        """Return the problems of the file."""
        return self._source.problems()

    def close(self) -> None:
        """Close the file."""
        self._source.close()
