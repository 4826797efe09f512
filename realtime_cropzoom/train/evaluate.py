"""An exported model on labelled frames, through ONNX Runtime and the modules that run live.

What is measured is what a user gets: the file, not the network in memory; the detector's
boxes, not the labels'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from realtime_cropzoom.boxes import BoxRule
from realtime_cropzoom.crop import cut, fill_input, remap
from realtime_cropzoom.heatmaps import decode
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.types import Box, Float32, Keypoints, UInt8


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the models made of one frame."""

    keypoints: Keypoints
    """Frame space."""
    box: Box
    """What the model saw of the frame."""


class Predictor:
    """A model file, run on one thread."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` for ONNX Runtime on the CPU."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        _, _, height, width = self._session.get_inputs()[0].shape
        self._input = np.zeros((1, 3, height, width), np.float32)

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the model's input."""
        return self._input.shape[3], self._input.shape[2]

    def predict(self, image: UInt8, box: Box) -> Keypoints:
        """Return the keypoints inside ``box``, in frame space."""
        pixels, box = cut(image, box, "pad")
        fill_input(pixels, self._input[0], "fast")
        (heatmaps,) = self._session.run(None, {"images": self._input})
        doublings = (self.size[0] // heatmaps.shape[3]).bit_length() - 1
        found = decode(heatmaps[0], doublings, "fast")
        return Keypoints(remap(found.xy, box, self.size), found.likelihood)


def whole_frame(image: UInt8) -> Box:
    """The box a detector sees."""
    return Box(0, 0, image.shape[1], image.shape[0])


def predict_frames(
    model: Path, frames: Sequence[LabelledFrame], *, crop_size: int | None, detector: Path | None
) -> list[Prediction]:
    """Run a model on frames: the whole of each, or boxes of ``crop_size``.

    The boxes are those of the ``detector``, or, where there is none, those that the labels give.
    """
    pose, finder = Predictor(model), Predictor(detector) if detector else None
    predictions = []
    for frame in frames:
        box = whole_frame(frame.image)
        if crop_size is not None:
            seen = finder.predict(frame.image, box) if finder else labels_of(frame)
            box = BoxRule(crop_size=crop_size).box(seen) or box
        predictions.append(Prediction(pose.predict(frame.image, box), box))
    return predictions


def labels_of(frame: LabelledFrame) -> Keypoints:
    """The labels, as a detector that is sure of them."""
    return Keypoints(frame.xy, np.ones(len(frame.xy), np.float32))


def pixel_errors(predictions: Sequence[Prediction], frames: Sequence[LabelledFrame]) -> Float32:
    """(N, K) distances in frame pixels; NaN where unlabelled."""
    found = np.stack([prediction.keypoints.xy for prediction in predictions])
    errors: Float32 = np.linalg.norm(found - np.stack([frame.xy for frame in frames]), axis=2)
    return errors
