"""Capture stage: frames before the run begins, and a source that is lost before."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
from support.flaky_source import FlakySource
from support.pipelines import LONG_S, wait_for

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.offline.frame_reader import FrameReader
from realtime_cropzoom.pipeline.capture import CaptureStage
from realtime_cropzoom.pipeline.source_reader import CaptureOptions
from realtime_cropzoom.runtime.ring import EndOfStream, OrderedReader, Ring
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sources.base import CapturedFrame, Source
from realtime_cropzoom.sources.live.reconnect import ReconnectPolicy
from realtime_cropzoom.types import UInt8


def _fill(gray: int, out: UInt8) -> None:
    out.fill(gray)


class Ticking(FlakySource):
    """Live source without an end, whose frames show their number."""

    taken = 0

    def frames(self) -> Iterator[CapturedFrame]:
        while True:
            number = Ticking.taken = Ticking.taken + 1
            time.sleep(0.002)
            yield CapturedFrame(number * 1_000_000, None, 8, 6, partial(_fill, number % 256))


def test_frames_that_arrive_while_models_load_are_dropped_and_frame_0_is_the_next_one() -> None:
    Ticking.taken = 0
    control = RunControl()
    capture = CaptureStage(Ticking, control, CaptureOptions(realtime=True, frames=5))
    capture.start()
    capture.wait_open()
    wait_for(lambda: Ticking.taken > 50, "frames that are dropped")
    ring = Ring(8, 6, 8)
    reader = OrderedReader(ring, None)
    taken = Ticking.taken
    capture.begin(ring)
    lease = wait_for(lambda: reader.take(0.1), "a frame")
    assert (lease.frame.meta.index, lease.frame.meta.pts_ns) == (0, 0)
    assert Ticking.taken >= taken > 50
    lease.release()
    capture.join(LONG_S)
    assert control.error is None
    assert capture.seconds() > 0


def test_a_source_that_is_given_up_before_the_ring_exists_ends_the_readers() -> None:
    opened = iter([FlakySource()])

    def open_once() -> FlakySource:
        source = next(opened, None)
        if source is None:
            raise SourceError("no such camera")
        return source

    control = RunControl()
    capture = CaptureStage(
        open_once, control, CaptureOptions(realtime=True, reconnect=ReconnectPolicy(give_up_after_s=0.05))
    )
    capture.start()
    capture.join(LONG_S)
    ring = Ring(8, 6, 8)
    reader = OrderedReader(ring, None)
    capture.begin(ring)
    with pytest.raises(EndOfStream):
        reader.take(1.0)
    assert "giving up" in str(control.error)


def test_a_source_that_hangs_while_it_opens_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def hang(*_: object) -> Source:
        let_go.wait(60)
        raise SourceError("late")

    monkeypatch.setattr("realtime_cropzoom.pipeline.capture._OPEN_TIMEOUT_S", 0.0)
    monkeypatch.setattr("realtime_cropzoom.offline.frame_reader._OPEN_TIMEOUT_S", 0.0)
    monkeypatch.setattr("realtime_cropzoom.offline.frame_reader.open_source", hang)
    capture = CaptureStage(hang, RunControl(), CaptureOptions(realtime=True))
    capture.start()
    try:
        with pytest.raises(SourceError, match="the source was not ready within 0 s; is the camera plugged in"):
            capture.wait_open()
        with pytest.raises(SourceError, match=r"clip\.mp4 was not ready within 0 s"):
            FrameReader("clip.mp4")
    finally:
        let_go.set()
        capture.join(10)
