"""What the page knows of a camera follows from its messages alone."""

from __future__ import annotations

import math

import msgspec
import pytest
from support.publisher import animals, end, hello, pose

from realtime_cropzoom.messaging.message import BoxField, PoseMessage
from realtime_cropzoom.view.camera_view import EDGES_MS, GRID_W, HISTORY_S, CameraView, LatencyWindow, pose_row
from realtime_cropzoom.view.protocol import SubjectRow

S = 1_000_000_000


def a_camera() -> CameraView:
    return CameraView("cam0", "tcp://here:1", hello())


def pose_at(seq: int, captured_ns: int, x: float = 1.0, y: float = 2.0) -> PoseMessage:
    message = pose(seq)
    times = msgspec.structs.replace(message.time, captured_ns=captured_ns, unix_offset_ns=5 * S)
    return msgspec.structs.replace(message, time=times, keypoints={"snout": (x, y, 0.9)})


def test_a_row_has_unix_time_and_frame_pixels() -> None:
    box = BoxField(10, 20, 64, 48, 3, 33.333)
    message = msgspec.structs.replace(pose_at(4, 2 * S), box=box)
    row = pose_row(message, 2.3456)
    expected = (4, 7000.0, "tracking", (10, 20, 64, 48), 33.33, [(1.0, 2.0, 0.9)], 2.346, True)
    assert msgspec.structs.astuple(row) == expected


def test_what_is_not_a_number_is_null_and_no_pose_is_an_empty_list() -> None:
    message = msgspec.structs.replace(pose(0), keypoints={"a": (math.nan, 1.0, 0.5), "b": (None, None, None)})
    row = pose_row(message, math.inf)
    assert (row.keypoints, row.latency_ms) == ([], None)
    half = msgspec.structs.replace(pose(0), keypoints={"a": (math.nan, 1.0, 0.5), "b": (1.0, 1.0, math.nan)})
    assert pose_row(half, 1.0).keypoints == [None, (1.0, 1.0, None)]


