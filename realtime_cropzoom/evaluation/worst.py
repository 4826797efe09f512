"""Pictures of the frames with the largest errors: label, prediction, and a line between."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from realtime_cropzoom.evaluation import measures
from realtime_cropzoom.evaluation.judgement import SURE
from realtime_cropzoom.evaluation.results import Results
from realtime_cropzoom.inference.crop import cut
from realtime_cropzoom.plots.overlay import SHIFT, draw_cross, draw_keypoint, fixed_point, palette
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import Box, Float64, UInt8

_SIDE_PX = 320
"""Side of a picture."""
_MARGIN = 1.5
"""Side of the region, as a multiple of what it must show."""
_SMALLEST_PX = 40
"""Minimum side of the region (frame pixels)."""
_LINE = (255, 255, 255)
_JPEG_QUALITY = 88


@dataclass(frozen=True, slots=True)
class WorstFrame:
    """A frame with a large error."""

    row: int
    """Its row in the results."""
    error_px: float
    """Mean error; infinite with a missing keypoint."""
    picture: str
    """The picture as a data URI."""


def worst_pictures(results: Results, count: int) -> Iterator[WorstFrame]:
    """Yield the frames with the largest errors, the worst first, each drawn. Raises DataError."""
    means = measures.frame_errors(results.errors)
    for row in measures.worst_frames(results.errors, count):
        yield WorstFrame(row, float(means[row]), _data_uri(draw_frame(results, row)))


def draw_frame(results: Results, row: int) -> UInt8:
    """Draw one judged frame.

    Args:
        results: The results.
        row: The row of the frame.

    Returns:
        A square picture, (H, W, 3) RGB: crosses are labels, dots are predictions, hollow where they are unsure.
    """
    labels, found = results.truth.labels[row], results.found[row]
    image = read_image(results.truth.paths[row])
    region = _region(np.concatenate([labels, found]), image)
    scale = _SIDE_PX / region.w
    canvas: Any = cv2.resize(cut(image, region, "pad")[0], (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_LINEAR)
    corner = np.array([region.x, region.y])
    at_label, at_found = (labels - corner + 0.5) * scale - 0.5, (found - corner + 0.5) * scale - 0.5
    for k, colour in enumerate(palette(len(labels))):
        known, there = np.isfinite(labels[k]).all(), np.isfinite(found[k]).all()
        if known and there:
            cv2.line(canvas, fixed_point(*at_label[k]), fixed_point(*at_found[k]), _LINE, 1, cv2.LINE_AA, SHIFT)
        if there:
            draw_keypoint(canvas, _xy(at_found[k]), 3, colour, sure=not results.likelihood[row, k] < SURE)
        if known:
            draw_cross(canvas, _xy(at_label[k]), 11, colour, thickness=2)
    return np.asarray(canvas, np.uint8)


def _xy(point: Float64) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _region(points: Float64, image: UInt8) -> Box:
    """Return the square around all points, a little larger, inside the image where it fits."""
    known = points[np.isfinite(points).all(axis=1)]
    low, high = known.min(axis=0), known.max(axis=0)
    most = max(image.shape[:2])
    side = int(min(max(_MARGIN * float((high - low).max()), _SMALLEST_PX), most))
    corner, room = (low + high) / 2 - side / 2, np.array([image.shape[1], image.shape[0]]) - side
    x, y = np.where(room >= 0, np.clip(corner, 0, np.maximum(room, 0)), room / 2).astype(int).tolist()
    return Box(x, y, side, side)


def _data_uri(picture: UInt8) -> str:
    encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"
