"""Looking: what the models of a run see in single frames, each taken by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.inference.boxes import BoxRule, found_box, whole_image
from realtime_cropzoom.inference.model import Models
from realtime_cropzoom.inference.presence import Doubt, JudgeLimits, PoseJudge
from realtime_cropzoom.pipeline.animals import AnimalFinder
from realtime_cropzoom.pipeline.regions import InOneLook, Region
from realtime_cropzoom.types import Box, FrameMeta, Keypoints, Picture, UInt8


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

    def __init__(
        self, settings: Settings, models: Models, min_likelihood: float = 0.0, regions: Sequence[Region] = ()
    ) -> None:
        """Prepare the boxes.

        Args:
            settings: The settings of the run.
            models: Its models.
            min_likelihood: Minimum likelihood of the keypoints of models that do not say what their output is like
                without an animal.
            regions: The regions of the run, with one animal each; empty without any.

        Raises:
            ConfigError: if the settings do not fit the models.
        """
        self.models, self._settings, self._regions = models, settings, regions
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
        seen, box = self._find_box(image, whole_image(image))
        return self._show(image, seen, box if box is None or self.rule is None else _scaled(box, box_factor))

    def look_at_all(self, image: UInt8) -> list[Look]:
        """Show a frame to the models, and return what they see of each animal: of the only one, of each of several in
        one arena, or of that of each region.

        Args:
            image: The frame, (H, W, 3) RGB.
        """
        if not self._regions and self._settings.animals == 1:
            return [self.look(image)]
        detector, rule = self.models.detector, self.rule
        if detector is None or rule is None or not detector.finds_several:
            return [self._look_at_region(image, region) for region in self._regions]
        model_input = detector.new_input()
        view = detector.prepare(image, whole_image(image), "pad", model_input)
        outputs, meta = detector.infer(model_input), FrameMeta(0, 0, None, 0)
        if self._regions:
            each = InOneLook(detector, self._regions)(meta, outputs, view, rule)
            return [
                self._show(region.shown(image, whole_image(image)), seen, None if seen is None else rule.box(seen))
                for region, seen in zip(self._regions, each, strict=True)
            ]
        tracks = AnimalFinder(detector, self._settings.animals)(meta, outputs, view, rule)
        return [self._show(image, None, track.box) for track in tracks]

    def _look_at_region(self, image: UInt8, region: Region) -> Look:
        shown = region.shown(image, whole_image(image))
        return self._show(shown, *self._find_box(shown, region.bounds))

    def _show(self, image: Picture, seen: Keypoints | None, box: Box | None) -> Look:
        """Show the crop of a box to the pose model."""
        if box is None:
            return Look(seen, None, None, None)
        found = self.models.pose.predict_still(image, box)
        if found.spoilt:
            return Look(seen, box, None, None)
        self._looks += 1  # a segment of its own: the frames between two looks are unknown, so nothing jumps
        doubt = self._judge.doubt(FrameMeta(self._looks, 0, None, 0, segment=self._looks), box, found)
        own = found_box(found) if self.rule is None else None
        return Look(seen, own or box, found, doubt)

    def _find_box(self, image: Picture, part: Box) -> tuple[Keypoints | None, Box | None]:
        """Show a part of a frame to the detector."""
        detector = self.models.detector
        if detector is None or self.rule is None:
            return None, part
        seen = detector.predict_still(image, part)
        return seen, self.rule.box(seen) if detector.presence.is_sharp(seen) else None


def _scaled(box: Box, factor: float) -> Box:
    if factor == 1:
        return box
    side = max(2, round(box.w * factor / 2) * 2)
    x, y = box.x + box.w / 2 - side / 2, box.y + box.h / 2 - side / 2
    return Box(round(x), round(y), side, side)
