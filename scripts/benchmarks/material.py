"""Material of the measurements: the recording, pairs of models, settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from realtime_cropzoom.bench.material import FRAMES_IN_MEMORY, decode, write_video
from realtime_cropzoom.bench.networks import Ready, make_ready
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.inference.model import Model, Models
from realtime_cropzoom.inference.model_paths import shipped_model
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings
from realtime_cropzoom.types import UInt8

WIDTH, HEIGHT = 640, 480
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
        return decode(self.recording, FRAMES_IN_MEMORY)

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


def write_arena(path: Path, count: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Write the synthetic arena as a video, if it does not exist yet."""
    if not path.exists():
        arena = Arena(ArenaSettings(width=size[0], height=size[1]))
        write_video(path, (arena.render(index) for index in range(count)), size)
    return path


def prepare(pair: Pair, image: UInt8) -> tuple[Ready, Ready]:
    """Return both models with prepared inputs: ``image``, and its crop around the detection."""
    detector, pose = make_ready(Models(*pair.load()), image, CROP_SIZE)
    assert detector is not None
    return detector, pose
