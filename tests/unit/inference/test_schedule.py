"""Which box a frame gets: live, in lockstep, and replayed from a file that a run (or Lightning Pose) wrote."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.errors import ScheduleError
from realtime_cropzoom.inference.schedule import (
    NO_BOX,
    PASSED_OVER,
    FileSchedule,
    LatestSchedule,
    LockstepSchedule,
    StateLimits,
)
from realtime_cropzoom.runtime.records import FrameOutcome, Record
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sinks.csv_writer import CsvSink
from realtime_cropzoom.types import ActiveBox, Box, Detection, FrameMeta, Keypoints, State

LIMITS = StateLimits(coast_after_ms=250, lost_after_ms=1000)
FRAME_MS = 40


def stamp(index: int, pts_ms: float | None = None) -> FrameMeta:
    """A frame of a 25 fps stream; the monotonic time is nonsense on purpose, no age may come from it."""
    pts_ns = round((index * FRAME_MS if pts_ms is None else pts_ms) * 1e6)
    return FrameMeta(index, pts_ns, None, captured_ns=7 - index)


def detection(index: int, box: Box | None = None, pts_ms: float | None = None) -> Detection:
    return Detection(stamp(index, pts_ms), box or box_of(index), detected_ns=1000 + index)


def unusable(index: int) -> Detection:
    return Detection(stamp(index), None, detected_ns=1000 + index)


def box_of(index: int) -> Box:
    return Box(index, -index, 64, 64)


@pytest.mark.parametrize(
    ("age_ms", "state"),
    [
        pytest.param(0, State.TRACKING, id="this very frame"),
        pytest.param(250, State.TRACKING, id="at the limit it is not older yet"),
        pytest.param(250.001, State.COASTING, id="just older"),
        pytest.param(1000, State.COASTING, id="at the second limit"),
        pytest.param(1000.001, State.LOST, id="too old to act on"),
        pytest.param(1e9, State.LOST, id="days"),
    ],
)
def test_the_state_follows_from_the_age_of_the_box(age_ms: float, state: State) -> None:
    assert LIMITS.state(age_ms) is state


def test_before_the_first_detection_the_state_is_searching() -> None:
    assert LatestSchedule(LIMITS).choose(stamp(3)) is NO_BOX
    assert NO_BOX.state is State.SEARCHING
    assert NO_BOX.box is None
    assert NO_BOX.frame == -1
    assert math.isnan(NO_BOX.age_ms)


def test_latest_gives_the_last_detection_and_says_where_it_comes_from() -> None:
    schedule = LatestSchedule(LIMITS)
    schedule.offer(detection(2))
    schedule.offer(detection(5))
    assert schedule.choose(stamp(7)) == ActiveBox(box_of(5), 5, 2 * FRAME_MS, State.TRACKING, 1005)


def test_latest_keeps_the_last_box_through_unusable_detections_and_it_ages() -> None:
    schedule = LatestSchedule(LIMITS)
    schedule.offer(detection(0))
    chosen = []
    for index in range(1, 30):
        schedule.offer(unusable(index))
        chosen.append(schedule.choose(stamp(index)))
    assert {c.box for c in chosen} == {box_of(0)}
    assert [c.age_ms for c in chosen] == [FRAME_MS * i for i in range(1, 30)]
    # 240 ms is young enough, 280 is not; 1000 ms is not lost yet, 1040 is.
    assert [c.state for c in chosen] == [State.TRACKING] * 6 + [State.COASTING] * 19 + [State.LOST] * 4


def test_latest_finds_the_animal_again_at_once() -> None:
    schedule = LatestSchedule(LIMITS)
    schedule.offer(detection(0))
    assert schedule.choose(stamp(100)).state is State.LOST
    schedule.offer(detection(100))
    assert schedule.choose(stamp(101)) == ActiveBox(box_of(100), 100, FRAME_MS, State.TRACKING, 1100)


def test_latest_stays_searching_while_no_detection_is_usable() -> None:
    schedule = LatestSchedule(LIMITS)
    schedule.offer(unusable(0))
    assert schedule.choose(stamp(50)).state is State.SEARCHING


def test_latest_counts_a_box_from_a_later_frame_as_of_age_zero() -> None:
    """The detector takes the newest frame, so it may be ahead of the pose."""
    schedule = LatestSchedule(LIMITS)
    schedule.offer(detection(9))
    assert schedule.choose(stamp(7)) == ActiveBox(box_of(9), 9, 0.0, State.TRACKING, 1009)


def test_ages_are_frame_time_and_not_the_number_of_frames() -> None:
    schedule = LatestSchedule(LIMITS)
    schedule.offer(detection(4, pts_ms=100))
    chosen = schedule.choose(stamp(5, pts_ms=1350.5))
    assert chosen.age_ms == 1250.5
    assert chosen.state is State.LOST


@pytest.mark.parametrize("every", [1, 2, 5, 100])
def test_lockstep_gives_each_frame_the_detection_of_the_last_multiple_of_every(every: int) -> None:
    schedule = LockstepSchedule(LIMITS, every)
    for index in range(23):
        if index % every == 0:
            schedule.offer(detection(index))
        chosen = schedule.choose(stamp(index))
        assert chosen is not None
        assert chosen.frame == index // every * every
        assert chosen.box == box_of(chosen.frame)
        assert chosen.age_ms == FRAME_MS * (index - chosen.frame)


def test_lockstep_waits_for_its_detection_and_takes_no_other() -> None:
    schedule = LockstepSchedule(LIMITS, 3)
    schedule.offer(detection(0))
    assert schedule.choose(stamp(3)) is None
    schedule.offer(detection(3))
    chosen = schedule.choose(stamp(3))
    assert chosen is not None
    assert chosen.frame == 3


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 6), st.data())
def test_lockstep_does_not_depend_on_how_far_the_detector_is_ahead(
    found: list[bool], every: int, data: st.DataObject
) -> None:
    """Whenever a choice is made at all, it is the one that follows from the frames alone."""
    schedule = LockstepSchedule(LIMITS, every)
    offered, expected_frame = 0, -1
    multiples = [i for i in range(len(found)) if i % every == 0]
    for index in range(len(found)):
        needed = index // every + 1
        for i in multiples[offered : data.draw(st.integers(needed, len(multiples)))]:
            schedule.offer(detection(i) if found[i] else unusable(i))
            offered += 1
        if index % every == 0 and found[index]:
            expected_frame = index
        chosen = schedule.choose(stamp(index))
        assert chosen is not None
        assert chosen.frame == expected_frame
        assert chosen.box == (None if expected_frame < 0 else box_of(expected_frame))


def test_lockstep_keeps_the_last_box_through_unusable_detections_and_it_ages() -> None:
    schedule = LockstepSchedule(LIMITS)
    schedule.offer(detection(0))
    for index in range(1, 8):
        schedule.offer(unusable(index))
    assert schedule.choose(stamp(7)) == ActiveBox(box_of(0), 0, 7 * FRAME_MS, State.COASTING, 1000)


def test_lockstep_may_be_asked_twice_for_the_same_frame() -> None:
    schedule = LockstepSchedule(LIMITS, 2)
    schedule.offer(detection(0))
    assert schedule.choose(stamp(1)) == schedule.choose(stamp(1))


def record(index: int, in_force: ActiveBox, outcome: FrameOutcome = FrameOutcome.PROCESSED) -> Record:
    found = None
    if in_force.box is not None and outcome is FrameOutcome.PROCESSED:
        found = Keypoints(np.full((1, 2), 5, np.float32), np.ones(1, np.float32))
    return Record(stamp(index), outcome, in_force, found)


def write_files(folder: Path, records: list[Record]) -> Path:
    """Have the real sink write the files of a run, and return its box file."""
    sink = CsvSink(folder, "clip", ("nose",), "tracker", RunControl(), lockstep=True)
    sink.start()
    for each in records:
        sink.put(each)
    sink.end()
    sink.join(10)
    assert sink.problems() == []
    return folder / "clip_bbox.csv"


def test_what_a_run_wrote_is_what_the_file_schedule_gives(tmp_path: Path) -> None:
    """But for when the detection was done, which belongs to the other run."""
    chosen = [
        ActiveBox(Box(-3, 7, 64, 48), 0, 0.0, State.TRACKING, 0),
        ActiveBox(Box(-3, 7, 64, 48), 0, 100 / 3, State.TRACKING, 0),
        ActiveBox(Box(5, -9, 32, 32), 1, 300.125, State.COASTING, 0),
        ActiveBox(Box(5, -9, 32, 32), 1, 4000.0000001, State.LOST, 0),
    ]
    schedule = FileSchedule.read(write_files(tmp_path, [record(i, c) for i, c in enumerate(chosen)]))
    assert [schedule.choose(stamp(i)) for i in range(4)] == chosen


@pytest.mark.parametrize(
    ("written", "replayed"),
    [
        pytest.param(record(0, NO_BOX), NO_BOX, id="before the first box"),
        pytest.param(record(0, NO_BOX, FrameOutcome.SKIPPED), PASSED_OVER, id="skipped"),
    ],
)
def test_a_frame_without_a_pose_has_none_in_the_replay(written: Record, replayed: ActiveBox, tmp_path: Path) -> None:
    schedule = FileSchedule.read(write_files(tmp_path, [written]))
    assert schedule.choose(stamp(0)) is replayed


def test_a_frame_that_failed_keeps_its_box_in_the_replay(tmp_path: Path) -> None:
    """A context model would otherwise be shown other frames than it has seen live."""
    in_force = ActiveBox(box_of(0), 0, 0.0, State.TRACKING, 0)
    schedule = FileSchedule.read(write_files(tmp_path, [record(0, in_force, FrameOutcome.FAILED)]))
    assert schedule.choose(stamp(0)) == in_force


def test_a_file_schedule_does_not_listen_to_detections(tmp_path: Path) -> None:
    path = write_files(tmp_path, [record(0, ActiveBox(box_of(9), 0, 0.0, State.TRACKING, 0))])
    schedule = FileSchedule.read(path)
    schedule.offer(detection(0, Box(1, 1, 2, 2)))
    assert schedule.choose(stamp(0)).box == box_of(9)


def test_a_frame_beyond_the_file_is_an_error_that_gives_both_numbers(tmp_path: Path) -> None:
    schedule = FileSchedule.read(write_files(tmp_path, [record(0, NO_BOX), record(1, NO_BOX)]))
    with pytest.raises(ScheduleError, match=r"clip_bbox\.csv has 2 rows, but the source has a frame 2"):
        schedule.choose(stamp(2))


def test_litpose_columns_are_read_by_name(tmp_path: Path) -> None:
    """Its order is x, y, h, w; each box is its frame's own."""
    path = tmp_path / "bbox.csv"
    path.write_text(",x,y,h,w\n0,-30,-19,240,120\n1,-31.0,-21.0,240.0,120.0\n")
    schedule = FileSchedule.read(path)
    assert schedule.choose(stamp(0)) == ActiveBox(Box(-30, -19, 120, 240), 0, 0.0, State.TRACKING, 0)
    assert schedule.choose(stamp(1)) == ActiveBox(Box(-31, -21, 120, 240), 1, 0.0, State.TRACKING, 0)


