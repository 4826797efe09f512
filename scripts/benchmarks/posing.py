"""A publisher without cameras or models: the poses of the arena's mouse, at any rate, through the real publisher."""

from __future__ import annotations

import multiprocessing
import time
import uuid
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from realtime_cropzoom.clock import now_ns, unix_offset_ns
from realtime_cropzoom.messaging.message import Counts, EndMessage, EventMessage, HelloMessage, StatusMessage
from realtime_cropzoom.runtime.records import FrameCounts, FrameOutcome, Record, RunIdentity
from realtime_cropzoom.runtime.stats import Histogram
from realtime_cropzoom.runtime.tuning import tuned
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sinks.zmq_publisher import PublishOptions, ZmqPublisher
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings
from realtime_cropzoom.types import ActiveBox, Box, Float32, FrameMeta, Keypoints, State, StreamState

ANY_PORT = "tcp://127.0.0.1:*"
WIDTH, HEIGHT = 640, 480
_CAMERA = "cam0"
_SIDE = 240
_POSES = 2000
_NOISE_PX = 0.5
_UNSURE = 0.01
"""Share of keypoints with a low likelihood."""


@dataclass(frozen=True)
class Phase:
    """What the publisher did while poses were counted under one name."""

    p50_ms: float
    """Time from the record to the sent message (ms)."""
    p99_ms: float
    n: int


class PosePublisher:
    """The publisher in a process of its own, with ``fps`` records per second, until it is closed or killed."""

    def __init__(self, fps: float, endpoint: str = ANY_PORT, latest: str | None = None) -> None:
        """Start the process, and wait until the endpoint is bound."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_publish, args=(theirs, fps, endpoint, latest), daemon=True)
        self._process.start()
        theirs.close()  # then the pipe ends when the process ends
        self.endpoints: list[str] = self._pipe.recv()
        """The endpoints that are bound."""

    @property
    def pid(self) -> int:
        """Return the process id."""
        assert self._process.pid is not None
        return self._process.pid

    def begin(self, phase: str | None = None) -> None:
        """Count the following poses under this name; None counts nothing."""
        self._pipe.send(("begin", phase))

    def finish(self) -> dict[str, Phase]:
        """Send the end message, and return the counts."""
        self._pipe.send(("end", None))
        phases: dict[str, Phase] = self._pipe.recv()
        self._process.join()
        return phases

    def kill(self) -> None:
        """Kill the process as ``kill -9`` does."""
        self._process.kill()
        self._process.join()

    def __enter__(self) -> PosePublisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def arena_poses(fps: float, count: int) -> list[Keypoints]:
    """Return ``count`` poses as a model gives them: the mouse with small errors, and a few unlikely keypoints."""
    arena, chance = Arena(ArenaSettings(width=WIDTH, height=HEIGHT, fps=fps)), np.random.default_rng(1)
    poses = []
    for index in range(count):
        xy: Float32 = (arena.truth(index) + chance.normal(0, _NOISE_PX, (4, 2))).astype(np.float32)
        likelihood = np.where(chance.random(4) < _UNSURE, 0.3, chance.uniform(0.9, 1.0, 4)).astype(np.float32)
        poses.append(Keypoints(xy, likelihood))
    return poses


class _Speaker:
    """The status messages of the run."""

    def __init__(self, fps: float) -> None:
        self.identity = RunIdentity(uuid.uuid4().hex[:12], _CAMERA, Arena.keypoint_names, unix_offset_ns())
        self.published = 0
        self._fps = fps

    def hello(self) -> HelloMessage:
        names = list(self.identity.keypoint_names)
        run, offset = self.identity.run, self.identity.unix_offset_ns
        return HelloMessage(1, run, _CAMERA, "arena", names, WIDTH, HEIGHT, self._fps, None, "", "", "", offset)

    def status(self) -> StatusMessage:
        run, offset = self.identity.run, self.identity.unix_offset_ns
        return StatusMessage(
            1, run, _CAMERA, "tracking", "live", self._counts(), 0, self._fps, 0.0, {}, now_ns(), offset
        )

    def stream(self) -> StreamState:
        return StreamState.LIVE

    def take_events(self) -> list[EventMessage]:
        return []

    def end_message(self) -> EndMessage:
        return EndMessage(1, self.identity.run, _CAMERA, "finished", self._counts(), now_ns())

    def _counts(self) -> Counts:
        return Counts(self.published, self.published, 0, 0, 0)


class _Feed:
    """Hands over each record when it is due, as the pose stage does, and counts the times."""

    def __init__(self, fps: float, publisher: ZmqPublisher, speaker: _Speaker) -> None:
        self._fps, self._publisher, self._speaker = fps, publisher, speaker
        poses = arena_poses(fps, _POSES)
        self._poses = [*poses, *poses[-2:0:-1]]  # forwards and backwards: no jump
        self._phases: dict[str, Histogram] = {}

    def run_until_end(self, pipe: Connection) -> dict[str, Phase]:
        """Hand over records until the pipe says ``end``, or breaks."""
        what, phase = pipe.recv()
        due_ns, period_ns, index = now_ns(), round(1e9 / self._fps), 0
        while what != "end":
            ms = self._publish(index)
            if phase is not None:
                self._phases.setdefault(phase, Histogram()).add(ms)
            index, due_ns = index + 1, due_ns + period_ns
            time.sleep(max(0, due_ns - now_ns()) / 1e9)
            if pipe.poll():
                what, phase = pipe.recv()
        return {name: self._result(name) for name in self._phases}

    def _publish(self, index: int) -> float:
        """Publish one record; return how long that took (ms)."""
        at_ns = now_ns()
        done = index + 1
        pts_ns = round(index * 1e9 / self._fps)
        record = Record(
            meta=FrameMeta(index, pts_ns, None, at_ns),
            outcome=FrameOutcome.PROCESSED,
            active_box=ActiveBox(Box(200, 120, _SIDE, _SIDE), max(0, index - 4), 8.0, State.TRACKING, at_ns),
            keypoints=self._poses[index % len(self._poses)],
            cropped_ns=at_ns,
            inferred_ns=at_ns,
            seq=index,
            counts=FrameCounts(done, done, 0, 0),
        )
        self._speaker.published = done
        self._publisher.publish(record)
        return (now_ns() - at_ns) / 1e6

    def _result(self, name: str) -> Phase:
        times = self._phases[name]
        p50, p99 = times.percentile(50), times.percentile(99)
        return Phase(p50 or 0.0, p99 or 0.0, times.count)


def _publish(pipe: Connection, fps: float, endpoint: str, latest: str | None) -> None:
    control, speaker = RunControl(), _Speaker(fps)
    publisher = ZmqPublisher(speaker, control, PublishOptions(endpoint, latest))
    feed = _Feed(fps, publisher, speaker)
    publisher.start()
    publisher.wait_bound()
    pipe.send(publisher.bound_to)
    with tuned():  # as the pipeline is
        phases = feed.run_until_end(pipe)
    publisher.end()
    publisher.join()
    pipe.send(phases)
