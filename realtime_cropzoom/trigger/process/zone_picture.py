"""Picture of the zones over a frame, with the path of the animal and the places where rules fired."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon as Patch

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.plots.overlay import figure_palette
from realtime_cropzoom.trigger.rules import zones
from realtime_cropzoom.trigger.rules.rules import ZoneShape
from realtime_cropzoom.types import Float64, UInt8

ZONES_DPI = 130
"""Resolution of the picture. It is ten inches wide, so that a frame of 640 pixels is shown at twice its size."""
_CIRCLE_CORNERS = 96
"""Number of corners with which a circle is drawn."""
_PATH = "#0072b2"
"""Colour of the path of one animal."""
_PARTS_PER_SIDE = 24
"""Number of parts of a side. A lens or a homography bends it."""


class FrameMap(Protocol):
    """Conversion from arena coordinates to frame pixels."""

    def to_frame(self, xy: Float64) -> Float64:
        """Convert (n, 2) points in cm to (n, 2) frame pixels."""
        ...


@dataclass(frozen=True, slots=True)
class Fired:
    """A position at which a rule fired."""

    rule: str
    x: float
    """Frame pixels."""
    y: float


def outline(shape: ZoneShape, arena: FrameMap | None) -> Float64:
    """Return the outline of a zone as (n, 2) frame pixels.

    Raises:
        ConfigError: if the zone is in cm and there is no calibration.
    """
    corners = np.array(list(_corners(shape.shape())), np.float64)
    if not shape.in_cm:
        return corners
    if arena is None:
        raise ConfigError("a zone is in cm, but there is no calibration; give calibration: in the rules file")
    return arena.to_frame(corners)


def check_inside(shapes: Mapping[str, ZoneShape], arena: FrameMap | None, width: int, height: int) -> list[str]:
    """Return a line for each zone that is outside of the frame or reaches beyond it."""
    lines = []
    for name, shape in shapes.items():
        points = outline(shape, arena)
        inside = ((points >= 0) & (points <= (width, height))).all(axis=1)
        if not inside.any():
            lines.append(f"zone {name} lies outside of the frame, which is {width}x{height}")
        elif not inside.all():
            lines.append(f"zone {name} reaches beyond the frame, which is {width}x{height}")
    return lines


def draw_zones(
    image: UInt8,
    shapes: Mapping[str, ZoneShape],
    arena: FrameMap | None,
    paths: Mapping[str | None, Float64] | None = None,
    fired: Sequence[Fired] = (),
) -> Figure:
    """Return the picture.

    Args:
        image: The frame, RGB.
        shapes: The zones by name.
        arena: The calibration; None if no zone is in cm.
        paths: Path of each animal by its name or region, None for one in the whole frame: (n, 2) frame pixels, with a
            gap where a value is not finite.
        fired: Positions at which rules fired.
    """
    height, width = image.shape[:2]
    figure = Figure(figsize=(10, 10 * height / width + 0.5), layout="constrained")
    axes = figure.subplots()
    axes.imshow(image, interpolation="nearest")
    colours = figure_palette(len(shapes) + len(paths or ()))
    _draw_paths(axes, paths or {}, colours[len(shapes) :])
    _draw_outlines(axes, {name: outline(shape, arena) for name, shape in shapes.items()})
    _draw_fired(axes, fired)
    if paths or fired:
        axes.legend(loc="upper right", framealpha=0.85)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xlabel="x (px)", ylabel="y (px)")
    return figure


def _draw_paths(axes: Axes, paths: Mapping[str | None, Float64], colours: Sequence[tuple[float, float, float]]) -> None:
    for (name, path), colour in zip(paths.items(), colours, strict=True):
        x, y = path.T
        axes.plot(x, y, color="white", linewidth=2.2, alpha=0.6)
        label = "mean of the keypoints" + ("" if name is None else f" of {name}")
        axes.plot(x, y, color=_PATH if len(paths) == 1 else colour, linewidth=1.0, alpha=0.9, label=label)


def _draw_outlines(axes: Axes, outlines: Mapping[str, Float64]) -> None:
    for (name, points), colour in zip(outlines.items(), figure_palette(len(outlines)), strict=True):
        axes.add_patch(Patch(points, facecolor=(*colour, 0.22), edgecolor=colour, linewidth=2))
        x, y = points.mean(axis=0)
        label = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5}
        axes.text(x, y, name, color=colour, ha="center", va="center", fontsize=11, weight="bold", bbox=label)


def _draw_fired(axes: Axes, fired: Sequence[Fired]) -> None:
    rules = sorted({f.rule for f in fired})
    for rule, marker in zip(rules, "ov^sD*Pp" * (1 + len(rules) // 8), strict=False):
        places = np.array([(f.x, f.y) for f in fired if f.rule == rule])
        x, y = places.T
        label = f"{rule} fired ({len(places)})"
        axes.scatter(x, y, s=70, marker=marker, color="#d55e00", edgecolors="white", alpha=0.6, zorder=3, label=label)


def _corners(zone: zones.Zone) -> Iterator[tuple[float, float]]:
    """Yield points along the outline, close together, so that it can be bent."""
    if isinstance(zone, zones.Circle):
        for k in range(_CIRCLE_CORNERS):
            turn = 2 * math.pi * k / _CIRCLE_CORNERS
            yield zone.x + zone.radius * math.cos(turn), zone.y + zone.radius * math.sin(turn)
        return
    corners: Any
    if isinstance(zone, zones.Rectangle):
        x, y, w, h = zone.x, zone.y, zone.w, zone.h
        corners = ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
    else:
        assert isinstance(zone, zones.Polygon)
        corners = zone.corners
    for (ax, ay), (bx, by) in zip(corners, (*corners[1:], corners[0]), strict=True):
        for k in range(_PARTS_PER_SIDE):
            part = k / _PARTS_PER_SIDE
            yield ax + part * (bx - ax), ay + part * (by - ay)
