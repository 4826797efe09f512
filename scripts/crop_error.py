"""Error of cropped videos: whether the last row of the frame is there, and whether each frame has its own box.

    python scripts/crop_error.py VIDEO BOXES CROPPED_VIDEO [CROPPED_VIDEO …]

BOXES is the box file that VIDEO was cropped with, all boxes of one size (``create_bbox --crop_size``).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from realtime_cropzoom.offline.bbox_csv import read_boxes
from realtime_cropzoom.types import Box, Float64

SPARE = 4
"""Minimum number of rows of a box below the frame. With fewer, the codec blurs the last row of the frame."""


def main() -> None:
    """Print one line per video."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("boxes", type=Path)
    parser.add_argument("cropped", type=Path, nargs="+")
    args = parser.parse_args()
    for cropped in args.cropped:
        print(f"{cropped}: {report(args.video, args.boxes, cropped)}")


def report(video: Path, box_file: Path, cropped: Path) -> str:
    """Return the result for a cropped video."""
    boxes = read_boxes(box_file)
    last_rows: list[tuple[float, float]] = []
    steps_px: list[float] = []
    for i, (frame, crop) in enumerate(zip(grays(video), grays(cropped), strict=True)):
        if boxes[i].y + boxes[i].h > len(frame) + SPARE:
            last_rows.append(last_row(frame, crop, boxes[i]))
        before = boxes[max(0, i - 1)]
        if before != boxes[i] and off(frame, crop, before) < off(frame, crop, boxes[i]):
            steps_px.append(float(np.hypot(boxes[i].x - before.x, boxes[i].y - before.y)))
    in_frame, in_crop = np.mean(last_rows, axis=0) if last_rows else (np.nan, np.nan)
    text = f"last row, on {len(last_rows)} frames: mean gray {in_frame:.1f} in the frame, {in_crop:.1f} in the crop; "
    text += f"cut to the box of the frame before: {len(steps_px)} of {len(boxes)} frames"
    if steps_px:
        text += f", off by {np.median(steps_px):.1f} px in the median, {max(steps_px):.1f} at most"
    return text


def grays(video: Path) -> Iterator[Float64]:
    """Yield (H, W) grey values of each frame."""
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="gray").astype(np.float64)


def last_row(frame: Float64, crop: Float64, box: Box) -> tuple[float, float]:
    """Return the mean grey value of the last row inside the box, in the frame and in the crop."""
    row = len(frame) - 1
    x, y, end, _ = box.pixels()
    left, right = max(0, x), min(frame.shape[1] - 1, end)
    return frame[row, left:right].mean(), crop[row - y, left - x : right - x].mean()


def off(frame: Float64, crop: Float64, box: Box) -> float:
    """Return the difference between the crop and the pixels in ``box``, without the last row and column."""
    height, width = frame.shape
    left, right = max(0, box.x), min(width - 1, box.x + box.w)
    top, bottom = max(0, box.y), min(height - 1, box.y + box.h)
    shown = crop[top - box.y : bottom - box.y, left - box.x : right - box.x]
    return float(np.abs(frame[top:bottom, left:right] - shown).mean())


if __name__ == "__main__":
    main()
