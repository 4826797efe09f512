"""Recorded schedules: what a run or Lightning Pose wrote is what the schedule gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from realtime_cropzoom.errors import ScheduleError
from realtime_cropzoom.inference.schedule import NO_BOX, SKIPPED_IN_RECORDING
from realtime_cropzoom.runtime.records import FrameOutcome, Record
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sessions.schedule_file import read_schedule_file
from realtime_cropzoom.sinks.csv_writer import CsvOptions, CsvSink
from realtime_cropzoom.types import ActiveBox, Box, Detection, FrameMeta, Keypoints, State

BOX = Box(9, -9, 64, 64)


def meta(index: int) -> FrameMeta:
    """Return a frame of a 25 fps stream."""
    return FrameMeta(index, index * 40_000_000, None, captured_ns=7 - index)


def record(index: int, active: ActiveBox, outcome: FrameOutcome = FrameOutcome.PROCESSED) -> Record:
    found = None
    if active.box is not None and outcome is FrameOutcome.PROCESSED:
        found = Keypoints(np.full((1, 2), 5, np.float32), np.ones(1, np.float32))
    return Record(meta(index), outcome, active, found)


def write_files(folder: Path, records: list[Record]) -> Path:
    """Let the real sink write the files of a run, and return the box file."""
    sink = CsvSink(folder, RunControl(), CsvOptions("clip", ("nose",), "tracker", lockstep=True))
    sink.start()
    for each in records:
        sink.put(each)
    sink.end()
    sink.join(10)
    assert sink.problems() == []
    return folder / "clip_bbox.csv"


def test_a_schedule_gives_the_boxes_that_the_run_wrote(tmp_path: Path) -> None:
    """All but the time of the detection, which belongs to the other run."""
    chosen = [
        ActiveBox(Box(-3, 7, 64, 48), 0, 0.0, State.TRACKING, 0),
        ActiveBox(Box(-3, 7, 64, 48), 0, 100 / 3, State.TRACKING, 0),
        ActiveBox(Box(5, -9, 32, 32), 1, 300.125, State.COASTING, 0),
        ActiveBox(Box(5, -9, 32, 32), 1, 4000.0000001, State.LOST, 0),
    ]
    schedule = read_schedule_file(write_files(tmp_path, [record(i, c) for i, c in enumerate(chosen)]))
    assert [schedule.choose(meta(i)) for i in range(4)] == chosen


@pytest.mark.parametrize(
    ("written", "replayed"),
    [
        pytest.param(record(0, NO_BOX), NO_BOX, id="before the first box"),
        pytest.param(record(0, NO_BOX, FrameOutcome.SKIPPED), SKIPPED_IN_RECORDING, id="skipped"),
    ],
)
def test_a_frame_without_a_pose_has_none_in_the_replay(written: Record, replayed: ActiveBox, tmp_path: Path) -> None:
    schedule = read_schedule_file(write_files(tmp_path, [written]))
    assert schedule.choose(meta(0)) is replayed


def test_a_frame_that_failed_keeps_its_box_in_the_replay(tmp_path: Path) -> None:
    """Otherwise a context model would see other frames than in the recorded run."""
    active = ActiveBox(BOX, 0, 0.0, State.TRACKING, 0)
    schedule = read_schedule_file(write_files(tmp_path, [record(0, active, FrameOutcome.FAILED)]))
    assert schedule.choose(meta(0)) == active


def test_a_recorded_schedule_ignores_detections(tmp_path: Path) -> None:
    path = write_files(tmp_path, [record(0, ActiveBox(BOX, 0, 0.0, State.TRACKING, 0))])
    schedule = read_schedule_file(path)
    schedule.offer(Detection(meta(0), Box(1, 1, 2, 2), detected_ns=1000))
    assert schedule.choose(meta(0)).box == BOX


def test_a_frame_beyond_the_file_is_an_error_that_gives_both_numbers(tmp_path: Path) -> None:
    schedule = read_schedule_file(write_files(tmp_path, [record(0, NO_BOX), record(1, NO_BOX)]))
    with pytest.raises(ScheduleError, match=r"clip_bbox\.csv has 2 rows, but the source has a frame 2"):
        schedule.choose(meta(2))


def test_litpose_columns_are_read_by_name(tmp_path: Path) -> None:
    """The order is x, y, h, w, and each box was detected on its own frame."""
    path = tmp_path / "bbox.csv"
    path.write_text(",x,y,h,w\n0,-30,-19,240,120\n1,-31.0,-21.0,240.0,120.0\n")
    schedule = read_schedule_file(path)
    assert schedule.choose(meta(0)) == ActiveBox(Box(-30, -19, 120, 240), 0, 0.0, State.TRACKING, 0)
    assert schedule.choose(meta(1)) == ActiveBox(Box(-31, -21, 120, 240), 1, 0.0, State.TRACKING, 0)


def test_a_box_file_of_lightning_pose_is_read_to_its_end(litpose: Path) -> None:
    schedule = read_schedule_file(litpose / "detector_0/video_preds/m3v1mp4_bbox.csv")
    assert schedule.choose(meta(0)).box == Box(-30, -19, 240, 240)
    assert schedule.choose(meta(2329)).state is State.TRACKING
    with pytest.raises(ScheduleError, match="2330 rows"):
        schedule.choose(meta(2330))


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
    pytest.param(b"", id="nothing at all"),
]


@pytest.mark.parametrize("content", _BAD_FILES)
def test_a_file_that_is_not_a_box_file_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad_bbox.csv"
    path.write_bytes(content)
    with pytest.raises(ScheduleError, match=r"bad_bbox\.csv") as caught:
        read_schedule_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [pytest.param("nowhere.csv", id="missing"), pytest.param(".", id="a folder")])
def test_a_file_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScheduleError, match="cannot read the schedule"):
        read_schedule_file(tmp_path / name)
