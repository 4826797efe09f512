"""Pictures of a session: frames with box, keypoints and trail, of one animal or of all.

One animal, and the animal of a region, has a colour for each keypoint. Of several animals in one arena, each has a
colour of its own, with its number beside it.
"""

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
    Colour,
    draw_box,
    draw_caption,
    draw_keypoint,
    draw_outline,
    fixed_point,
    free_place,
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
_RADIUS_PX, _TEXT = 7, 0.9
_TRAIL_S = 2.0
_TRAIL_COLOUR: Colour = (0, 150, 255)
_WHITE: Colour = (255, 255, 255)
_PANEL_WIDTH, _WIDE_PANEL_WIDTH = 800, 1200
_WIDE = 2.0
"""Aspect ratio from which a frame gets a wide panel: many boxes under one camera lie side by side."""
MOST_FRAMES = 300
"""Maximum number of frames. Few programs open larger pictures."""
_LEGEND_SCALE = 2.0
_FIRST = 1.5
"""Size of the first keypoint of one of several animals, whose keypoints have one colour: which end is which."""


def contact_sheet(
    tables: SessionTables,
    count: int = 6,
    source: str | None = None,
    beside: Sequence[SessionTables] = (),
) -> UInt8:
    """Draw frames of a session as one picture, three of them side by side, or two wide ones.

    Args:
        tables: The session; of a run with several regions or animals, that of one.
        count: Number of frames, spread over the session.
        source: Its video; None for the one it was tracked from.
        beside: The other regions or animals of the run, to be drawn as well.

    Returns:
        The picture, (H, W, 3) RGB, with a legend below.

    Raises:
        DataError: if the session has no frame, or its video is not found.
    """
    videos = [_Footage.of(video, tables) for video in ([source] if source else all_footage(tables))]
    there = None if any(v.frames is None for v in videos) else {frame for v in videos for frame in v.frames or ()}
    wanted = _spread((tables, *beside), count, there)
    panels = [panel for video in videos for panel in _draw_wanted(video, tables, wanted, beside)]
    if not panels:
        raise DataError("the session has no frame; there is nothing to draw")
    sheet = _tile(panels, 2 if panels[0].shape[1] == _WIDE_PANEL_WIDTH else 3)
    return np.vstack([sheet, _legend(sheet.shape[1], (tables, *beside))])


def _legend(width: int, together: Sequence[SessionTables]) -> UInt8:
    """Return what the colours mean: keypoints, or animals."""
    names = together[0].keypoint_names
    animals = [animal for one in together if (animal := one.session.animal) is not None]
    if not animals:
        return legend_strip(width, names, _LEGEND_SCALE)
    colours = [*(_colour_of_animal(animal) for animal in animals), _WHITE]
    words = [*(f"animal {animal}" for animal in animals), f"the largest dot: {names[0]}"]
    return legend_strip(width, words, _LEGEND_SCALE, colours=colours)


