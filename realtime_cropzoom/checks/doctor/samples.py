"""Samples: some frames of a source, spread over it, each with the two that follow."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import CropzoomError, SourceError
from realtime_cropzoom.files.paths import is_folder, user_path
from realtime_cropzoom.inference.appearance import to_gray
from realtime_cropzoom.pipeline.regions import Region
from realtime_cropzoom.sources.base import CapturedFrame, Source, SourceInfo, SourceOptions, without_password
from realtime_cropzoom.sources.factory import SYNTHETIC, open_source
from realtime_cropzoom.sources.random_access import RandomAccessVideo
from realtime_cropzoom.types import UInt8

MOMENTS = 24
"""Number of samples."""
FOLLOWING = 2
"""Number of frames after each sample that are looked at as well: for movement and repeated frames."""
_MAX_BYTES = 400 << 20
"""Maximum memory of the samples (bytes). Of large frames there are fewer."""
_MIN_MOMENTS = 8
_SYNTHETIC_S = 20.0
"""Length of what is looked at of a source that never ends and is no device (s)."""
_SPARE_S = 5.0
"""Time beyond those that were asked for, after which a device that gives nothing is given up (s)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame, and what follows it."""

    number: int
    """Number of the frame in the recording, or since the source was opened."""
    image: UInt8
    """(H, W, 3) RGB."""
    following: tuple[UInt8, ...] = ()
    """Gray pictures (H, W) of the frames right after it."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """The samples of a source."""

    name: str
    """The source, without a password."""
    width: int
    height: int
    fps: float | None
    """Frames per second; None if unknown."""
    count: int | None
    """Number of frames of a recording; None if it has no end, or is a device."""
    samples: tuple[Sample, ...]
    """In order of their numbers; at least one."""
    live: bool = False
    """Whether it is a camera or a stream."""


def take_samples(
    source: str, options: SourceOptions, seconds: float, wanted: Sequence[int] | None = None
) -> Sampled:  # fmt: skip
    """Read frames that are spread over a source.

    Args:
        source: The source as the user gives it.
        options: Options for opening it.
        seconds: Time for which a camera or stream is looked at (s).
        wanted: Numbers of the frames of a recording; None for frames evenly spread.

    Raises:
        SourceError, ConfigError: if it cannot be opened, or gives no frame.
    """
    path = user_path(source)
    if not source.startswith(SYNTHETIC) and path.is_file():
        return _of_file(path, wanted)
    thread = _Sampler(source, options, seconds, wanted)
    thread.start()
    until_ns = now_ns() + round((options.open_timeout_s + options.read_timeout_s + 2 * seconds + _SPARE_S) * 1e9)
    while thread.is_alive() and (now_ns() < until_ns or not thread.is_device):  # short waits: Ctrl-C must get through
        thread.join(0.1)
    if thread.is_alive():
        raise SourceError(
            f"{without_password(source)} did not answer within {seconds:g} s; "
            "check the cable, and whether another program uses it"
        )
    if thread.error is not None:
        raise thread.error
    assert thread.sampled is not None
    return thread.sampled


def of_region(sampled: Sampled, region: Region) -> Sampled:
    """Return samples of which only a region is left: what the models of its run see.

    Args:
        sampled: Samples of whole frames.
        region: The region. It lies in the frame.
    """
    left, top, right, bottom = region.bounds.pixels()

    def cut(image: UInt8) -> UInt8:
        part = image[top:bottom, left:right]
        if region.inside is None:
            return np.ascontiguousarray(part)
        inside = region.inside if part.ndim == 2 else region.inside[:, :, None]
        return np.asarray(part * inside, np.uint8)

    samples = tuple(Sample(s.number, cut(s.image), tuple(map(cut, s.following))) for s in sampled.samples)
    name = f"{sampled.name}, region {region.name}"
    return replace(sampled, name=name, width=right - left, height=bottom - top, samples=samples)


def spread(count: int, moments: int) -> list[int]:
    """Return numbers of frames, evenly spread over ``count`` frames, each with room for those that follow.

    Args:
        count: Number of frames.
        moments: Number of samples.
    """
    last = max(0, count - 1 - FOLLOWING)
    return sorted(set(np.linspace(0, last, min(moments, last + 1)).round().astype(int).tolist()))


def _moments(width: int, height: int) -> int:
    """Return the number of samples that fit into the memory."""
    each = width * height * (3 + FOLLOWING)
    return max(_MIN_MOMENTS, min(MOMENTS, _MAX_BYTES // max(1, each)))


def _of_file(path: Path, wanted: Sequence[int] | None) -> Sampled:
    """Return the samples of a video file."""
    opened = open_source(str(path))  # whose errors and names are those of a run
    info = opened.info
    opened.close()
    video = RandomAccessVideo(path)
    try:
        numbers = spread(video.count, _moments(info.width, info.height)) if wanted is None else list(wanted)
        samples = tuple(sample for number in numbers if (sample := _read(video, number)) is not None)
    finally:
        video.close()
    if not samples:
        raise SourceError(f"{path} has no frame that can be decoded; expected a video file")
    return Sampled(str(path), info.width, info.height, info.fps, video.count, samples)


def _read(video: RandomAccessVideo, number: int) -> Sample | None:
    """Return a sample; None if its frame does not decode."""
    try:
        image = video.read(number).copy()
        after = [to_gray(video.read(k)) for k in range(number + 1, min(number + 1 + FOLLOWING, video.count))]
    except SourceError:
        return None
    same = [picture for picture in after if picture.shape == image.shape[:2]]
    return Sample(number, image, tuple(same))


class _Sampler(threading.Thread):
    """Thread that opens a source other than a file, reads samples, and closes it: a driver may hang."""

    def __init__(self, source: str, options: SourceOptions, seconds: float, wanted: Sequence[int] | None) -> None:
        super().__init__(name="cropzoom-sample", daemon=True)
        self._source, self._options, self._seconds, self._wanted = source, options, seconds, wanted
        self.is_device = not source.startswith(SYNTHETIC) and not is_folder(user_path(source))
        """Whether the source may never answer."""
        self.sampled: Sampled | None = None
        self.error: CropzoomError | None = None

    def run(self) -> None:
        """Read the samples."""
        shown = without_password(self._source)
        try:
            source = open_source(self._source, self._options)
            try:
                self.sampled = self._take(source, source.info, shown)
            finally:
                source.close()
        except CropzoomError as error:
            self.error = error
        except Exception as error:  # of a driver or its library
            self.error = SourceError(f"{shown} failed: {type(error).__name__}: {error}")

    def _take(self, source: Source, info: SourceInfo, shown: str) -> Sampled:
        moments = _moments(info.width, info.height)
        if info.live:
            samples = list(_by_time(source.frames(), self._seconds, moments))
        else:
            count = info.frame_count or round(_SYNTHETIC_S * (info.fps or 30))
            samples = list(_by_number(source.frames(), self._wanted or spread(count, moments)))
        if not samples:
            raise SourceError(f"{shown} opens, but no frame comes. Does it wait for a trigger, or is it empty?")
        count_known = None if info.live else info.frame_count
        return Sampled(shown, info.width, info.height, info.fps, count_known, tuple(samples), info.live)


@dataclass
class _Growing:
    """A sample whose following frames still come."""

    number: int
    image: UInt8
    following: list[UInt8] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return len(self.following) == FOLLOWING

    def done(self) -> Sample:
        return Sample(self.number, self.image, tuple(self.following))


def _by_number(frames: Iterable[CapturedFrame], wanted: Sequence[int]) -> Iterator[Sample]:
    """Yield the samples with these numbers."""
    chosen, last = set(wanted), max(wanted) + FOLLOWING
    growing: _Growing | None = None
    for number, captured in enumerate(frames):
        if growing is not None and (growing.is_whole or number in chosen):
            yield growing.done()
            growing = None
        if number in chosen:
            growing = _Growing(number, captured.copied())
        elif growing is not None:
            growing.following.append(_gray(captured, growing.image))
        if number >= last:
            break
    if growing is not None:
        yield growing.done()


def _by_time(frames: Iterable[CapturedFrame], seconds: float, moments: int) -> Iterator[Sample]:
    """Yield samples of a device, spread over ``seconds``."""
    every_ns, first_ns = seconds * 1e9 / moments, 0
    taken, growing = 0, None
    for number, captured in enumerate(frames):
        at_ns = now_ns()
        first_ns = first_ns or at_ns
        if growing is not None and growing.is_whole:
            yield growing.done()
            growing = None
        if growing is not None:
            growing.following.append(_gray(captured, growing.image))
        elif taken < moments and at_ns - first_ns >= taken * every_ns:
            growing, taken = _Growing(number, captured.copied()), taken + 1
        if at_ns - first_ns >= seconds * 1e9 and growing is None:
            break
    if growing is not None:
        yield growing.done()


def _gray(captured: CapturedFrame, like: UInt8) -> UInt8:
    image = captured.copied()
    if image.shape != like.shape:
        image = np.asarray(cv2.resize(image, (like.shape[1], like.shape[0])), np.uint8)
    return to_gray(image)
