"""Box files, ours, Lightning Pose's, or whoever else's: read, or refused with the row that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.films import Footage
from support.offline_fixtures import first_packets, frames_of, write_boxes

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.inference.schedule import NO_BOX
from realtime_cropzoom.offline.bbox_csv import BboxRow, read_boxes
from realtime_cropzoom.sessions.pose_rows import box_cells
from realtime_cropzoom.types import ActiveBox, Box, BoxOrigin, State


def test_a_row_is_a_box_in_the_order_of_lightning_pose(tmp_path: Path) -> None:
    boxes = read_boxes(write_boxes(tmp_path / "bbox.csv", [(10, 20, 30, 40), (-5, -6, 7, 8)]))
    assert len(boxes) == 2
    assert [boxes[0], boxes[1]] == [Box(x=10, y=20, w=40, h=30), Box(x=-5, y=-6, w=8, h=7)]


def test_columns_may_come_in_any_order_and_others_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "sam.csv"
    path.write_text("frame,score,w,h,y,x\n0,0.9,40,30,20,10\n")
    assert read_boxes(path)[0] == Box(10, 20, 40, 30)


def test_fractions_of_pixels_are_cut_off(tmp_path: Path) -> None:
    assert read_boxes(write_boxes(tmp_path / "b.csv", [(10.9, -5.9, 30.9, 40.9)]))[0] == Box(10, -5, 40, 30)


def test_boxes_of_a_run_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "clip_bbox.csv"
    path.write_text(",x,y,h,w,box_frame,box_age_ms,state\n0,1,2,30,40,0,0.0,tracking\n")
    assert read_boxes(path)[0] == Box(1, 2, 40, 30)


def test_names_of_images_stay_as_they_are(tmp_path: Path) -> None:
    boxes = read_boxes(write_boxes(tmp_path / "bbox.csv", [(1, 2, 3, 4)] * 2, ["007", "img one"]))
    assert boxes.index == ("007", "img one")


def test_images_get_their_box_by_name(tmp_path: Path) -> None:
    boxes = read_boxes(write_boxes(tmp_path / "bbox.csv", [(1, 1, 10, 10), (2, 2, 20, 20)], ["a.png", "b.png"]))
    assert boxes.of_images(["b.png", "a.png"]) == [Box(2, 2, 20, 20), Box(1, 1, 10, 10)]
    with pytest.raises(DataError, match=r"has no box for c.png \(2 of 3 are missing\)"):
        boxes.of_images(["a.png", "c.png", "d.png"])


@pytest.mark.parametrize(
    ("sides", "size"),
    [
        pytest.param([(30, 40)], (40, 30), id="even"),
        pytest.param([(30, 40), (50, 60), (1000, 2)], (40, 50), id="the median of each"),
        pytest.param([(31, 33)], (32, 32), id="odd: to the next multiple of four, as round does with halves"),
        pytest.param([(1, 1)], (2, 2), id="never nothing"),
    ],
)
def test_a_cropped_video_is_as_large_as_the_median_box(
    tmp_path: Path, sides: list[tuple[int, int]], size: tuple[int, int]
) -> None:
    boxes = read_boxes(write_boxes(tmp_path / "bbox.csv", [(0, 0, h, w) for h, w in sides]))
    assert boxes.cropped_size() == size


@pytest.mark.parametrize(
    ("row", "words"),
    [
        pytest.param(("", "", "", ""), "has no box in row 1 .*x nan, y nan", id="empty cells"),
        pytest.param((1, 2, "nan", 4), "has no box in row 1 .*h nan", id="not a number"),
        pytest.param((1, 2, "inf", 4), "a cell that is not finite.*inf", id="endless"),
        pytest.param((1, 2, -30, 40), "a box of 40x-30 pixels in row 1", id="negative"),
        pytest.param((1, 2, 30, 0), "a box of 0x30 pixels in row 1", id="zero"),
        pytest.param((1, 2, 30, 0.5), "a box of 0.5x30 pixels in row 1", id="less than a pixel"),
        pytest.param((1, 2, 30, 10**7), "a box of 1e.07x30 pixels in row 1", id="larger than any frame"),
        pytest.param((1, 2, "wide", 3), "not a number.*wide", id="a word"),
    ],
)
def test_a_row_without_a_box_is_named(tmp_path: Path, row: tuple[object, ...], words: str) -> None:
    path = write_boxes(tmp_path / "bbox.csv", [(1, 2, 30, 40), row, (1, 2, 30, 40)])
    with pytest.raises(DataError, match=words) as refused:
        read_boxes(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column x, y, h, w; expected a box file"),
        (",x,y,h,w\n", "has no boxes, only its header"),
        (",x,y,width,height\n0,1,2,3,4\n", "no column h, w; expected a box file with x, y, h, w"),
        (",x,y,h,w\n0,1,2,3,4\n1,1,2,3,4,5,6\n", "line 3: got 7 cells, expected 5"),
    ],
)
def test_a_file_that_is_not_a_box_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bbox.csv").write_text(text)
    with pytest.raises(DataError, match=words) as refused:
        read_boxes(tmp_path / "bbox.csv")
    assert "\n" not in str(refused.value)


def test_no_box_file_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.csv").write_bytes(bytes(range(256)))
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "picture.csv"):
        with pytest.raises(DataError, match="cannot read the box file"):
            read_boxes(path)


@pytest.mark.parametrize("rows", [19, 21])
def test_there_is_one_row_a_frame(tmp_path: Path, rows: int, footage: Footage) -> None:
    boxes = read_boxes(write_boxes(tmp_path / "bbox.csv", [(1, 2, 30, 40)] * rows))
    video = footage.write(tmp_path / "clip.mp4", 20)
    with pytest.raises(DataError, match=f"has {rows} rows, but .*clip.mp4 has 20 frames; expected one row per frame"):
        boxes.check_promised(20, video)
    with pytest.raises(DataError, match=f"has {rows} rows, but .* has 20 frames"):
        boxes.check_length(20, video)


def test_frames_are_counted_if_the_header_does_not_fit_the_boxes(tmp_path: Path, footage: Footage) -> None:
    """A film cut between two key frames: what comes before the first of them cannot be decoded, but is counted."""
    whole = footage.write(tmp_path / "whole.mp4", 40, codec="libx264", options={"g": "10", "bf": "0"})
    cut = first_packets(whole, tmp_path / "cut.mp4", 40, skip=5)
    there = len(frames_of(cut))
    assert there < 35
    boxes = read_boxes(write_boxes(tmp_path / "bbox.csv", [(1, 2, 30, 40)] * there))
    boxes.check_promised(35, cut)
    with pytest.raises(DataError, match=f"has {there} frames"):
        read_boxes(write_boxes(tmp_path / "more.csv", [(1, 2, 30, 40)] * (there + 1))).check_promised(35, cut)


def test_boxes_of_an_hour_are_all_there(tmp_path: Path) -> None:
    boxes = read_boxes(write_boxes(tmp_path / "bbox.csv", [(i, -i, 30, 40) for i in range(100_000)]))
    assert boxes.xyhw.dtype == np.int64
    assert boxes[99_999] == Box(99_999, -99_999, 40, 30)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param(
            ActiveBox(Box(-3, 2, 40, 30), 5, 33.25, State.COASTING, 0),
            BboxRow(7, Box(-3, 2, 40, 30), 5, State.COASTING, BoxOrigin.DETECTION),
            id="box",
        ),
        pytest.param(
            ActiveBox(Box(-3.25, 2, 40, 30), 5, 33.25, State.TRACKING, 0, BoxOrigin.POSE),
            BboxRow(7, Box(-3.25, 2, 40, 30), 5, State.TRACKING, BoxOrigin.POSE),
            id="around a pose, unrounded",
        ),
        pytest.param(NO_BOX, BboxRow(7, None, None, State.SEARCHING, BoxOrigin.DETECTION), id="no animal found yet"),
        pytest.param(None, BboxRow(7, None, None, None, BoxOrigin.DETECTION), id="skipped by the run"),
    ],
)
def test_a_row_of_a_run_is_read_as_it_was_written(written: ActiveBox | None, expected: BboxRow) -> None:
    assert BboxRow.parse(f"7{box_cells(written)}\n") == expected


@pytest.mark.parametrize("line", ["7,1,2,30", "7,1,2,30,40,5,0.0,running,pose", "seven,1,2,30,40,5,0.0,tracking,pose"])
def test_a_row_of_a_run_that_is_not_complete_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        BboxRow.parse(line)