def test_every_pose_is_passed_on_once_and_the_history_is_thinned_and_bounded() -> None:
    camera = a_camera()
    for n in range(200 * 70):  # 70 s at 200 a second
        camera.take_frame(pose_at(n, n * S // 200), 1.0, n * S // 200)
    assert len(camera.new_rows()) == 200 * 70
    assert camera.new_rows() == []
    rows = camera.history_message().rows
    assert HISTORY_S * 28 <= len(rows) <= HISTORY_S * 31
    assert rows[-1].t_unix_ms - rows[0].t_unix_ms <= HISTORY_S * 1000


def test_very_many_keypoints_make_the_history_shorter() -> None:
    camera, points = a_camera(), {f"k{i}": (1.0, 2.0, 0.9) for i in range(20_000)}
    for n in range(40):
        camera.take_frame(msgspec.structs.replace(pose_at(n, n * S), keypoints=points), 1.0, n * S)
    assert [row.frame for row in camera.history_message().rows] == [*range(30, 40)]


def test_gaps_in_the_numbers_are_missed_messages() -> None:
    camera = a_camera()
    for n in (3, 4, 7, 8, 20):
        camera.take_frame(pose(n), 1.0, n)
    assert camera.missed == 2 + 11


def test_the_map_counts_tracked_poses_where_the_animal_is() -> None:
    camera = a_camera()  # frames of 160 × 96, so that a cell has 2.5 px
    camera.take_frame(pose_at(0, 0, x=5.1, y=7.6), 1.0, 0)
    lost = msgspec.structs.replace(pose_at(1, 1, x=5.1, y=7.6), state="lost")
    camera.take_frame(lost, 1.0, 0)
    camera.take_frame(pose_at(2, 2, x=-3.0, y=400.0), 1.0, 0)  # outside of the frame
    message = camera.map.message("cam0")
    assert (message.grid_w, message.grid_h, sum(message.counts)) == (GRID_W, 39, 1)
    assert message.counts[3 * GRID_W + 2] == 1


def test_the_histogram_holds_the_last_ten_seconds() -> None:
    window = LatencyWindow()
    for n in range(20):
        window.add(2.5 if n < 15 else 5000.0, n * S)
    message = window.message("cam0", 19 * S)
    assert sum(message.counts) == 11  # those of the seconds 9 to 19
    assert message.counts[EDGES_MS.index(2)] == 6
    assert message.counts[-1] == 5
    assert (message.p50, message.p99) == (2.5, 5000.0)


def test_a_histogram_without_values_has_no_percentiles() -> None:
    message = LatencyWindow().message("cam0", 0)
    assert (message.p50, message.p99, sum(message.counts)) == (None, None, 0)


def test_a_new_run_begins_anew() -> None:
    camera = a_camera()
    camera.take_frame(pose_at(0, 0), 1.0, 0)
    assert not camera.take_hello(hello(), 1)
    assert camera.take_hello(hello(run="second"), 2)
    assert camera.history_message().rows == []
    assert sum(camera.map.counts) == 0
    assert camera.camera_message().run == "second"


def test_the_end_of_a_run_is_the_state_of_its_stream() -> None:
    camera = a_camera()
    camera.take_end(end(), 5)
    assert (camera.stream, camera.link) == ("ended", "waiting")


@pytest.mark.parametrize("size", [(0, 0), (1, 100_000), (100_000, 1)])
def test_any_frame_has_a_map_of_bounded_size(size: tuple[int, int]) -> None:
    camera = CameraView("cam0", "e", msgspec.structs.replace(hello(), width=size[0], height=size[1]))
    message = camera.map.message("cam0")
    assert 1 <= message.grid_h <= 256
    assert len(message.counts) == message.grid_w * message.grid_h


def with_animals(count: int) -> CameraView:
    return CameraView("cam0", "tcp://here:1", msgspec.structs.replace(hello(), animals=count))


def subject_rows(camera: CameraView) -> list[SubjectRow]:
    rows = camera.new_rows()
    assert all(isinstance(row, SubjectRow) for row in rows)
    return [row for row in rows if isinstance(row, SubjectRow)]


def test_a_frame_of_several_animals_is_a_row_for_each() -> None:
    camera = with_animals(2)
    camera.take_frame(animals(4, uncertain=True), 2.0, 0)
    assert [(row.frame, row.subject, row.uncertain, row.meetings) for row in subject_rows(camera)] == [
        (4, 0, True, 1),
        (4, 1, True, 1),
    ]
    assert [view.uncertain for view in camera.views] == [True, True]
    camera.take_frame(animals(9), 2.0, 0)
    assert camera.missed == 4
    assert sum(camera.latencies.counts) == 2, "one latency for each frame"
    camera.take_frame(animals(10), 2.0, 0)
    lost = [msgspec.structs.replace(animal, state="lost") for animal in animals(11).animals[:1]]
    camera.take_frame(msgspec.structs.replace(animals(11), animals=[*lost, *animals(11).animals[1:]]), 2.0, 0)
    assert ([view.state for view in camera.views], camera.state) == (["lost", "tracking"], "tracking")


def test_animals_that_the_run_did_not_name_are_left_out() -> None:
    camera = with_animals(2)
    camera.take_frame(animals(0, count=5), 1.0, 0)
    assert [row.subject for row in subject_rows(camera)] == [0, 1]
    camera.take_frame(pose(1), 1.0, 0)
    assert camera.new_rows() == []
    absurd = with_animals(2**50)
    assert len(absurd.camera_message().subjects) == 64


def test_the_poses_of_regions_are_of_their_regions_and_each_counts_its_own_gaps() -> None:
    outline = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0)]
    regions = msgspec.structs.replace(hello(), regions={"left": outline, "right": outline})
    camera = CameraView("cam0", "tcp://here:1", regions)
    for n, region in ((0, "left"), (0, "right"), (1, "left"), (3, "right"), (4, "other")):
        camera.take_frame(msgspec.structs.replace(pose(n), region=region), 1.0, 0)
    assert [(row.frame, row.subject) for row in subject_rows(camera)] == [(0, 0), (0, 1), (1, 0), (3, 1)]
    assert camera.missed == 2
    assert [subject.outline for subject in camera.camera_message().subjects] == [outline, outline]


def test_other_regions_under_the_same_run_begin_anew() -> None:
    camera = with_animals(2)
    camera.take_frame(animals(0), 1.0, 0)
    assert camera.take_hello(msgspec.structs.replace(hello(), animals=3), 1)
    assert len(camera.views) == 3
    assert camera.history_message().rows == []
