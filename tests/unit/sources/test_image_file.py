"""Image files: training, prediction and a run read the same pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.offline.images import ImageFolder as LabelledImages
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.sources.image_folder import ImageFolder as PlayedImages
from realtime_cropzoom.train.dataset import read_frames

QUARTER_TURN = 6
"""Value of EXIF's orientation tag for an image that is to be rotated clockwise."""
SIZE = (40, 24)


def write_turned(path: Path) -> Path:
    """Write a JPEG with red on its left and an orientation tag for a quarter turn."""
    width, height = SIZE
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 2] = 250
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    orientation = b"\x01\x12\x00\x03\x00\x00\x00\x01" + bytes((0, QUARTER_TURN, 0, 0))
    exif = b"Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01" + orientation + bytes(4)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + jpeg[2:])
    return path


def test_the_orientation_tag_of_an_image_is_ignored_everywhere(tmp_path: Path) -> None:
    path = write_turned(tmp_path / "images" / "img1.jpg")
    turned = cv2.imread(str(path))
    assert turned is not None
    assert turned.shape == (*SIZE, 3), "OpenCV does not follow this orientation"
    labels = tmp_path / "labels.csv"
    labels.write_text("scorer,a,a\nbodyparts,snout,snout\ncoords,x,y\nimages/img1.jpg,1,2\n")

    (trained_on,) = read_frames(tmp_path, labels, ["snout"])
    images = LabelledImages.of_labels(labels, ["images/img1.jpg"], None)
    (played,) = PlayedImages(path.parent, fps=30).frames()
    run_on = np.zeros((played.height, played.width, 3), np.uint8)
    played.copy_to(run_on)

    stored = read_image(path)
    assert stored.shape == (SIZE[1], SIZE[0], 3)
    assert stored[:, 5].mean(axis=0).argmax() == 0, "red is on the left, in RGB"
    for image in (trained_on.image, images.read(images.paths[0]), run_on):
        np.testing.assert_array_equal(image, stored)


@pytest.mark.parametrize("content", [None, b"", b"no image"], ids=["missing", "empty", "something else"])
def test_a_malformed_image_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ä.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read the image .*ä\.png"):
        read_image(path)
