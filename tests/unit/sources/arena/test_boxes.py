"""Boxes: each is an arena of its own at its place, and the truth is in pixels of the whole frame."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.sources.arena.boxes import ArenaBoxes, open_arena
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings, parse_arena
from realtime_cropzoom.sources.factory import open_source


def test_each_box_is_an_arena_with_a_mouse_of_its_own() -> None:
    boxes = ArenaBoxes(ArenaSettings(width=640, height=240, boxes=4, empty=1, seconds=1))
    image, truth = boxes.render(7), boxes.truth(7)
    assert truth.shape == (4, 4, 2)
    for i, (x, y, w, h) in enumerate(boxes.rectangles().values()):
        one = Arena(ArenaSettings(width=w, height=h, seed=1000 * i, animal=int(i < 3), seconds=1))
        np.testing.assert_array_equal(image[y : y + h, x : x + w], one.render(7))
        np.testing.assert_array_equal(truth[i], one.truth(7) + np.array([x, y]))
    assert np.isnan(truth[3]).all()
    assert len({tuple(np.round(points[0] % 160, 1)) for points in truth[:3]}) == 3, "they walk on their own"


@pytest.mark.parametrize(("spec", "grid"), [("boxes=8,size=1280x480", (4, 2)), ("boxes=2,size=640x240", (2, 1))])
def test_boxes_fill_the_frame_with_boxes_of_a_usual_shape(spec: str, grid: tuple[int, int]) -> None:
    boxes = open_arena(parse_arena(f"synthetic:arena,{spec}"))
    assert isinstance(boxes, ArenaBoxes)
    corners = np.array(list(boxes.rectangles().values()))
    assert (len(set(corners[:, 0])), len(set(corners[:, 1]))) == grid
    assert (corners[:, 2:] == (320, 240)).all()


def test_it_is_a_source_and_refuses_more_empty_boxes_than_there_are() -> None:
    source = open_source("synthetic:arena,boxes=2,size=640x240,seconds=0.2")
    frames = list(source.frames())
    assert len(frames) == source.info.frame_count == 6
    with pytest.raises(ConfigError, match="empty: got 3, expected at most 2"):
        open_source("synthetic:arena,boxes=2,empty=3")
    with pytest.raises(ConfigError, match="boxes: got 2"):
        Arena(ArenaSettings(boxes=2))
