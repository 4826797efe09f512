"""Predicts labelled images one by one as a live run does its frames: the detector's box, then the pose in it.

The settings are the defaults of ``cropzoom run``. Each image stands alone, so its box comes from itself; live, it comes
from the last detection, a frame or two before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realtime_cropzoom.config.input_groups import BoxSettings
from realtime_cropzoom.errors import DataError, ModelError, listed
from realtime_cropzoom.evaluation.results import Results
from realtime_cropzoom.evaluation.truth import Truth
from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.presence import JudgeLimits, PoseJudge
from realtime_cropzoom.labelling.checks import listing, outside
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import Box, Float64, FrameMeta, Keypoints, UInt8


@dataclass(frozen=True)
class Still:
    """What the models found in one image (frame pixels)."""

    found: Keypoints | None
    """The pose; None without a box."""
    box: Box | None
    """The box that the pose model saw; None if the detector found nothing."""
    tracking: bool
    """Whether a live run would trust the pose."""
    detected: Keypoints | None
    """The keypoints of the detector; None without one."""
    light: float
    """Mean gray of the image, 0 to 255."""


class StillTracker:
    """A detector and a pose model, with the settings of a live run."""

    def __init__(self, detector: Path | None, pose: Path, crop_size: int | None = None) -> None:
        """Load the models.

        Args:
            detector: The detector; None for a pose model that sees whole frames.
            pose: The pose model.
            crop_size: Side of the box (frame pixels); None for that of the training of the pose model.

        Raises:
            ModelError: if a model cannot be used.
        """
        self.pose = Model(pose, "pose")
        self.detector = None if detector is None else Model(detector, "detector")
        names = self.pose.keypoint_names if self.detector is None else self.detector.keypoint_names
        self._rule = BoxSettings(crop_size=crop_size).box_rule(names, self.pose.manifest)
        self._judge = PoseJudge(JudgeLimits(self.pose.presence, math.inf))
        self._count = 0

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the model files, by role."""
        models = {"detector": self.detector, "pose": self.pose}
        return {role: model.sha256 for role, model in models.items() if model is not None}

    def look(self, image: UInt8) -> Still:
        """Return what the models find in an (H, W, 3) image."""
        whole, detected = whole_image(image), None
        box: Box | None = whole
        if self.detector is not None:
            detected = self.detector.predict_still(image, whole)
            box = self._rule.box(detected) if self.detector.presence.is_sharp(detected) else None
        light = float(image.mean())
        if box is None:
            return Still(None, None, False, detected, light)
        found = self.pose.predict_still(image, box)
        self._count += 1  # each image is a segment of its own: no jumps between them
        doubt = self._judge.doubt(FrameMeta(self._count, 0, None, 0, segment=self._count), box, found)
        return Still(found, box, doubt is None and not found.spoilt, detected, light)

    def judge(self, truth: Truth, progress: Callable[[int], None] = lambda done: None) -> Results:
        """Return what the models find in the frames of ``truth``.

        Args:
            truth: The labelled frames.
            progress: Is called with the number of frames done.

        Raises:
            ModelError: if the pose model lacks a keypoint.
            DataError: if an image cannot be read, or all labels lie outside of their images.
        """
        names, known = truth.keypoint_names, self.pose.keypoint_names
        missing = [name for name in names if name not in known]
        if missing:
            raise ModelError(
                f"{self.pose.path} knows {listed(known)}, and not {listed(missing)}. Train again with the keypoints of "
                "the labels"
            )
        stills, sizes, rows, away = [], list[tuple[int, int]](), list[int](), list[str]()
        labels = truth.labels.copy()
        for row, path in enumerate(truth.paths):
            image = read_image(path)
            size = image.shape[1], image.shape[0]
            off = outside(labels[row], size)
            labels[row, off] = np.nan
            away += [truth.images[row]] * bool(off.any())
            if np.isfinite(labels[row]).any():
                rows.append(row)
                sizes.append(size)
                stills.append(self.look(image))
            progress(row + 1)
        note = ""
        if away:
            note = listing("outside", away, "with keypoints outside of the picture", "They are left out").text
        if not rows:
            raise DataError(f"no label can be judged. {note}")
        truth = truth.only(rows, labels, note)
        found = np.stack([_in_order(still.found, known, names) for still in stills])
        of_detector = () if self.detector is None else self.detector.keypoint_names
        detected = np.stack([_in_order(still.detected, of_detector, names) for still in stills])
        return Results(
            truth,
            found[:, :, :2],
            found[:, :, 2],
            np.array([still.tracking for still in stills]),
            np.array([still.box or (np.nan,) * 4 for still in stills], np.float64),
            detected[:, :, :2],
            np.array([still.light for still in stills]),
            np.array(sizes, np.float64),
        )


def _in_order(found: Keypoints | None, known: Sequence[str], names: Sequence[str]) -> Float64:
    """Return x, y and likelihood of keypoints by name, (K, 3); NaN for one that is not known or not found.

    Args:
        found: The keypoints; None if nothing was found.
        known: Their names.
        names: The K names of the result.
    """
    ordered = np.full((len(names), 3), np.nan)
    if found is not None:
        for k, name in enumerate(names):
            if name in known:
                i = known.index(name)
                ordered[k] = *found.xy[i], found.likelihood[i]
    return ordered
