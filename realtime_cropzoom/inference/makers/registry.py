"""All makers, in the order in which they are asked whether a file is theirs."""

from __future__ import annotations

from realtime_cropzoom.inference.makers import (
    by_hand,
    cropzoom,
    deeplabcut,
    lightning_pose,
    rtmpose,
    sleap,
    ultralytics,
)
from realtime_cropzoom.inference.makers.maker import Maker

MAKERS: tuple[Maker, ...] = (
    deeplabcut.MAKER,
    lightning_pose.MAKER,
    cropzoom.MAKER,
    sleap.MAKER,
    ultralytics.MAKER,
    rtmpose.MAKER,
    by_hand.MAKER,
)
"""DeepLabCut comes early: its projects have a config.yaml that is not Lightning Pose's. RTMPose comes late: its files
say nothing of themselves, and are known by their outputs alone."""
