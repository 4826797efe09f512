"""Pictures of a session: frames with box, keypoints and trail."""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Set
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np

from realtime_cropzoom.errors import DataError, advise
from realtime_cropzoom.plots.overlay import (
    SHIFT,
    draw_box,
    draw_caption,
    draw_keypoint,
    fixed_point,
    legend_strip,
    palette,
)
from realtime_cropzoom.sessions.files import find_video
from realtime_cropzoom.sessions.table import SessionTables
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.sources.recording_table import is_recording_of, read_captured_frames, recorded_videos
from realtime_cropzoom.types import Box, Float64, UInt8

_SCALE = 2
"""Frames are drawn at twice their size, for smooth lines."""
_RADIUS_PX = 7
_TRAIL_S = 2.0
_PANEL_WIDTH = 800
MOST_FRAMES = 300
"""Maximum number of frames. Few programs open larger pictures."""
_LEGEND_SCALE = 2.0


def contact_sheet(
    tables: SessionTables,
    count: int = 6,
    columns: int = 3,
    source: str | None = None,
    beside: Sequence[SessionTables] = (),
) -> UInt8:
    """Draw frames of a session as one picture.

    Args:
        tables: The session; of a run with regions, that of one region.
        count: Number of frames, spread over the session.
        columns: Number of frames side by side.
        source: Its video; None for the one it was tracked from.
        beside: The other regions of the run, to be drawn as well.

    Returns:
        The picture, (H, W, 3) RGB, with a legend below.

    Raises:
        DataError: if the session has no frame, or its video is not found.
    """
    videos = [_Footage.of(video, tables) for video in ([source] if source else all_footage(tables))]
    there = None if any(v.frames is None for v in videos) else {frame for v in videos for frame in v.frames or ()}
    wanted = _spread(tables, count, there)
    panels = [panel for video in videos for panel in _draw_wanted(video, tables, wanted, beside)]
    if not panels:
        raise DataError("the session has no frame; there is nothing to draw")
    sheet = _tile(panels, columns)
    return np.vstack([sheet, legend_strip(sheet.shape[1], tables.keypoint_names, _LEGEND_SCALE)])


class _Footage(NamedTuple):
    """A video of a session."""

    source: str
    frames: list[int] | None
    """The captured frame of each of its frames; None if it has all of them, as what was played."""

    @classmethod
    def of(cls, source: str, tables: SessionTables) -> _Footage:
        """Return a video with its frames: a recording of the run may lack some, and its table lists those it has."""
        return cls(source, read_captured_frames(source) if is_recording_of(source, tables.path) else None)


def _draw_wanted(
    video: _Footage, tables: SessionTables, wanted: Set[int], beside: Sequence[SessionTables]
) -> list[UInt8]:
    """Return the panels of the frames of a video that are wanted."""
    left = len(wanted) if video.frames is None else len(wanted & set(video.frames))
    if not left:
        return []
    panels: list[UInt8] = []
    opened = open_source(video.source)
    try:
        image = np.empty((opened.info.height, opened.info.width, 3), np.uint8)
        for index, captured in zip(video.frames or itertools.count(), opened.frames(), strict=False):
            if index in wanted:
                captured.copy_to(image)
                panels.append(_small(draw_frame(image, tables, index, beside)))
            if len(panels) == left:
                break
    finally:
        opened.close()
    return panels


def all_footage(tables: SessionTables) -> list[str]:
    """Return where the frames of a session can be had again: what was played, or the recordings of the run, in order.

    Raises DataError where they cannot.
    """
    found = footage(tables)
    return list(map(str, recorded_videos(tables.path))) if is_recording_of(found, tables.path) else [found]


def footage(tables: SessionTables) -> str:
    """Return where the frames of a session can be had again: what was played, or a recording of the run, the first one
    unless one is of its whole length.

    Raises DataError where they cannot.
    """
    found = find_video(tables.source, tables.path)
    if found is None:
        advice = advise(". Give the recording with --source, or draw the coordinates over time with --traces")
        raise DataError(f"{tables.path}: its source was not recorded, or is not where it was{advice}")
    return found


def draw_frame(image: UInt8, tables: SessionTables, index: int, beside: Sequence[SessionTables] = ()) -> UInt8:
    """Draw one frame.

    Args:
        image: The frame, (H, W, 3) RGB.
        tables: Its session.
        index: Its index.
        beside: The other regions of the run.

    Returns:
        The frame at twice its size, with box, keypoints, and the trail of the last 2 s.
    """
    size = (image.shape[1] * _SCALE, image.shape[0] * _SCALE)
    canvas: Any = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    for one in (tables, *beside):
        if index < len(one.poses):
            _draw_animal(canvas, one, index)
    when = f"frame {index}" if np.isnan(tables.seconds[index]) else f"{tables.seconds[index]:6.2f} s"
    state = f"   {tables.states[index]}" if tables.session.region is None else ""
    draw_caption(canvas, f"{when}{state}", (18, canvas.shape[0] - 22), 0.9)
    return np.asarray(canvas, np.uint8)


