"""Predictions drawn into videos and images, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.offline.frames import FrameReader
from realtime_cropzoom.offline.outputs import write_image
from realtime_cropzoom.offline.progress import progress
from realtime_cropzoom.offline.videowriter import VideoWriter
from realtime_cropzoom.tables import chunks_of_predictions, read_header
from realtime_cropzoom.types import Float32, Float64, Keypoints, UInt8

Colour = tuple[int, int, int]
_SMALL = 320
"""Pictures narrower than this are drawn at a multiple of their size, so that dots and text look well."""


def annotate_video(source: str, predictions: Path, labelled: Path, shown_above: float, colormap: str) -> None:
    """Write a video with its keypoints drawn in. Raises SourceError, DataError or SinkError."""
    names = read_header(predictions).keypoint_names
    rows = (
        (xy, p)
        for chunk in chunks_of_predictions(predictions)
        for xy, p in zip(chunk.xy, chunk.likelihood, strict=True)
    )
    colours = colours_of(len(names), colormap)
    with FrameReader(source) as reader:
        info = reader.info
        scale = _scale(info.width)
        size = (info.width * scale, info.height * scale)
        with (
            VideoWriter(labelled, size, info.fps, quality=20) as writer,
            progress(labelled.name, info.frame_count) as bar,
        ):
            for (xy, likelihood), frame in zip(rows, reader.frames(), strict=False):  # of a video, perhaps its begin
                canvas = _enlarged(frame.image, scale)
                draw_keypoints(canvas, xy, likelihood, colours, scale, shown_above)
                _write_text(canvas, f"{_clock(frame.stamp.pts_ns / 1e9)}   frame {frame.stamp.index}", scale)
                writer.write(canvas, frame.stamp.pts_ns)
                bar.update()
            writer.commit()


def annotate_image(
    image: UInt8, found: Keypoints, labels: Float64 | None, path: Path, shown_above: float, colormap: str
) -> None:
    """Write an image with its keypoints as dots and its labels as crosses. Raises SinkError."""
    scale = _scale(image.shape[1])
    canvas = _enlarged(image, scale)
    colours = colours_of(len(found.xy), colormap)
    if labels is not None:
        for (x, y), colour in zip(labels, colours, strict=True):
            if np.isfinite([x, y]).all():
                at = _pixel(x, y, scale)
                cv2.drawMarker(canvas, at, (0, 0, 0), cv2.MARKER_CROSS, 6 + 5 * scale, 1 + scale)
                cv2.drawMarker(canvas, at, colour, cv2.MARKER_CROSS, 6 + 5 * scale, 1)
    draw_keypoints(canvas, found.xy, found.likelihood, colours, scale, shown_above)
    write_image(path, canvas[:, :, ::-1])


def draw_keypoints(
    canvas: UInt8, xy: Float32 | Float64, likelihood: Float32 | Float64, colours: Sequence[Colour], scale: int,
    shown_above: float,
) -> None:  # fmt: skip
    """Draw a dot a keypoint, hollow where the model is not sure. One that does not say counts as sure."""
    for (x, y), sure, colour in zip(xy, ~(likelihood <= shown_above), colours, strict=True):
        if np.isfinite([x, y]).all():
            at = _pixel(x, y, scale)
            cv2.circle(canvas, at, 1 + 2 * scale, (0, 0, 0), -1 if sure else 2, cv2.LINE_AA)
            cv2.circle(canvas, at, 2 * scale, colour, -1 if sure else 1, cv2.LINE_AA)


def colours_of(count: int, colormap: str) -> list[Colour]:
    """Return ``count`` RGB colours, evenly spread over one of Matplotlib's maps. Raises ConfigError."""
    try:
        chosen = mpl.colormaps[colormap]
    except KeyError:
        raise ConfigError(f"eval.colormap is {colormap}; expected one of Matplotlib's, such as cool") from None
    rgb = (chosen(np.linspace(0, 1, count))[:, :3] * 255).astype(int).tolist()
    return [(r, g, b) for r, g, b in rgb]


def _scale(width: int) -> int:
    return max(1, -(-_SMALL // width))


def _enlarged(image: UInt8, scale: int) -> UInt8:
    if scale == 1:
        return image.copy()
    size = (image.shape[1] * scale, image.shape[0] * scale)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _pixel(x: float, y: float, scale: int) -> tuple[int, int]:
    limit = 1 << 14  # far off any frame; cv2 takes no larger numbers
    return tuple(int(np.clip(round((c + 0.5) * scale - 0.5), -limit, limit)) for c in (x, y))  # type: ignore[return-value]


def _write_text(canvas: UInt8, text: str, scale: int) -> None:
    size, at = 0.45 * max(1, canvas.shape[1] / 640), (8, canvas.shape[0] - 10)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 1, cv2.LINE_AA)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{int(minutes) // 60:d}:{int(minutes) % 60:02d}:{seconds:05.2f}"
