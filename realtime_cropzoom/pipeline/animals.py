"""Animals: several animals in one arena, from the detector's instances to their tracks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError, advise
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.model import Model, Models, Outputs
from realtime_cropzoom.inference.tracks import Spotted, Track, Tracks
from realtime_cropzoom.types import Box, FrameMeta

_SAME = 0.15
"""Distance of two boxes below which they are of one animal (box sides). Animals side by side are about 0.2 apart, as
they are wide."""


class AnimalFinder:
    """Finds the animals of a run in the outputs of its detector. Use it from one thread, with the frames in order."""

    def __init__(self, detector: Model, animals: int) -> None:
        """Take the detector.

        Args:
            detector: The detector, which finds several animals.
            animals: Their number.

        Raises:
            ConfigError: if the number is out of range, or scipy is not installed.
        """
        self._detector = detector
        self._tracks = Tracks(animals)

    def __call__(self, meta: FrameMeta, outputs: Outputs, view: View, rule: BoxRule) -> tuple[Track, ...]:
        """Return the tracks of all animals in a frame, in order of their numbers."""
        spotted = []
        for keypoints, score in self._detector.decode_all(outputs, view):
            box = rule.box(keypoints)
            if box is not None:
                spotted.append(Spotted(box, score))
        return self._tracks.update(meta.pts_ns, distinct(spotted))


def distinct(spotted: Sequence[Spotted]) -> list[Spotted]:
    """Return detections without those that lie on a surer one: two animals are never in the same place."""
    kept: list[Spotted] = []
    for one in sorted(spotted, key=lambda spotted: -spotted.score):
        if not any(_are_same(one.box, other.box) for other in kept):
            kept.append(one)
    return kept


def _are_same(one: Box, other: Box) -> bool:
    across = (one.x + one.w / 2) - (other.x + other.w / 2)
    down = (one.y + one.h / 2) - (other.y + other.h / 2)
    return math.hypot(across, down) < _SAME * max(one.w, one.h, other.w, other.h)


def check_animals(settings: Settings, models: Models) -> None:
    """Check that settings and models of a run can follow several animals, if it has several.

    Args:
        settings: The settings of the run.
        models: The models.

    Raises:
        ConfigError: if a model finds one animal only, or sees several frames, or if scipy is not installed.
    """
    animals, detector = settings.animals, models.detector
    if animals == 1:
        return
    if settings.record_crops:
        raise ConfigError(
            f"animals is {animals}, and record_crops is set, which records the crops of one; record the frames instead"
        )
    if detector is None:
        given = models.pose.path
        hint = f". {given} is one: " + advise(
            f"--detector {given}, and a model that sees crops for --pose, such as shipped",
            "give it as the detector, and a pose model that sees crops",
        )
        raise ConfigError(
            f"animals is {animals}, but there is no detector; expected one that finds each of them"
            + hint * models.pose.finds_several
        )
    if not detector.finds_several:
        raise ConfigError(
            f"animals is {animals}, but the detector {detector.path} ({detector.title}) finds one animal; expected "
            "a centroid model of SLEAP or a YOLO-pose model. " + advise("Give one to --detector", "Give one")
        )
    if models.context_radius:
        raise ConfigError(f"animals is {animals}, but a context model sees five frames of one animal; give another")
    Tracks(animals)  # scipy may be missing
