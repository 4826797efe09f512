"""One frame with what a model has found."""

from __future__ import annotations

import numpy as np

from realtime_cropzoom.plots.model_picture import model_picture
from realtime_cropzoom.plots.overlay import palette
from realtime_cropzoom.types import Box, Keypoints

BLACK = np.zeros((96, 160, 3), np.uint8)


def found(*xy: tuple[float, float], likelihood: float = 1.0) -> Keypoints:
    return Keypoints(np.array(xy, np.float32), np.full(len(xy), likelihood, np.float32))


def test_keypoints_box_and_names_are_drawn_in_a_large_picture() -> None:
    picture = model_picture(BLACK, found((80, 48), (np.nan, np.nan)), ("a", "b"), ((0, 1),), Box(40, 8, 80, 80))
    scale = 8
    assert picture.shape[1] == 160 * scale
    assert picture.shape[0] > 96 * scale
    assert tuple(picture[48 * scale + 4, 80 * scale + 4]) == palette(2)[0]
    assert picture[48 * scale, 40 * scale].sum() > 200  # the left side of the box
    assert tuple(picture[20 * scale, 80 * scale]) == (0, 0, 0)


def test_an_unsure_keypoint_is_hollow_and_a_skeleton_joins_what_was_found() -> None:
    picture = model_picture(BLACK, found((40, 48), (120, 48), likelihood=0.2), ("a", "b"), ((0, 1),), None)
    assert tuple(picture[48 * 8 + 4, 80 * 8]) == (255, 255, 255)
    assert tuple(picture[48 * 8 + 4, 40 * 8 - 1]) != palette(2)[0]
