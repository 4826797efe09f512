"""Material of the measurements: frames, videos, models, settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.inference.model import Model, Outputs
from realtime_cropzoom.inference.model_paths import shipped_model
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo
from realtime_cropzoom.sources.video_file import VideoFile
from realtime_cropzoom.types import Box, Keypoints, UInt8

WIDTH, HEIGHT = 640, 480
_FRAMES_IN_MEMORY = 240
CROP_SIZE = 240
"""Side of all boxes (frame pixels): that of the training of both pose models."""


@dataclass(frozen=True)
class Pair:
    """A detector and a pose model."""

    name: str
    detector: Path
    pose: Path

    def load(self) -> tuple[Model, Model]:
        """Return both, each on one thread."""
        return Model(self.detector, "detector"), Model(self.pose, "pose")


SHIPPED = Pair("shipped", shipped_model("detector"), shipped_model("pose"))


@dataclass(frozen=True)
class Bench:
    """Data, frame counts and folders for the measurements."""

    data: Path | None
    """The folder with openfield/ and litpose/; None without it."""
    quick: bool
    """Whether to check only that everything runs; the numbers then mean nothing."""
    scratch: Path
    """A temporary folder."""
    rates: tuple[int, ...] = ()
    """The frame rates at which latency is measured; empty for all."""

    def count(self, n: int) -> int:
        """Return ``n``, or a small part of it with ``quick``."""
        return max(3, n // 20) if self.quick else n

    @cached_property
    def recording(self) -> Path:
        """Return the real recording, or the arena as a video without one."""
        if self.data is not None:
            return self.data / "openfield" / "videos" / "m3v1mp4.mp4"
        return write_arena(self.scratch / "arena.mp4", 600)

    @property
    def recording_name(self) -> str:
        """Return the name of ``recording``, for the table."""
        return "openfield recording" if self.data is not None else "synthetic arena (no data folder)"

    @cached_property
    def frames(self) -> list[UInt8]:
        """Return decoded frames of the recording, 640x480."""
        return decode(self.recording, _FRAMES_IN_MEMORY)

    @cached_property
    def litpose(self) -> Pair | None:
        """Return Lightning Pose's ResNet-18 pair; None without it."""
        if self.data is None or not (folder := self.data / "litpose" / "openfield").exists():
            return None
        return Pair("ResNet-18", folder / "detector_0", folder / "pose_0")

    @property
    def pairs(self) -> list[Pair]:
        """Return the available pairs."""
        return [SHIPPED, *([self.litpose] if self.litpose else [])]

    def settings(self, pair: Pair, **more: Any) -> Settings:
        """Return the settings of a run: the defaults, boxes of 240 pixels, and no publishing unless given."""
        flags = {"detector": str(pair.detector), "pose": str(pair.pose), "crop_size": CROP_SIZE, "publish": "none"}
        return load_settings({**flags, "out": self.scratch / "sessions", **more})


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


def arena_frames(width: int, height: int, count: int) -> list[UInt8]:
    """Return frames of the synthetic arena."""
    arena = Arena(ArenaSettings(width=width, height=height))
    return [arena.render(i) for i in range(count)]


def decode(video: Path, count: int) -> list[UInt8]:
    """Return the first frames of a video."""
    source, images = VideoFile(video), []
    for captured in source.frames():
        images.append(np.empty((captured.height, captured.width, 3), np.uint8))
        captured.copy_to(images[-1])
        if len(images) == count:
            break
    source.close()
    return images


def write_arena(path: Path, count: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Write the synthetic arena as a video, if it does not exist yet."""
    if not path.exists():
        arena = Arena(ArenaSettings(width=size[0], height=size[1]))
        write_video(path, (arena.render(index) for index in range(count)), size)
    return path


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


class Ready:
    """A loaded model with a prepared input."""

    def __init__(self, model: Model, image: UInt8, box: Box) -> None:
        self.model = model
        self.prepared = model.new_input()
        self._box = model.prepare(image, box, "pad", self.prepared)

    def infer(self) -> Outputs:
        """Run the network on the prepared input."""
        return self.model.infer(self.prepared)

    def keypoints(self) -> Keypoints:
        """Run the network and decode its output."""
        return self.model.decode(self.infer(), self._box)


def prepare(pair: Pair, image: UInt8) -> tuple[Ready, Ready]:
    """Return both models with prepared inputs: ``image``, and its crop around the detection."""
    loaded, pose = pair.load()
    detector = Ready(loaded, image, Box(0, 0, image.shape[1], image.shape[0]))
    x, y = detector.keypoints().xy.mean(axis=0)
    box = Box(int(x) - CROP_SIZE // 2, int(y) - CROP_SIZE // 2, CROP_SIZE, CROP_SIZE)
    return detector, Ready(pose, image, box)


def time_ms(step: Callable[[], object], count: int) -> np.ndarray:
    """Return how long each of ``count`` calls took, in ms."""
    times = np.empty(count)
    for i in range(count):
        begun = time.perf_counter_ns()
        step()
        times[i] = time.perf_counter_ns() - begun
    return times / 1e6
