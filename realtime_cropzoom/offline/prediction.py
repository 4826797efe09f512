"""What the predictions of videos and of images share: inputs, existing results, inference, and the quality report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.pose_quality import InputKind, PoseQuality, report_quality
from realtime_cropzoom.inference.presence import Doubt, JudgeLimits, PoseJudge
from realtime_cropzoom.offline.bbox_csv import Boxes
from realtime_cropzoom.offline.command import OfflineCommand
from realtime_cropzoom.offline.inference_pool import OrderedInference
from realtime_cropzoom.offline.model_directory import ModelDirectory
from realtime_cropzoom.offline.provenance import MadeOf, already_made
from realtime_cropzoom.sessions.dlc_csv import read_header
from realtime_cropzoom.sessions.pose_rows import pose_cells
from realtime_cropzoom.types import Box, Float32, FrameMeta, Keypoints, State

COMMAND = "predict"


@dataclass(frozen=True, slots=True)
class PredictionContext:
    """A model, the directory for its results, and the running command."""

    model: Model
    directory: ModelDirectory
    command: OfflineCommand

    @property
    def shown_above(self) -> float:
        """Minimum likelihood of a keypoint that is drawn filled; -1 for a regression model, which has none."""
        return self.directory.shown_above if self.model.manifest.has_likelihood else -1.0

    def made_of(self, **inputs: object) -> dict[str, object]:
        """Return the inputs of a result: those given, the model, and the decoder."""
        return {**inputs, "model": self.model.sha256, "decoder": self.model.method}

    def boxes_entry(self, boxes: Boxes | None) -> dict[str, object] | None:
        """Return boxes as an input, and tell the user if they do not fit the model; None without boxes."""
        if boxes is None:
            return None
        if warning := self.model.expected_side.warning(boxes.sides):
            self.command.say(f"{boxes.path}: {warning}")
        return boxes.entry()

    def is_done(self, final: Path, made_of: MadeOf) -> bool:
        """Return whether a result exists, see ``provenance.is_there``."""

        def fits() -> bool:
            return set(read_header(final).keypoint_names) == set(self.model.keypoint_names)

        options = self.command.options
        unchecked = "its model and boxes were not checked"
        return already_made(
            final, COMMAND, made_of, overwrite=options.overwrite, say=self.command.say, fits=fits, unchecked=unchecked
        )

    def inference(self, *, of_videos: bool) -> OrderedInference[int]:
        """Return an inference that crops and resizes as Lightning Pose does for videos, or for images."""
        return OrderedInference(
            self.model,
            self.command.pool,
            self.command.workers,
            edge="clamp" if of_videos else "pad",
            resize="linear" if of_videos else "cubic",
            batch=self.command.options.batch,
        )

    def pose_cells(self, keypoints: Keypoints) -> str:
        """Return the cells of a row. A regression model has no likelihood; Lightning Pose writes 0 for it."""
        if not self.model.manifest.has_likelihood:
            zeros: Float32 = np.zeros(len(keypoints.likelihood), np.float32)
            keypoints = Keypoints(keypoints.xy, zeros)
        return pose_cells(keypoints)


class QualityCheck:
    """Checks the poses of an input one by one, and reports at its end whether they look like an animal."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._judge = PoseJudge(JudgeLimits(model.presence, math.inf))
        self._quality = PoseQuality(model.keypoint_names)

    def add(self, meta: FrameMeta, box: Box, found: Keypoints) -> None:
        """Add the pose of a frame. ``box`` and ``found`` are in frame pixels."""
        if found.spoilt:
            self._quality.add(State.SEARCHING, None, None)
            return
        doubt = self._judge.doubt(meta, box, found)
        self._quality.add(State.TRACKING if doubt in (None, Doubt.JUMP) else State.SEARCHING, found, doubt)

    def report(self, name: str, command: OfflineCommand, of: InputKind, sides: Sequence[int] | None) -> None:
        """Report the poses added so far.

        Args:
            name: Name of the input.
            command: The command, which prints.
            of: The input of the poses.
            sides: Sides of the boxes (frame pixels); None if the model saw whole images.
        """
        as_trained = not sides or self._model.expected_side.is_given(round(median(sides)))
        shipped = self._model.is_shipped
        report_quality(
            name, self._quality, shipped=shipped, say=command.say, warn=command.warn, of=of, boxes_as_trained=as_trained
        )
