"""Contact sheets: the tiles, what is drawn in them, and their captions."""

from __future__ import annotations

import numpy as np
import pytest
from support.pictures import colours_in

from realtime_cropzoom.plots.contact_sheet import Tile, contact_sheet
from realtime_cropzoom.plots.overlay import palette
from realtime_cropzoom.types import Box, UInt8

GREY = (128, 128, 128)
RED = (200, 10, 10)


def grey(width: int = 320, height: int = 240) -> UInt8:
    return np.full((height, width, 3), GREY, np.uint8)


def at(sheet: UInt8, x: float, y: float) -> tuple[int, ...]:
    return tuple(int(c) for c in sheet[round(y), round(x)])


@pytest.mark.parametrize(
    ("count", "columns", "expected"), [(1, None, 1), (5, None, 3), (9, None, 3), (4, 2, 2), (2, 9, 2)]
)
def test_tiles_stand_in_rows(count: int, columns: int | None, expected: int) -> None:
    sheet = contact_sheet([Tile(grey())] * count, columns, tile_px=100)
    assert sheet.shape[1] == 4 + expected * 104
    assert sheet.shape[0] == 4 + -(-count // expected) * (75 + 4), "the height of a tile is that of its picture"


def test_a_sheet_without_tiles_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a tile"):
        contact_sheet([])


def test_keypoints_lie_where_they_are_in_a_picture_that_becomes_smaller() -> None:
    xy = np.array([[160.0, 120.0], [np.nan, np.nan], [40.0, 200.0]])
    sheet = contact_sheet([Tile(grey(), xy=xy)], tile_px=160)
    orange, blue, green = palette(3)
    assert at(sheet, 4 + 80, 4 + 60) == orange
    assert at(sheet, 4 + 20, 4 + 100) == green
    assert blue not in colours_in(sheet), "a keypoint without a place is not drawn"


def test_a_box_is_what_a_tile_shows_as_large_as_it_fits() -> None:
    image = grey()
    image[100:120, 200:220] = RED
    sheet = contact_sheet([Tile(image, xy=np.array([[210.0, 110.0]]), box=Box(200, 100, 20, 20))], tile_px=200)
    assert at(sheet, 6, 6) == RED
    assert at(sheet, 4 + 198, 4 + 198) == RED
    assert at(sheet, 4 + 105, 4 + 105) == palette(1)[0]


def test_a_box_may_extend_beyond_the_picture() -> None:
    for box in (Box(-50, -50, 100, 100), Box(290, 200, 100, 100), Box(1000, 1000, 50, 50), Box(-500, -500, 50, 50)):
        sheet = contact_sheet([Tile(grey(), box=box)], tile_px=100)
        assert sheet.shape == (108, 108, 3)
    half = contact_sheet([Tile(grey(), box=Box(-50.0, 0, 100, 100))], tile_px=100)
    assert at(half, 4 + 25, 54) == (28, 28, 28)
    assert at(half, 4 + 75, 54) == GREY


def test_lines_rings_and_boxes_are_drawn() -> None:
    plain = contact_sheet([Tile(grey())])
    ends = np.array([[100.0, 100.0], [200.0, 100.0]])
    for tile in (
        Tile(grey(), xy=ends, skeleton=[(0, 1)]),
        Tile(grey(), others=ends),
        Tile(grey(), marked=Box(50, 50, 100, 100)),
    ):
        assert (contact_sheet([tile]) != plain).any()
    between = contact_sheet([Tile(grey(), xy=ends, skeleton=[(0, 1)])], tile_px=320)
    assert min(at(between, 4 + 150, 4 + 100)) > 230
    white = Tile(np.full((240, 320, 3), 255, np.uint8), xy=ends, skeleton=[(0, 1)])
    assert contact_sheet([white], tile_px=320)[4 + 95 : 4 + 106, 4 + 150].min() < 90, "a white animal shows it, too"


@pytest.mark.parametrize("caption", ["short", "a" * 200, "zwei\nZeilen äöü", "鼠 1", "x\n" + "very long name " * 20])
def test_captions_stay_below_their_own_picture(caption: str) -> None:
    tiles = [Tile(grey()), Tile(grey(), caption), Tile(grey())]
    sheet = contact_sheet(tiles, columns=3, tile_px=160)
    written = np.argwhere((sheet > 200).all(axis=2))
    assert len(written), "it is written"
    assert written[:, 0].min() >= 4 + 120, "below the picture"
    assert written[:, 1].min() >= 168
    assert written[:, 1].max() < 168 + 160


def test_the_legend_names_the_keypoints() -> None:
    tiles = [Tile(grey())] * 3
    assert contact_sheet(tiles, names=["nose", "tail"]).shape[0] > contact_sheet(tiles).shape[0]


def test_pictures_of_several_sizes_share_a_sheet() -> None:
    sheet = contact_sheet([Tile(grey(320, 240)), Tile(grey(50, 400)), Tile(grey(2000, 10))], tile_px=120)
    assert sheet.shape[1] == 4 + 2 * 124
