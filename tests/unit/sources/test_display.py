"""Display orientation: quarter turns and mirroring by a display matrix."""

from __future__ import annotations

import gc

import av
import numpy as np
import pytest

from realtime_cropzoom.pictures.turn import AS_IT_IS, Turn
from realtime_cropzoom.sources.display import read_turn, turn_from_matrix

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        pytest.param((1, 0, 0, 1), PIXELS, id="none"),
        pytest.param((0, 1, -1, 0), np.rot90(PIXELS, -1), id="a quarter turn clockwise"),
        pytest.param((-1, 0, 0, -1), np.rot90(PIXELS, 2), id="half a turn"),
        pytest.param((0, -1, 1, 0), np.rot90(PIXELS, 1), id="a quarter turn counterclockwise"),
        pytest.param((-1, 0, 0, 1), PIXELS[:, ::-1], id="mirrored left to right"),
        pytest.param((2, 0, 0, -3), PIXELS[::-1], id="mirrored top to bottom, and scaled"),
        pytest.param((0, 1, 1, 0), PIXELS.swapaxes(0, 1), id="transposed"),
    ],
)
def test_pixels_are_turned_as_the_matrix_says(matrix: tuple[float, ...], turned: np.ndarray) -> None:
    turn = turn_from_matrix(*matrix)
    np.testing.assert_array_equal(turn.apply(PIXELS), turned)
    assert turn.size(3, 2) == (turned.shape[1], turned.shape[0])
    assert turn.left_out == ""


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 1, 1)])
def test_a_singular_matrix_is_ignored(matrix: tuple[float, ...]) -> None:
    assert turn_from_matrix(*matrix) == AS_IT_IS
    assert AS_IT_IS.is_none


def test_an_odd_angle_becomes_the_nearest_quarter_turn() -> None:
    cos, sin = float(np.cos(np.radians(80))), float(np.sin(np.radians(80)))
    assert turn_from_matrix(cos, sin, -sin, cos) == Turn(True, True, False, "a turn or shear of 10 degrees")


def test_reading_the_turn_of_a_frame_does_not_keep_its_pixels() -> None:
    gc.collect()
    before = frames_in_memory()
    gc.disable()  # what only the collector frees, stays
    try:
        assert read_turn(av.VideoFrame(16, 16, "yuv420p")) == AS_IT_IS
        assert frames_in_memory() == before
    finally:
        gc.enable()


def frames_in_memory() -> int:
    return sum(isinstance(found, av.VideoFrame) for found in gc.get_objects())
