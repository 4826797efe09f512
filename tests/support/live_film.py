"""A camera under a test's control: it breaks off, comes back changed, stands still, loses frames, has a clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import CropzoomError, SourceError
from realtime_cropzoom.messaging.message import EndMessage, HelloMessage, Message, PoseMessage, StatusMessage
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.base import CapturedFrame, Source, SourceInfo
from realtime_cropzoom.types import StreamState, UInt8
from support.pipelines import LONG_S, Film


@dataclass
class Segment:
    """What a camera does from one opening to the next."""

    frames: int = 20
    size: tuple[int, int] = (160, 96)
    fps: float = 60.0
    lost: dict[int, int] = field(default_factory=dict)
    """Frame → how many the camera lost ahead of it."""
    stale: dict[int, int] = field(default_factory=dict)
    """Frame → how many came too late to be of use ahead of it."""
    refused: int = 0
    """How many attempts to open it fail before one succeeds."""


class Camera:
    """A device with a number of segments to its life; ``open`` is what a pipeline is given as its source.

    After the last segment it stays gone, unless ``endless`` lets that one go on.
    """

    def __init__(
        self,
        *segments: Segment,
        before: Callable[[int], None] | None = None,
        clock_ppm: float | None = None,
        endless: bool = False,
    ) -> None:
        """``before(i)`` comes ahead of frame i, counted over all segments; the clock runs ``clock_ppm`` too fast."""
        self.segments = list(segments) or [Segment()]
        self.opened = 0
        self.tried: list[float] = []
        """When it was tried to open it, on the monotonic clock."""
        self.given = 0
        """Frames handed over, over all segments."""
        self.before, self.clock_ppm, self.endless = before, clock_ppm, endless

    def open(self) -> LiveFilm:
        self.tried.append(time.monotonic())
        if self.opened == len(self.segments):
            raise SourceError("no such device")
        segment = self.segments[self.opened]
        if segment.refused:
            segment.refused -= 1
            raise SourceError("no such device")
        self.opened += 1
        return LiveFilm(self, segment, endless=self.endless and self.opened == len(self.segments))


class LiveFilm:
    """One opening of a camera; its frames come when they come."""

    def __init__(self, camera: Camera, segment: Segment, *, endless: bool) -> None:
        self._camera, self._segment, self._endless = camera, segment, endless
        self._film = Film(size=segment.size)
        self.info = SourceInfo("film", *segment.size, segment.fps, None, live=True)
        self._begun = time.monotonic()

    def frames(self) -> Iterator[CapturedFrame]:
        camera, segment, index, due = self._camera, self._segment, 0, time.monotonic()
        while index < segment.frames or self._endless:
            if camera.before is not None:
                camera.before(camera.given)
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic()) + 1 / segment.fps  # after a pause they do not come in a burst
            image = self._film.draw(camera.given)
            pts_ns = round(index * 1e9 / segment.fps)
            yield CapturedFrame(
                pts_ns, self._device_ns(), *segment.size, partial(_copy, image), segment.lost.get(index, 0),
                stale_before=segment.stale.get(index, 0),
            )  # fmt: skip
            camera.given += 1
            index += 1
        raise SourceError("the cable is out")

    def _device_ns(self) -> int | None:
        if self._camera.clock_ppm is None:
            return None
        return round((time.monotonic_ns() - self._begun * 1e9) * (1 + self._camera.clock_ppm * 1e-6))

    def problems(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


def _copy(image: UInt8, out: UInt8) -> None:
    np.copyto(out, image)


class Hold:
    """Holds whoever comes to ``at`` until it is let go."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.reached, self._let_go = threading.Event(), threading.Event()

    def __call__(self, index: int) -> None:
        if index == self._at:
            self.reached.set()
            self._let_go.wait(LONG_S)

    def let_go(self) -> None:
        self._let_go.set()


@dataclass
class Run:
    """A run, and all that a subscriber heard of it."""

    folder: Path
    error: CropzoomError | None
    """What ``join`` raised."""
    messages: list[Message]

    @property
    def poses(self) -> list[PoseMessage]:
        return [message for message in self.messages if isinstance(message, PoseMessage)]

    @property
    def statuses(self) -> list[StatusMessage]:
        return [message for message in self.messages if isinstance(message, StatusMessage)]

    @property
    def end(self) -> EndMessage:
        (end,) = [message for message in self.messages if isinstance(message, EndMessage)]
        return end


def listen(
    settings: Settings, camera: Camera | Film, *, each: Callable[[Message], object] = lambda message: None
) -> Run:
    """Run to the end, with a subscriber from the first frame on; ``each`` sees every message as it comes."""
    start = Hold(0)
    inner = camera.before if isinstance(camera, Camera) else camera._before

    def before(index: int) -> None:
        start(index)
        if inner is not None:
            inner(index)

    opened: Callable[[], Source]
    if isinstance(camera, Camera):
        camera.before, opened = before, camera.open
    else:
        camera._before, opened = before, lambda: camera
    pipeline, error, messages = Pipeline(settings, opened), None, list[Message]()
    pipeline.start()
    assert pipeline.folder is not None
    try:
        with Subscriber(pipeline.endpoints[0]) as subscriber:
            while not messages or not isinstance(messages[-1], EndMessage):
                message = subscriber.receive(LONG_S)
                assert message is not None, "silence"
                messages.append(message)
                if isinstance(message, HelloMessage):
                    start.let_go()
                each(message)
                if pipeline.control.stop.is_set() or pipeline.progress().stream == StreamState.ENDED:
                    error = error or _joined(pipeline)  # the end message comes once somebody ends the threads
    finally:
        pipeline.stop("the test gave up")
        start.let_go()
        error = error or _joined(pipeline)
    return Run(pipeline.folder, error, messages)


def _joined(pipeline: Pipeline) -> CropzoomError | None:
    try:
        pipeline.join()
    except CropzoomError as error:
        return error
    return None
