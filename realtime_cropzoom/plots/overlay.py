"""Overlay: the colours, keypoints, captions and legends of all pictures."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from realtime_cropzoom.errors import quoted
from realtime_cropzoom.types import Box, UInt8

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # green
    (204, 121, 167),  # pink
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
    (110, 60, 160),  # purple
    (140, 86, 75),  # brown
)
"""The first six are those of Okabe and Ito (2008), which colour-blind readers can distinguish."""
_GOLDEN_TURN = 0.618034
"""Part of the colour circle between two further colours. The golden ratio keeps them apart."""
SHIFT = 4
"""Fractional bits of coordinates in OpenCV, for positions between pixels."""
_REACH_PX = float(1 << 14)
"""Maximum distance of a point from the first pixel. OpenCV does not accept much larger numbers."""
_WHITE_RIM_FROM_PX = 6
_RIM: Colour = (15, 15, 15)
_WHITE: Colour = (255, 255, 255)
_DARK: Colour = (28, 28, 28)
_LIGHT: Colour = (235, 235, 235)
_BOX: Colour = (255, 214, 64)
_BRIGHT = 0.18
"""Luminance of a plate (0 to 1) from which black text on it has more contrast than white."""
_FONT, _FONT_SCALE, _LINE_PX, _MARGIN_PX = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 20, 8
"""Font and sizes of a legend at scale 1."""


def palette(count: int) -> list[Colour]:
    """Return ``count`` distinct RGB colours.

    Keypoint k of a model has colour k in every picture: frames, traces, comparisons, labelled videos and images.
    The colours are readable on white, on a dark animal and on a bright floor.
    """
    return [*_COLOURS, *(_further_colour(k) for k in range(count - len(_COLOURS)))][:count]


def figure_palette(count: int) -> list[tuple[float, float, float]]:
    """Return ``palette(count)`` for Matplotlib: 0 to 1."""
    return [(r / 255, g / 255, b / 255) for r, g, b in palette(count)]


def figure_label(name: str) -> str:
    """Return the name of a keypoint for Matplotlib, which reads ``$`` as mathematics and leaves out ``_hidden``."""
    shown = quoted(name).replace("$", r"\$")
    return repr(shown) if shown.startswith("_") else shown


def _further_colour(k: int) -> Colour:
    hue = (0.15 + k * _GOLDEN_TURN) % 1.0
    saturation, value = ((0.95, 0.6), (0.55, 0.85), (0.8, 0.45))[k % 3]
    r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * r), round(255 * g), round(255 * b)


def draw_keypoint(canvas: Any, at: tuple[float, float], radius: int, colour: Sequence[int], *, sure: bool) -> None:
    """Draw a keypoint: a dot with a dark rim, and a white one if there is room, so that it stands out from any picture.

    Args:
        canvas: Picture (H, W, 3), RGB; changed in place.
        at: x, y in pixels of the canvas; (0, 0) is the middle of the first pixel.
        radius: Radius of the dot without its rims (pixels).
        colour: RGB.
        sure: Whether the model is sure of the keypoint. The dot is hollow if it is not.
    """
    centre, unit = fixed_point(*at), 1 << SHIFT
    if radius >= _WHITE_RIM_FROM_PX:
        rings = [(radius + 3, _RIM, 2), (radius + 2, _WHITE, 2), (radius, tuple(colour), 2)]
    else:
        rings = [(radius + 1, _RIM, 1), (radius, tuple(colour), 1)]  # OpenCV fills a small ring that is thicker
    for size, ring_colour, thickness in rings:
        cv2.circle(canvas, centre, size * unit, ring_colour, -1 if sure else thickness, cv2.LINE_AA, SHIFT)


def draw_bone(canvas: Any, one: tuple[float, float], other: tuple[float, float], width: int = 1) -> None:
    """Draw a line of the skeleton: white, with a dark rim, so that a white animal shows it, too.

    Args:
        canvas: Picture (H, W, 3), RGB; changed in place.
        one: x, y of one end in pixels of the canvas.
        other: The other end.
        width: Width of the white line (pixels).
    """
    for colour, thickness in ((_RIM, width + 2), (_WHITE, width)):
        cv2.line(canvas, fixed_point(*one), fixed_point(*other), colour, thickness, cv2.LINE_AA, SHIFT)


def draw_cross(
    canvas: Any, at: tuple[float, float], side: int, colour: Sequence[int], *, thickness: int = 1, tilted: bool = False
) -> None:
    """Draw a cross with a dark rim.

    Args:
        canvas: Picture (H, W, 3), RGB; changed in place.
        at: x, y in pixels of the canvas; (0, 0) is the middle of the first pixel.
        side: Length of its lines (pixels).
        colour: RGB.
        thickness: Of its lines (pixels).
        tilted: Whether it is an x.
    """
    kind = cv2.MARKER_TILTED_CROSS if tilted else cv2.MARKER_CROSS
    x, y = (round(_within_reach(value)) for value in at)
    cv2.drawMarker(canvas, (x, y), _RIM, kind, side + 2, thickness + 2 * max(1, thickness // 2), cv2.LINE_AA)
    cv2.drawMarker(canvas, (x, y), tuple(colour), kind, side, thickness, cv2.LINE_AA)


def draw_box(canvas: Any, box: Box, scale: float = 1.0, line_px: int = 3, colour: Colour = _BOX) -> None:
    """Draw the outline of a box with a dark rim.

    Args:
        canvas: Picture (H, W, 3), RGB; changed in place.
        box: The box (frame pixels).
        scale: Canvas pixels per frame pixel.
        line_px: Thickness of the line without its rim (pixels).
        colour: RGB of the line.
    """
    corners = [(box.x, box.y), (box.x + box.w, box.y), (box.x + box.w, box.y + box.h), (box.x, box.y + box.h)]
    draw_outline(canvas, corners, scale, line_px, colour)


def draw_outline(
    canvas: Any, corners: Sequence[tuple[float, float]], scale: float, line_px: int, colour: Colour
) -> None:
    """Draw a closed line with a dark rim.

    Args:
        canvas: Picture (H, W, 3), RGB; changed in place.
        corners: x, y of each corner (frame pixels); (0, 0) is the corner of the first pixel.
        scale: Canvas pixels per frame pixel.
        line_px: Thickness of the line without its rim (pixels).
        colour: RGB of the line.
    """
    outline = np.array([fixed_point(x * scale - 0.5, y * scale - 0.5) for x, y in corners], np.int32)
    for line_colour, thickness in ((_RIM, 2 * line_px), (colour, line_px)):
        cv2.polylines(canvas, [outline], True, line_colour, thickness, cv2.LINE_AA, SHIFT)


def fixed_point(x: float, y: float) -> tuple[int, int]:
    """Return canvas pixels as OpenCV expects them with ``shift=SHIFT``. Points far off the canvas come nearer."""
    return round(_within_reach(x) * (1 << SHIFT)), round(_within_reach(y) * (1 << SHIFT))


def _within_reach(value: float) -> float:
    return min(max(value, -_REACH_PX), _REACH_PX)


def draw_caption(canvas: Any, text: str, place: tuple[int, int], size: float, plate: Colour = _DARK) -> None:
    """Write text on a plate, so that it is readable on any picture: white, or black on a bright plate.

    Args:
        canvas: Picture (H, W, 3), RGB; changed in place.
        text: The text.
        place: Lower left corner of the text (pixels). It moves as far as it must for the plate to be in the picture.
        size: Font scale of OpenCV.
        plate: RGB of the plate.
    """
    left, top, right, bottom, x, y = _plate(canvas, text, place, size)
    cv2.rectangle(canvas, (left, top), (right, bottom), plate, -1)
    bright = np.dot((np.array(plate) / 255) ** 2.2, (0.2126, 0.7152, 0.0722)) > _BRIGHT
    cv2.putText(canvas, text, (x, y), _FONT, size, _RIM if bright else _WHITE, 2, cv2.LINE_AA)


def free_place(
    canvas: Any, text: str, places: Sequence[tuple[int, int]], size: float, taken: list[tuple[int, int, int, int]]
) -> tuple[int, int]:
    """Return the first place at which a caption covers no other one; the first of all if there is none.

    Args:
        canvas: Picture (H, W, 3).
        text: The text.
        places: Lower left corners of the text (pixels).
        size: Font scale of OpenCV.
        taken: Left, top, right and bottom of the plates that are there; that of this caption is added.
    """
    plates = [_plate(canvas, text, place, size)[:4] for place in places]

    def is_free(plate: tuple[int, int, int, int]) -> bool:
        left, top, right, bottom = plate
        return not any(left < r and x < right and top < b and y < bottom for x, y, r, b in taken)

    chosen = next((k for k, plate in enumerate(plates) if is_free(plate)), 0)
    taken.append(plates[chosen])
    return places[chosen]


def _plate(canvas: Any, text: str, place: tuple[int, int], size: float) -> tuple[int, int, int, int, int, int]:
    """Return left, top, right and bottom of the plate of a caption in the picture, and x and y of its text."""
    (width, height), below = cv2.getTextSize(text, _FONT, size, 2)
    x = max(4, min(place[0], canvas.shape[1] - width - 4))
    y = max(height + 4, min(place[1], canvas.shape[0] - below - 1))
    return x - 4, y - height - 4, x + width + 4, y + below, x, y


def legend_strip(
    width: int,
    names: Sequence[str],
    scale: float = 1.0,
    *,
    spare_lines: int = 0,
    colours: Sequence[Colour] | None = None,
) -> UInt8:
    """Return a legend: a dark strip with each name next to a dot of its colour.

    Args:
        width: Width of the strip (pixels). Names that do not fit go to further lines.
        names: Names of the keypoints, or of what else has a colour.
        scale: Size of the text; 1 is 20 px per line.
        spare_lines: Number of empty lines above the names.
        colours: RGB of each name; None for the colours of keypoints.

    Returns:
        The strip, (H, width, 3) RGB.
    """
    font, line_px, margin = _FONT_SCALE * scale, round(_LINE_PX * scale), round(_MARGIN_PX * scale)
    thick = max(1, round(scale))
    places, x, line = [], margin, spare_lines
    names = [quoted(name) for name in names]  # a line break cannot be drawn
    for name in names:
        needed = round(16 * scale) + cv2.getTextSize(name, _FONT, font, thick)[0][0]
        if x > margin and x + needed > width:
            x, line = margin, line + 1
        places.append((x, line))
        x += needed + round(12 * scale)
    strip = np.full(((line + 1) * line_px, width, 3), _DARK[0], np.uint8)
    for name, colour, (x, line) in zip(names, colours or palette(len(names)), places, strict=True):
        middle = line * line_px + line_px // 2
        cv2.circle(strip, (x + round(4 * scale), middle), round(4 * scale), colour, -1, cv2.LINE_AA)
        at = (x + round(13 * scale), middle + round(5 * scale))
        cv2.putText(strip, name, at, _FONT, font, _LIGHT, thick, cv2.LINE_AA)
    return strip


def write_in_strip(strip: UInt8, text: str) -> None:
    """Write text into the first line of a strip of scale 1, in place."""
    cv2.putText(strip, text, (_MARGIN_PX, _LINE_PX - 5), _FONT, _FONT_SCALE, _LIGHT, 1, cv2.LINE_AA)
