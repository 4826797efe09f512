"""A detector's crops as training data: what ``crop`` leaves in the detector's directory.

``cropped_images/`` holds the images under the names they have in the label file,
``image_preds/NAME/cropped_NAME`` the labels in the crops' own pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.sessions.dlc_csv import read_labels
from realtime_cropzoom.types import UInt8

CROPPED_IMAGES = "cropped_images"
"""A model whose ``data_dir`` is so named is a pose model."""


def point_at_crops(tree: dict[str, Any], labels: Path, detector_model: Path) -> None:
    """Make the configuration ``tree`` train on the crops of ``labels`` in a detector's directory.

    The paths are absolute. Raises DataError where the crops are not there. Source: Lightning
    Pose, ``cli/commands/train.py``.
    """
    if not detector_model.is_dir():
        raise DataError(f"no detector model directory at {detector_model}, of whose crops a pose model could learn")
    directory = detector_model.absolute()
    images, videos = directory / CROPPED_IMAGES, directory / "cropped_videos"
    csv_file = directory / "image_preds" / labels.name / f"cropped_{labels.name}"
    needed = [csv_file]
    if csv_file.is_file():
        needed += [images / name for name in read_labels(csv_file).images]
    missing = next((path for path in needed if not path.is_file()), None)
    if missing is not None:
        raise DataError(f"there is no {missing}; run: cropzoom crop {detector_model} {labels}")
    tree["data"].update(data_dir=str(images), video_dir=str(videos), csv_file=str(csv_file))
    evaluation = tree.get("eval")
    tree["eval"] = {**(evaluation if isinstance(evaluation, dict) else {}), "test_videos_directory": str(videos)}


def common_side(images: Sequence[UInt8]) -> int | None:
    """Return the side of the crops where all are squares of one size, else None."""
    sizes = {image.shape[:2] for image in images}
    if len(sizes) != 1:
        return None
    height, width = sizes.pop()
    return height if height == width else None
