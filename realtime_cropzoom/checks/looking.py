"""Looking: what the models of a run see in single frames, each taken by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.inference.boxes import BoxRule, found_box, whole_image
from realtime_cropzoom.inference.model import Models
from realtime_cropzoom.inference.presence import Doubt, JudgeLimits, PoseJudge
from realtime_cropzoom.types import Box, FrameMeta, Keypoints, UInt8


@dataclass(frozen=True, slots=True)
class Look:
    """What the models see in a frame (frame pixels)."""

    seen: Keypoints | None
    """Keypoints of the detector; None without a detector."""
    box: Box | None
    """The box; None if the detector sees no animal."""
    found: Keypoints | None
    """Keypoints of the pose model; None without a box, or if they are not finite."""
    doubt: Doubt | None
    """Why the pose is not plausible; None if it is, or without a pose."""

    @property
    def is_found(self) -> bool:
        """Whether there is a plausible pose."""
        return self.found is not None and self.doubt is None


class Looker:
    """Shows frames to the models as a run does. Use it from one thread."""

    def __init__(self, settings: Settings, models: Models, min_likelihood: float = 0.0) -> None:
        """Prepare the boxes.

        Args:
            settings: The settings of the run.
            models: Its models.
            min_likelihood: Minimum likelihood of the keypoints of models that do not say what their output is like
                without an animal.

        Raises:
            ConfigError: if the settings do not fit the models.
        """
        self.models, self._settings = models, settings
        detector = models.detector
        self.rule: BoxRule | None = (
            None if detector is None else settings.box_rule(detector.keypoint_names, models.pose.manifest)
        )
        """Makes boxes from detections; None without a detector."""
        presence = models.pose.presence
        if presence.min_sharpness <= 0 and models.pose.manifest.has_likelihood:
            presence = replace(presence, min_likelihood=max(min_likelihood, presence.min_likelihood))
        limits = JudgeLimits(presence, math.inf, settings.shape_tolerance)
        self._judge, self._looks = PoseJudge(limits), 0

    def make_ready(self, frame: tuple[int, int]) -> None:
        """Make networks that take any size ready for frames of (width, height). Raises ModelError."""
        side = None if self.rule is None else self.rule.crop_size
        if self.models.detector is not None:
            self.models.detector.make_ready(frame)
        self.models.pose.make_ready(frame if side is None else (side, side))

    def look(self, image: UInt8, box_factor: float = 1.0) -> Look:
        """Show a frame to the models.

        Args:
            image: The frame, (H, W, 3) RGB.
            box_factor: Factor of the side of the box.
        """
        seen, box = self._find_box(image)
        if box is None:
            return Look(seen, None, None, None)
        box = box if box_factor == 1 or self.rule is None else _scaled(box, box_factor)
        found = self.models.pose.predict_still(image, box)
        if found.spoilt:
            return Look(seen, box, None, None)
        self._looks += 1  # a segment of its own: the frames between two looks are unknown, so nothing jumps
        doubt = self._judge.doubt(FrameMeta(self._looks, 0, None, 0, segment=self._looks), box, found)
        own = found_box(found) if self.rule is None else None
        return Look(seen, own or box, found, doubt)

    def _find_box(self, image: UInt8) -> tuple[Keypoints | None, Box | None]:
        detector = self.models.detector
        if detector is None or self.rule is None:
            return None, whole_image(image)
        seen = detector.predict_still(image, whole_image(image))
        return seen, self.rule.box(seen) if detector.presence.is_sharp(seen) else None


def _scaled(box: Box, factor: float) -> Box:
    side = max(2, round(box.w * factor / 2) * 2)
    x, y = box.x + box.w / 2 - side / 2, box.y + box.h / 2 - side / 2
    return Box(round(x), round(y), side, side)
