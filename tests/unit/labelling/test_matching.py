"""Which picture an entry is about, whatever folder and digits the other program uses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.labelling.formats.label_file import Entry
from realtime_cropzoom.labelling.frame_table import FrameRow, image_path
from realtime_cropzoom.labelling.matching import FrameIndex, flat_name, key_of

ROWS = [
    FrameRow(image_path(folder, frame), f"/videos/{folder}.mp4", frame, 1)
    for folder, frame in [("mouse 1", 12), ("mouse 1", 340), ("mouse-2", 12), ("rat", 7)]
]
INDEX = FrameIndex(ROWS)


@pytest.mark.parametrize(
    ("image", "frame", "row"),
    [
        ("frames/mouse 1/img00000012.png", None, 0),
        ("labeled-data/mouse 1/img0012.png", None, 0),
        ("labeled-data\\mouse-2\\img12.png", None, 2),
        ("C:\\data\\mouse-2\\frame_0012.jpg", None, 2),
        ("mouse 1__img00000340.png", None, 1),
        ("/data/upload/3/mouse_1__img00000340.png", None, 1),  # as a web server changes the name
        ("/elsewhere/mouse 1.mp4", 340, 1),
        ("rat.avi", 7, 3),
        ("img00000007.png", None, 3),  # only one has this number
        ("img00000012.png", None, None),  # two have it
        ("labeled-data/mouse 1/img0013.png", None, None),
        ("rat.avi", 8, None),
        ("labeled-data/cat/img0012.png", None, None),
    ],
)
def test_the_picture_that_is_meant(image: str, frame: int | None, row: int | None) -> None:
    found = INDEX.find(Entry(image, {}, frame=frame))
    assert found == (None if row is None else ROWS[row])


def test_where_a_picture_comes_from_counts_more_than_its_name() -> None:
    row = FrameRow(image_path("rat-2", 7), "/other/rat", 7, 1)
    index = FrameIndex([*ROWS, row])
    assert index.find(Entry("rat/img7.png", {}), "/other/rat") == row
    assert index.find(Entry("rat/img7.png", {}), "/third/rat") == ROWS[3]


def test_names_that_become_alike_are_not_guessed() -> None:
    rows = [FrameRow(image_path(folder, 1), folder, 1, 1) for folder in ("a-1", "a 1")]
    assert FrameIndex(rows).find(Entry("a_1/img1.png", {})) is None
    assert FrameIndex(rows).find(Entry("a 1/img1.png", {})) == rows[1]


@pytest.mark.parametrize(
    ("image", "key"),
    [
        ("m/img0012.png", ("m", 12)),
        ("m/top_3.png", ("m_top", 3)),
        ("m/resting.png", ("m_resting", 0)),
        ("7.png", ("", 7)),
    ],
)
def test_recording_and_frame_of_a_picture(image: str, key: tuple[str, int]) -> None:
    assert key_of(Entry(image, {})) == key


names = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1)


@given(names, st.integers(0, 10**8 - 1))
def test_a_flat_name_is_found_again(folder: str, frame: int) -> None:
    row = FrameRow(f"frames/{folder}/img{frame:08d}.png", "", frame, 1)
    assert FrameIndex([row]).find(Entry(flat_name(row), {})) == row