def _draw_animal(canvas: Any, tables: SessionTables, index: int) -> None:
    """Draw an animal in a frame: box, keypoints and trail, and its region with name and state."""
    colours = palette(len(tables.keypoint_names))
    since = _trail_start(tables.seconds, index)
    _draw_trail(canvas, tables.poses[since : index + 1, :, :2])
    if np.isfinite(tables.boxes[index]).all():
        draw_box(canvas, Box(*(int(v) for v in tables.boxes[index])), _SCALE)
    for (x, y, likelihood), colour in zip(tables.poses[index], colours, strict=True):
        if np.isfinite([x, y]).all():
            sure = bool(np.isnan(likelihood) or likelihood >= 0.5)
            draw_keypoint(canvas, _on_canvas(x, y), _RADIUS_PX, colour, sure=sure)
    if outline := tables.session.outline:
        corners = np.array([_point(x - 0.5, y - 0.5) for x, y in outline], np.int32)
        cv2.polylines(canvas, [corners], True, (255, 255, 255), 2, cv2.LINE_AA, SHIFT)
        x, y = (round(_SCALE * min(values)) for values in zip(*outline, strict=True))
        draw_caption(canvas, f"{tables.session.region} {tables.states[index]}", (x + 12, y + 40), 0.9)


def _trail_start(seconds: Float64, index: int) -> int:
    """Return the first frame of the trail. Without times, 30 fps are assumed."""
    if np.isnan(seconds[index]):
        return max(0, index - round(30 * _TRAIL_S))
    recent = seconds[: index + 1] >= seconds[index] - _TRAIL_S  # False for an unknown time
    return int(np.argmax(recent))


def _spread(tables: SessionTables, count: int, there: Set[int] | None) -> set[int]:
    """Return frames with a pose, evenly spread. If there are none, any frames, which may show the reason.

    Args:
        tables: The session.
        count: Number of frames.
        there: The frames to choose from; None for all.
    """
    every = np.arange(len(tables.poses))
    every = every if there is None else every[np.isin(every, list(there))]
    with_pose = every[np.isfinite(tables.poses[every, :, 0]).any(axis=1)]
    frames = with_pose if len(with_pose) else every
    count = min(count, len(frames), MOST_FRAMES)
    if count < 1:
        return set()
    return set(frames[np.linspace(0, len(frames) - 1, count + 1).round().astype(int)[1:]].tolist())


def _on_canvas(x: float, y: float) -> tuple[float, float]:
    """Return frame pixels as canvas pixels."""
    return (x + 0.5) * _SCALE - 0.5, (y + 0.5) * _SCALE - 0.5


def _point(x: float, y: float) -> tuple[int, int]:
    """Return frame pixels as canvas pixels in the fixed point of OpenCV."""
    return fixed_point(*_on_canvas(x, y))


def _draw_trail(canvas: UInt8, trail: Float64) -> None:
    """Draw the path of the mean of the keypoints, fading into the past."""
    finite = np.where(np.isfinite(trail), trail, np.nan)
    means = [row[np.isfinite(row).all(axis=1)].mean(axis=0) for row in finite if np.isfinite(row).all(axis=1).any()]
    overlay = canvas.copy()
    for k, (a, b) in enumerate(pairwise(means)):
        fade = (k + 1) / len(means)
        colour = tuple(round(c * fade + 255 * (1 - fade)) for c in (0, 150, 255))
        cv2.line(overlay, _point(*a), _point(*b), colour, 1 + round(4 * fade), cv2.LINE_AA, SHIFT)
    cv2.addWeighted(overlay, 0.75, canvas, 0.25, 0, dst=canvas)


def _small(panel: UInt8) -> UInt8:
    """Return a panel at its final width. Frames at twice their size would need too much memory."""
    size = (_PANEL_WIDTH, max(1, round(panel.shape[0] * _PANEL_WIDTH / panel.shape[1])))
    return np.asarray(cv2.resize(panel, size, interpolation=cv2.INTER_AREA), np.uint8)


def _tile(panels: list[UInt8], columns: int, gap: int = 12) -> UInt8:
    height, width = panels[0].shape[:2]
    rows = -(-len(panels) // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 24, np.uint8)
    for k, panel in enumerate(panels):
        y, x = gap + k // columns * (height + gap), gap + k % columns * (width + gap)
        sheet[y : y + height, x : x + width] = panel
    return sheet
