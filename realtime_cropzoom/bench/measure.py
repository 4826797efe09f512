"""All measurements of ``cropzoom bench``, one after another: networks alone, decoding, a live run."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.bench.live import LiveRun, run_from_memory
from realtime_cropzoom.bench.material import FRAMES_IN_MEMORY, arena_frames, decode, write_video
from realtime_cropzoom.bench.networks import Ready, make_ready, time_ms
from realtime_cropzoom.bench.others import BUSY_CORES, OtherPrograms, wait_for_calm
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.inference.manifest import Role
from realtime_cropzoom.inference.model import Model, Models
from realtime_cropzoom.inference.providers import runtime
from realtime_cropzoom.pipeline.startup import load_models
from realtime_cropzoom.runtime.tuning import tuned, usable_cores
from realtime_cropzoom.sources.video_file import VideoFile
from realtime_cropzoom.types import Float64, UInt8

WIDTH, HEIGHT = 640, 480
_SHARES = {"networks": 0.3, "decoding": 0.1, "live": 0.6}
"""Shares of the whole time."""
_BLOCK_S = 0.25
"""The networks take turns of this length, so that a slow moment affects both."""
_FEW_FOUND = 0.9
"""Share of live frames with a box below which a figure does not count: a frame without one costs no pose."""
_BUSY_SHARE = 0.05
"""Share of the cores that other programs may keep busy, on machines with many."""


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    settings: Settings
    """Models, provider and boxes of the run."""
    seconds: float
    """Time (s) of all measurements together."""
    fps: float
    """Frames per second of the live run."""
    video: Path | None = None
    """A video whose frames are played; None for the synthetic arena."""


@dataclass
class Result:
    """What was measured so far."""

    plan: Plan
    size: tuple[int, int] = (WIDTH, HEIGHT)
    """Width, height of the frames."""
    models: dict[Role, Model] = field(default_factory=dict)
    others_before: float | None = None
    """Cores that other programs kept busy before; None if the system does not tell."""
    others_during: float | None = None
    networks_ms: dict[Role, Float64] = field(default_factory=dict)
    """Times (ms) of each network alone, on one thread."""
    decoded_fps: float | None = None
    live: LiveRun | None = None
    memory_mib: int | None = None
    """Largest resident memory of this process (MiB), without the frames that are played."""
    stopped: bool = False
    """Whether it was stopped before its end."""

    @property
    def busy_limit(self) -> float:
        """Number of cores that other programs may keep busy."""
        return max(BUSY_CORES, _BUSY_SHARE * usable_cores())

    def doubts(self) -> list[str]:
        """Return why the figures do not count, one sentence each; empty if they do."""
        found = []
        for when, cores in (("before", self.others_before), ("during", self.others_during)):
            if cores is not None and cores > self.busy_limit:
                found.append(
                    f"other programs kept {cores:.2f} of {usable_cores()} cores busy {when} the measurement, expected "
                    f"at most {self.busy_limit:.2f}. End them, and measure again"
                )
        if self.stopped:
            found.append("it was stopped before its end")
        elif self.live is not None and self.found_share < _FEW_FOUND:
            found.append(
                f"the models found an animal in {self.found_share:.0%} of the frames, and a frame without one costs no "
                "pose. Give a recording that they know with --video"
            )
        return found

    @property
    def found_share(self) -> float:
        """Share of the frames that arrived with a box, of those that were not lost."""
        if self.live is None:
            return 0.0
        arrived = self.live.summary["counts"]["captured"] - self.live.lost
        return self.live.poses / arrived if arrived > 0 else 0.0

    @property
    def runtime(self) -> str:
        """Version of ONNX Runtime."""
        return str(runtime.__version__)


def measure(plan: Plan, say: Callable[[str], None], stop: threading.Event) -> Result:
    """Measure everything, or until ``stop`` is set.

    Args:
        plan: What is measured.
        say: Prints a line.
        stop: Ends the measurement soon when it is set; what was measured is returned.

    Raises:
        CropzoomError: if a model, a setting or the video cannot be used.
    """
    result = Result(plan)
    _, models = load_models(plan.settings, threads=1)
    result.models = _by_role(models)
    images = _frames(plan.video, plan.fps)
    result.size = images[0].shape[1], images[0].shape[0]
    if not stop.is_set():
        say("waiting for other programs to be idle …")
        result.others_before = wait_for_calm(stop)
        for doubt in [] if stop.is_set() else result.doubts():
            say(f"the figures will not count: {doubt}")
    others = OtherPrograms()
    with tempfile.TemporaryDirectory(prefix="cropzoom-bench-") as scratch:
        for name, run in (("networks", _networks), ("decoding", _decoding), ("live", _live)):
            if not stop.is_set():
                say(f"{name}: {_SHARES[name] * plan.seconds:.0f} s …")
                run(result, _Material(models, images, Path(scratch), stop))
    result.others_during, result.stopped = others.cores(), stop.is_set()
    memory = _largest_memory()
    result.memory_mib = None if memory is None else round((memory - sum(image.nbytes for image in images)) / 2**20)
    return result


@dataclass(frozen=True)
class _Material:
    """What the measurements use."""

    models: Models
    images: list[UInt8]
    scratch: Path
    stop: threading.Event


def _by_role(models: Models) -> dict[Role, Model]:
    loaded: dict[Role, Model] = {} if models.detector is None else {"detector": models.detector}
    return {**loaded, "pose": models.pose}


def _frames(video: Path | None, fps: float) -> list[UInt8]:
    if video is None:
        return arena_frames(WIDTH, HEIGHT, FRAMES_IN_MEMORY, fps)
    images = decode(video, FRAMES_IN_MEMORY)
    if len(images) < 2:
        raise SourceError(f"{video}: got {len(images)} frames, expected 2 or more")
    return images


def _networks(result: Result, given: _Material) -> None:
    """Time both networks in turns."""
    settings = result.plan.settings
    side = settings.crop_size or given.models.pose.trained_crop_size or min(result.size)
    detector, pose = make_ready(given.models, given.images[0], side)
    ready: dict[Role, Ready] = {"pose": pose} if detector is None else {"detector": detector, "pose": pose}
    times: dict[Role, list[Float64]] = {role: [] for role in ready}
    until = time.monotonic() + _SHARES["networks"] * result.plan.seconds
    with tuned():
        calls = {role: max(1, round(_BLOCK_S * 1000 / _quick_ms(one))) for role, one in ready.items()}
        while not given.stop.is_set() and time.monotonic() < until:
            for role, one in ready.items():
                times[role].append(time_ms(one.infer, calls[role]))
    result.networks_ms = {role: np.concatenate(blocks) for role, blocks in times.items() if blocks}


def _quick_ms(ready: Ready) -> float:
    return float(np.median(time_ms(ready.infer, 3)))


def _decoding(result: Result, given: _Material) -> None:
    """Decode a video of the frames, or the video that was given, again and again, and at least once."""
    video = result.plan.video
    if video is None:
        video = given.scratch / "arena.mp4"
        write_video(video, given.images, result.size)
    until = time.monotonic() + _SHARES["decoding"] * result.plan.seconds
    frames, seconds = 0, 0.0
    while not given.stop.is_set() and (not frames or time.monotonic() < until):
        source = VideoFile(video)
        begun = time.monotonic()
        for index, _ in enumerate(source.frames(), 1):
            if given.stop.is_set() or index == FRAMES_IN_MEMORY:
                break
        frames, seconds = frames + index, seconds + time.monotonic() - begun
        source.close()
    if seconds:
        result.decoded_fps = frames / seconds


def _live(result: Result, given: _Material) -> None:
    plan = result.plan
    count = max(2, round(_SHARES["live"] * plan.seconds * plan.fps))
    updates: dict[str, Any] = {"out": given.scratch / "sessions", "control": "none"}
    result.live = run_from_memory(plan.settings.model_copy(update=updates), given.images, plan.fps, count, given.stop)


def _largest_memory() -> int | None:
    """Return the largest resident memory of this process so far (bytes); None if the system does not tell."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
