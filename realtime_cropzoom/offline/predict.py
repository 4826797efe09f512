"""``cropzoom predict``: keypoints for videos, labelled images and images, as ``litpose predict`` writes them.

Videos are resized as Lightning Pose resizes videos, and images as it resizes images, so the numbers are those
of its own runtime. With boxes, the crop of a video's frame is cut off at the frame's edge, and the crop of an
image is padded with zeros, as in the crops that pose models are trained on. In both cases the keypoints are in
frame space.
"""

from __future__ import annotations

from pathlib import Path

from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.offline.command import OfflineCommand
from realtime_cropzoom.offline.inputs import Input, LabelFile, Video
from realtime_cropzoom.offline.model_directory import ModelDirectory
from realtime_cropzoom.offline.predict_images import predict_images, predict_labels
from realtime_cropzoom.offline.predict_video import predict_video
from realtime_cropzoom.offline.prediction import PredictionContext


class Predictor:
    """Predicts the inputs of a command with one model."""

    def __init__(self, model: Model, directory: ModelDirectory, command: OfflineCommand) -> None:
        self._context = PredictionContext(model, directory, command)

    def predict(self, given: Input, bbox_dir: Path | None) -> Path:
        """Predict one input.

        Args:
            given: A video, a label file, or a set of images.
            bbox_dir: Folder with the box file of the input; None predicts on whole frames.

        Returns:
            The file of the predictions.

        Raises:
            SourceError, DataError: if an input cannot be read or does not fit the others.
            SinkError: if a result cannot be written.
        """
        if isinstance(given, Video):
            return predict_video(self._context, given.path, bbox_dir)
        if isinstance(given, LabelFile):
            return predict_labels(self._context, given.path, bbox_dir)
        return predict_images(self._context, given, bbox_dir)
