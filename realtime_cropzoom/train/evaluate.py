"""An exported model on labelled frames, through what runs live.

What is measured is what a user gets: the file, not the network in memory; the detector's
boxes, not the labels'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realtime_cropzoom.inference.boxes import BoxRule, whole_image
from realtime_cropzoom.inference.crop import Resize
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.types import Box, Float32, Keypoints, UInt8


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the models made of one frame."""

    keypoints: Keypoints
    """Frame space."""
    box: Box
    """What the model saw of the frame."""


def predict(model: Model, image: UInt8, box: Box, resize: Resize = "linear") -> Keypoints:
    """Return the keypoints inside ``box``, in frame space."""
    model_input = model.new_input()
    used = model.prepare(image, box, "pad", model_input, resize)
    return model.decode(model.infer(model_input), used)


def predict_frames(
    model: Model,
    frames: Sequence[LabelledFrame],
    *,
    crop_size: int | None,
    detector: Model | None,
    resize: Resize = "linear",
) -> list[Prediction]:
    """Run a model on frames: on the whole of each, or on boxes of ``crop_size``.

    The boxes are those of the ``detector``, or, where there is none, those that the labels give.
    Resized as live by default; ``cubic`` is how ``cropzoom predict`` reads labelled images.
    """
    predictions = []
    for frame in frames:
        box = whole_image(frame.image)
        if crop_size is not None:
            seen = predict(detector, frame.image, box, resize) if detector else frame.labels()
            box = BoxRule(crop_size=crop_size).box(seen) or box
        predictions.append(Prediction(predict(model, frame.image, box, resize), box))
    return predictions


def pixel_errors(predictions: Sequence[Prediction], frames: Sequence[LabelledFrame]) -> Float32:
    """(N, K) distances in frame pixels; NaN where unlabelled."""
    found = np.stack([prediction.keypoints.xy for prediction in predictions])
    errors: Float32 = np.linalg.norm(found - np.stack([frame.xy for frame in frames]), axis=2)
    return errors
