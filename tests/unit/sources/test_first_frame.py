"""First frame: zones and calibrations are drawn on the frame that the run tracks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.sources.first_frame import read_first_frame


def tracked(source: str) -> np.ndarray:
    """Return the first frame of a source as a run sees it."""
    opened = open_source(source)
    try:
        frame = np.empty((opened.info.height, opened.info.width, 3), np.uint8)
        next(iter(opened.frames())).copy_to(frame)
        return frame
    finally:
        opened.close()


def test_a_photo_with_an_orientation_tag_is_not_turned(tmp_path: Path) -> None:
    """A run ignores the tag, so that zones drawn on a rotated photo would be at other places in the tracked frames."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees to look at it"
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    turned = cv2.imread(str(tmp_path / "photo.png"), cv2.IMREAD_COLOR)
    assert turned is not None
    assert turned.shape == (60, 40, 3), "OpenCV rotates it"
    frame = read_first_frame(str(tmp_path / "photo.png"))
    np.testing.assert_array_equal(frame, pixels)
    np.testing.assert_array_equal(frame, tracked(str(tmp_path)))


def test_a_frame_of_the_arena_is_found_by_time() -> None:
    source = "synthetic:arena,size=160x120,fps=30,seconds=2,seed=3"
    assert (read_first_frame(source) != read_first_frame(source, 1.0)).any()


@pytest.mark.parametrize("name", ["missing.png", "missing.mp4", "folder"])
def test_a_source_without_a_frame_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CropzoomError) as refused:
        read_first_frame(str(tmp_path / name))
    assert "\n" not in str(refused.value)
