"""Names of keypoints for files that have none: those that the user gives, or those of the COCO data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from realtime_cropzoom.errors import ModelError, advise
from realtime_cropzoom.inference.manifest import check_names

COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""The 17 keypoints of a person, in the order of the COCO data set."""


def how_to_name(path: Path) -> str:
    """Return the sentence that says how a file gets names, for commands that have no flag for it."""
    return f"Run: cropzoom models import {path} --keypoints a,b,… --out named.onnx"


def choose_names(path: Path, count: int, given: Sequence[str], own: Sequence[str] = ()) -> tuple[tuple[str, ...], str]:
    """Choose the names of the keypoints.

    Args:
        path: The file.
        count: Number of its keypoints.
        given: Names that the user gives; empty if there are none. They come first.
        own: Names that the file has; empty if there are none.

    Returns:
        The names, and a sentence that says what was assumed; empty if nothing was.

    Raises:
        ModelError: if there are no names, another number of names, or names that cannot be used.
    """
    if given and len(given) != count:
        raise ModelError(f"{path} has {count} keypoints, but {len(given)} names were given")
    names = tuple(given or own)
    assumed = ""
    if not names and count == len(COCO):
        names, assumed = COCO, f"the {count} keypoints are those of a person, in the order of COCO"
    if not names:
        raise ModelError(
            f"{path} has {count} keypoints without names. "
            + advise("Give them in order with --keypoints a,b,…", how_to_name(path))
        )
    check_names(names, "the given names" if given else path)
    return names, assumed
