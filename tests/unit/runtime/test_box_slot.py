"""Box slot: live it never waits, in lockstep it waits for the detection, and its end ends the wait."""

from __future__ import annotations

import threading

from realtime_cropzoom.inference.schedule import LatestSchedule, LockstepSchedule, StateLimits
from realtime_cropzoom.runtime.box_slot import BoxSlot
from realtime_cropzoom.types import Box, Detection, FrameMeta, State

LIMITS = StateLimits(coast_after_ms=100.0, lost_after_ms=1000.0)
BOX = Box(1, 2, 30, 40)
LONG_S = 60.0


def meta(index: int) -> FrameMeta:
    return FrameMeta(index, index * 10**7, None, index * 10**7)


def test_live_a_frame_gets_the_newest_box_at_once() -> None:
    slot = BoxSlot(LatestSchedule(LIMITS))
    before = slot.choose(meta(0), LONG_S)
    assert before is not None
    assert (before.box, before.state) == (None, State.SEARCHING)
    slot.offer(Detection(meta(0), BOX, 5))
    after = slot.choose(meta(1), LONG_S)
    assert after is not None
    assert (after.box, after.frame, after.age_ms) == (BOX, 0, 10.0)


def test_in_lockstep_a_frame_waits_for_its_detection() -> None:
    slot = BoxSlot(LockstepSchedule(LIMITS, 1))
    assert slot.choose(meta(0), 0.0) is None
    detector = threading.Thread(target=slot.offer, args=[Detection(meta(0), BOX, 5)])
    detector.start()
    chosen = None
    while chosen is None:
        chosen = slot.choose(meta(0), LONG_S)
    detector.join()
    assert chosen.box == BOX


def test_the_end_of_the_detector_ends_the_wait() -> None:
    slot = BoxSlot(LockstepSchedule(LIMITS, 1))
    detector = threading.Thread(target=slot.close)
    detector.start()
    assert slot.choose(meta(0), LONG_S) is None
    detector.join()
    assert slot.closed
    assert slot.choose(meta(0), LONG_S) is None
