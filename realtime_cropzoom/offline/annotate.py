"""Labelled videos and images: draws predicted keypoints, and labels if there are any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from realtime_cropzoom.files.atomic_images import write_image
from realtime_cropzoom.offline.frame_reader import FrameReader, progress
from realtime_cropzoom.offline.video_writer import VideoWriter
from realtime_cropzoom.plots.overlay import draw_cross, draw_keypoint, legend_strip, palette, write_in_strip
from realtime_cropzoom.sessions.dlc_csv import iter_frame_predictions, read_header
from realtime_cropzoom.types import Float32, Float64, Keypoints, UInt8

_MIN_DRAWN_WIDTH = 400
"""Minimum width (pixels). A narrower picture is enlarged by a whole factor, so that dots do not cover each other."""


class Drawing:
    """Draws keypoints into pictures of one size, with their names in a strip below the picture."""

    def __init__(self, size: tuple[int, int], names: Sequence[str], shown_above: float) -> None:
        """Prepare the strip.

        Args:
            size: (W, H) of the pictures (pixels).
            names: The K keypoint names.
            shown_above: Maximum likelihood of a keypoint that is drawn hollow.
        """
        self._scale = max(1, -(-_MIN_DRAWN_WIDTH // size[0]))
        self._shown_above = shown_above
        self._colours = palette(len(names))
        width, self._height = size[0] * self._scale, size[1] * self._scale
        self._radius = 3 + width // 640
        self._strip = legend_strip(width, names, spare_lines=1)

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the drawn pictures, with the strip."""
        return self._strip.shape[1], self._height + self._strip.shape[0]

    def draw(
        self,
        image: UInt8,
        xy: Float32 | Float64,
        likelihood: Float32 | Float64,
        text: str,
        labels: Float64 | None = None,
    ) -> UInt8:
        """Return the picture with a dot for each keypoint and a cross for each label.

        Args:
            image: (H, W, 3) uint8, RGB.
            xy: (K, 2) keypoints (pixels of ``image``). A keypoint of NaN is not drawn.
            likelihood: (K,). A dot is hollow up to ``shown_above``. NaN, as of a regression model, gives a filled dot.
            text: The line in the strip.
            labels: (K, 2) labels (pixels of ``image``); None draws no crosses.

        Returns:
            uint8, RGB, of ``size``.
        """
        picture = cv2.resize(image, None, fx=self._scale, fy=self._scale, interpolation=cv2.INTER_CUBIC)
        if labels is not None:
            for (x, y), colour in zip(labels, self._colours, strict=True):
                if np.isfinite([x, y]).all():
                    draw_cross(picture, self._on_picture(x, y), 4 * self._radius, colour)
        for (x, y), sure, colour in zip(xy, ~(likelihood <= self._shown_above), self._colours, strict=True):
            if np.isfinite([x, y]).all():
                draw_keypoint(picture, self._on_picture(x, y), self._radius, colour, sure=bool(sure))
        strip = self._strip.copy()
        write_in_strip(strip, text)
        return np.vstack([picture, strip]).astype(np.uint8, copy=False)

    def _on_picture(self, x: float, y: float) -> tuple[float, float]:
        """Return image pixels as pixels of the scaled picture."""
        return (x + 0.5) * self._scale - 0.5, (y + 0.5) * self._scale - 0.5


def annotate_video(source: str, predictions: Path, labelled: Path, shown_above: float) -> None:
    """Write a video with its keypoints. It ends with the last frame that has predictions.

    Args:
        source: The video, or a synthetic source.
        predictions: File of its predictions.
        labelled: The video to write.
        shown_above: Maximum likelihood of a keypoint that is drawn hollow.

    Raises:
        SourceError, DataError: if the video or the predictions cannot be read.
        SinkError: if the labelled video cannot be written.
    """
    names = read_header(predictions).keypoint_names
    rows = (
        (xy, p)
        for chunk in iter_frame_predictions(predictions)
        for xy, p in zip(chunk.xy, chunk.likelihood, strict=True)
    )
    with FrameReader(source) as reader:
        info = reader.info
        drawing = Drawing((info.width, info.height), names, shown_above)
        with (
            VideoWriter(labelled, drawing.size, info.fps, quality=20) as writer,
            progress(labelled.name, info.frame_count) as bar,
        ):
            for (xy, likelihood), frame in zip(rows, reader.frames(), strict=False):
                text = f"frame {frame.meta.index}   {_clock(frame.meta.pts_ns / 1e9)}"
                writer.write(drawing.draw(np.asarray(frame.image), xy, likelihood, text), frame.meta.pts_ns)
                bar.update()
            writer.commit()


def annotate_image(
    image: UInt8, names: Sequence[str], found: Keypoints, labels: Float64 | None, path: Path, shown_above: float
) -> None:  # fmt: skip
    """Write an image with its keypoints as dots and its labels as crosses, see ``Drawing.draw``. Raises SinkError."""
    drawing = Drawing((image.shape[1], image.shape[0]), names, shown_above)
    text = "dots: predicted" if labels is None else "dots: predicted, crosses: labelled"
    canvas = drawing.draw(image, found.xy, found.likelihood, text, labels)
    write_image(path, canvas[:, :, ::-1])


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{int(minutes) // 60:d}:{int(minutes) % 60:02d}:{seconds:05.2f}"
