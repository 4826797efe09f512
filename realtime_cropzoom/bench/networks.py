"""Networks alone: how long each takes for a frame when its input is ready."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.model import Model, Models, Outputs
from realtime_cropzoom.types import Box, Float64, Keypoints, UInt8


class Ready:
    """A loaded model with a prepared input."""

    def __init__(self, model: Model, image: UInt8, box: Box) -> None:
        self.model = model
        self.prepared = model.new_input()
        self._window = [self.prepared] * (2 * model.context_radius + 1)
        self._box = model.prepare(image, box, "pad", self.prepared)

    def infer(self) -> Outputs:
        """Run the network on the prepared input."""
        return self.model.infer(*self._window)

    def keypoints(self) -> Keypoints:
        """Run the network and decode its output."""
        return self.model.decode(self.infer(), self._box)


def make_ready(models: Models, image: UInt8, side: int) -> tuple[Ready | None, Ready]:
    """Return both models with prepared inputs: ``image``, and its crop around the detection.

    Args:
        models: Detector and pose model.
        image: The frame, (H, W, 3) RGB.
        side: Side of the crop (frame pixels).

    Returns:
        The detector, or None without one; and the pose model, which then sees the whole frame.
    """
    if models.detector is None:
        return None, Ready(models.pose, image, whole_image(image))
    detector = Ready(models.detector, image, whole_image(image))
    x, y = _middle(detector.keypoints(), image)
    return detector, Ready(models.pose, image, Box(x - side // 2, y - side // 2, side, side))


def _middle(found: Keypoints, image: UInt8) -> tuple[int, int]:
    """Return the middle of the animal, or that of the frame if the detector finds none."""
    xy = found.xy[np.isfinite(found.xy).all(axis=1)]
    if not len(xy):
        return image.shape[1] // 2, image.shape[0] // 2
    x, y = xy.mean(axis=0)
    return int(x), int(y)


def time_ms(step: Callable[[], object], count: int) -> Float64:
    """Return how long each of ``count`` calls took (ms)."""
    times = np.empty(count)
    for i in range(count):
        begun = time.perf_counter_ns()
        step()
        times[i] = time.perf_counter_ns() - begun
    return np.asarray(times / 1e6, np.float64)