def _colour_of_animal(number: int) -> Colour:
    return palette(number)[-1]


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
        beside: The other regions or animals of the run.

    Returns:
        The frame at twice its size, with box, keypoints, and the trail of the last 2 s.
    """
    width, height = image.shape[1] * _SCALE, image.shape[0] * _SCALE
    canvas: Any = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    size = max(1.0, width / _panel_width(width, height) * _PANEL_WIDTH / 1280)
    there = [one for one in (tables, *beside) if index < len(one.poses)]
    for one in there:
        if one.session.animal is None:
            _draw_animal(canvas, one, index, size)
        else:
            _draw_one_of_several(canvas, one, index, size)
    plates: list[tuple[int, int, int, int]] = []
    for one in there:
        if one.session.animal is not None:
            _draw_number(canvas, one, index, size, plates)
    when = f"frame {index}" if np.isnan(tables.seconds[index]) else f"{tables.seconds[index]:6.2f} s"
    state = f"   {tables.states[index]}" if tables.session.region is None else ""
    draw_caption(canvas, f"{when}{state}", (18, canvas.shape[0] - 22), _TEXT * size)
    return np.asarray(canvas, np.uint8)


def _draw_animal(canvas: Any, tables: SessionTables, index: int, size: float) -> None:
    """Draw an animal in a frame: box, keypoints and trail, and its region with name and state."""
    _draw_trail(canvas, tables.poses[_trail_start(tables.seconds, index) : index + 1, :, :2], _TRAIL_COLOUR)
    if np.isfinite(tables.boxes[index]).all():
        draw_box(canvas, _box(tables, index), _SCALE)
    colours, radii = palette(len(tables.keypoint_names)), [round(_RADIUS_PX * size)] * len(tables.keypoint_names)
    _draw_keypoints(canvas, tables.poses[index], colours, radii)
    if outline := tables.session.outline:
        draw_outline(canvas, outline, _SCALE, round(2 * size), _WHITE)
        x, y = (round(_SCALE * min(values)) for values in zip(*outline, strict=True))
        place = (x + round(12 * size), y + round(36 * size))
        draw_caption(canvas, f"{tables.session.region} {tables.states[index]}", place, _TEXT * size)


def _draw_one_of_several(canvas: Any, tables: SessionTables, index: int, size: float) -> None:
    """Draw one of several animals in a frame in its colour; nothing while it is missing."""
    if not np.isfinite(tables.boxes[index]).all():
        return
    number = tables.session.animal or 0
    colour, box = _colour_of_animal(number), _box(tables, index)
    since = _trail_start(tables.seconds, index)
    gaps = np.flatnonzero(
        np.isnan(tables.boxes[since:index, 0]) & [state != "" for state in tables.states[since:index]]
    )
    since += int(gaps[-1]) + 1 if len(gaps) else 0  # a line over a gap would show a way that nobody has seen
    _draw_trail(canvas, tables.poses[since : index + 1, :, :2], colour)
    draw_box(canvas, box, _SCALE, colour=colour)
    keypoints = len(tables.keypoint_names)
    radii = [round(_RADIUS_PX * size * (1.0 if k else _FIRST)) for k in range(keypoints)]
    _draw_keypoints(canvas, tables.poses[index], [colour] * keypoints, radii)


def _draw_number(
    canvas: Any, tables: SessionTables, index: int, size: float, plates: list[tuple[int, int, int, int]]
) -> None:
    """Write the number of an animal above or below its box, where no other number is."""
    number = tables.session.animal or 0
    if not np.isfinite(tables.boxes[index]).all():
        return
    x, y, w, h = (round(_SCALE * v) for v in tables.boxes[index])
    text = f"{number} uncertain" if tables.uncertain[index] else str(number)
    left, right = x + round(4 * size), x + w - round(24 * size)
    above, below = y - round(12 * size), y + h + round(30 * size)
    places = [(left, above), (right, above), (left, below), (right, below)]
    place = free_place(canvas, text, places, _TEXT * size, plates)
    draw_caption(canvas, text, place, _TEXT * size, _colour_of_animal(number))


def _box(tables: SessionTables, index: int) -> Box:
    return Box(*(int(v) for v in tables.boxes[index]))


def _draw_keypoints(canvas: Any, pose: Float64, colours: Sequence[Colour], radii: Sequence[int]) -> None:
    for (x, y, likelihood), colour, radius in zip(pose, colours, radii, strict=True):
        if np.isfinite([x, y]).all():
            sure = bool(np.isnan(likelihood) or likelihood >= 0.5)
            draw_keypoint(canvas, _on_canvas(x, y), radius, colour, sure=sure)


def _trail_start(seconds: Float64, index: int) -> int:
    """Return the first frame of the trail. Without times, 30 fps are assumed."""
    if np.isnan(seconds[index]):
        return max(0, index - round(30 * _TRAIL_S))
    recent = seconds[: index + 1] >= seconds[index] - _TRAIL_S  # False for an unknown time
    return int(np.argmax(recent))


def _spread(together: Sequence[SessionTables], count: int, there: Set[int] | None) -> set[int]:
    """Return frames with a pose, evenly spread. If there are none, any frames, which may show the reason.

    Args:
        together: The session, of each region or animal.
        count: Number of frames.
        there: The frames to choose from; None for all.
    """
    every = np.arange(len(together[0].poses))
    every = every if there is None else every[np.isin(every, list(there))]
    posed = [np.flatnonzero(np.isfinite(one.poses[:, :, 0]).any(axis=1)) for one in together]
    with_pose = np.intersect1d(every, np.concatenate(posed))
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


def _draw_trail(canvas: UInt8, trail: Float64, to: Colour) -> None:
    """Draw the path of the mean of the keypoints, fading into the past."""
    finite = np.where(np.isfinite(trail), trail, np.nan)
    means = [row[np.isfinite(row).all(axis=1)].mean(axis=0) for row in finite if np.isfinite(row).all(axis=1).any()]
    overlay = canvas.copy()
    for k, (a, b) in enumerate(pairwise(means)):
        fade = (k + 1) / len(means)
        colour = tuple(round(c * fade + 255 * (1 - fade)) for c in to)
        cv2.line(overlay, _point(*a), _point(*b), colour, 1 + round(4 * fade), cv2.LINE_AA, SHIFT)
    cv2.addWeighted(overlay, 0.75, canvas, 0.25, 0, dst=canvas)


def _small(panel: UInt8) -> UInt8:
    """Return a panel at its final width. Frames at twice their size would need too much memory."""
    width = _panel_width(panel.shape[1], panel.shape[0])
    size = (width, max(1, round(panel.shape[0] * width / panel.shape[1])))
    return np.asarray(cv2.resize(panel, size, interpolation=cv2.INTER_AREA), np.uint8)


def _panel_width(width: int, height: int) -> int:
    return _WIDE_PANEL_WIDTH if width >= _WIDE * height else _PANEL_WIDTH


def _tile(panels: list[UInt8], columns: int, gap: int = 12) -> UInt8:
    height, width = panels[0].shape[:2]
    rows = -(-len(panels) // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 24, np.uint8)
    for k, panel in enumerate(panels):
        y, x = gap + k // columns * (height + gap), gap + k % columns * (width + gap)
        sheet[y : y + height, x : x + width] = panel
    return sheet
