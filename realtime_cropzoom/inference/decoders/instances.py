"""Instance: one of several animals that the outputs of a detector show. No I/O.

Decoders whose outputs have room for several animals give all of them: rows of YOLO-pose, confidence maps of a single
keypoint as SLEAP trains them for centroids, and peaks that a file of SLEAP has found itself. All others give the best
place of each keypoint in the whole picture, which is one animal.
"""

from __future__ import annotations

from typing import NamedTuple

from realtime_cropzoom.types import Keypoints

MAX_INSTANCES = 64
"""Maximum number of instances of a frame. The surest are kept."""


class Instance(NamedTuple):
    """One animal in the outputs of a detector."""

    keypoints: Keypoints
    """In the space of the decoder or of its caller."""
    score: float
    """How sure the detector is, on its own scale."""