def test_a_whole_litpose_file_is_read(litpose: Path) -> None:
    schedule = FileSchedule.read(litpose / "detector_0/video_preds/m3v1mp4_bbox.csv")
    assert schedule.choose(stamp(0)).box == Box(-30, -19, 240, 240)
    assert schedule.choose(stamp(2329)).state is State.TRACKING
    with pytest.raises(ScheduleError, match="2330 rows"):
        schedule.choose(stamp(2330))


_BAD_FILES = [
    pytest.param(b"hello\nworld\n", id="text"),
    pytest.param(b"\x89PNG\r\n\x1a\n\x00\x00\x00", id="an image"),
    pytest.param(b"scorer,t,t,t\nbodyparts,a,a,a\ncoords,x,y,likelihood\n0,1,2,0.9\n", id="the pose file instead"),
    pytest.param(b",x,y,h\n0,1,2,3\n", id="a column is missing"),
    pytest.param(b",x,y,h,w\n0,1,2\n", id="a row is cut off"),
    pytest.param(b",x,y,h,w\n0,one,2,3,4\n", id="a word for a number"),
    pytest.param(b",x,y,h,w\n0,nan,2,3,4\n", id="NaN for a number"),
    pytest.param(b",x,y,h,w\n0,1e999,2,3,4\n", id="an infinite number"),
    pytest.param(b",x,y,h,w\n0,1,2,0,0\n", id="a box without pixels"),
    pytest.param(b",x,y,h,w\n0,1,2,-4,-4\n", id="a box inside out"),
    pytest.param(b",x,y,h,w,box_frame,box_age_ms,state\n0,1,2,4,4,0,0.0,asleep\n", id="a state there is not"),
    pytest.param(b",x,y,h,w,box_frame,box_age_ms,state\n0,1,2,4,4,,0.0,tracking\n", id="a box of no frame"),
    pytest.param(
        b"",
        id="nothing at all",
    ),
]


@pytest.mark.parametrize("content", _BAD_FILES)
def test_a_file_that_is_no_box_file_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad_bbox.csv"
    path.write_bytes(content)
    with pytest.raises(ScheduleError, match=r"bad_bbox\.csv") as caught:
        FileSchedule.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [pytest.param("nowhere.csv", id="missing"), pytest.param(".", id="a folder")])
def test_a_file_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScheduleError, match="cannot read the schedule"):
        FileSchedule.read(tmp_path / name)
