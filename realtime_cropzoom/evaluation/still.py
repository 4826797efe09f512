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
from realtime_cropzoom.errors import ModelError, listed
from realtime_cropzoom.evaluation.results import Results
from realtime_cropzoom.evaluation.truth import Truth
from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.presence import JudgeLimits, PoseJudge
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

    def __init__(self, detector: Path | None, pose: Path, keypoint_names: Sequence[str]) -> None:
        """Load the models.

        Args:
            detector: The detector; None for a pose model that sees whole frames.
            pose: The pose model.
            keypoint_names: The keypoints to return, in order.

        Raises:
            ModelError: if a model cannot be used, or the pose model lacks a keypoint.
        """
        self.pose = Model(pose, "pose")
        self.detector = None if detector is None else Model(detector, "detector")
        missing = [name for name in keypoint_names if name not in self.pose.keypoint_names]
        if missing:
            raise ModelError(
                f"{pose} knows {listed(self.pose.keypoint_names)}, and not {listed(missing)}. "
                "Train again with the keypoints of the labels"
            )
        self._order = [self.pose.keypoint_names.index(name) for name in keypoint_names]
        names = self.pose.keypoint_names if self.detector is None else self.detector.keypoint_names
        self._rule = BoxSettings().box_rule(names, self.pose.manifest)
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
        ordered = Keypoints(found.xy[self._order], found.likelihood[self._order])
        return Still(ordered, box, doubt is None and not found.spoilt, detected, light)

    def judge(self, truth: Truth, progress: Callable[[int], None] = lambda done: None) -> Results:
        """Return what the models find in the frames of ``truth``.

        Args:
            truth: The labelled frames.
            progress: Is called with the number of frames done.

        Raises:
            DataError: if an image cannot be read, or labels lie outside their image.
        """
        stills, sizes = [], []
        for done, path in enumerate(truth.paths, 1):
            image = read_image(path)
            sizes.append((image.shape[1], image.shape[0]))
            stills.append(self.look(image))
            progress(done)
        nowhere = Keypoints(np.full((len(truth.keypoint_names), 2), np.nan, np.float32), np.zeros(0, np.float32))
        unknown = np.full(len(truth.keypoint_names), np.nan)
        return Results(
            truth,
            np.array([(still.found or nowhere).xy for still in stills], np.float64),
            np.array([unknown if still.found is None else still.found.likelihood for still in stills], np.float64),
            np.array([still.tracking for still in stills]),
            np.array([still.box or (np.nan,) * 4 for still in stills], np.float64),
            np.array([self._detected(still, truth.keypoint_names) for still in stills], np.float64),
            np.array([still.light for still in stills]),
            np.array(sizes, np.float64),
        )

    def _detected(self, still: Still, names: Sequence[str]) -> Float64:
        """Return the (K, 2) keypoints of the detector in the order of ``names``; NaN for one that it does not know."""
        xy = np.full((len(names), 2), np.nan)
        if still.detected is not None and self.detector is not None:
            for k, name in enumerate(names):
                if name in self.detector.keypoint_names:
                    xy[k] = still.detected.xy[self.detector.keypoint_names.index(name)]
        return xy
