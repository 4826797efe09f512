"""Zone editor: a window in which a zone is drawn over a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.widgets import PolygonSelector

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.trigger.rules import zones
from realtime_cropzoom.trigger.rules.rules import ZoneShape
from realtime_cropzoom.trigger.rules.zones_text import zone_entry
from realtime_cropzoom.types import UInt8

_HOW = "click the corners, the first one again to close; drag them to move; close the window when done"
_WITHOUT_WINDOW = "write the corners into the rules file, and see them with 'cropzoom zones RULES FRAME'"
"""What to do where no window can be opened."""


def draw_by_hand(image: UInt8) -> str:
    """Show a frame, let the user draw a polygon on it, and return the line for ``zones:``.

    Raises:
        ConfigError: if no window can be opened, or the polygon is not a zone.
    """
    return zone_line(draw_corners(image))


def draw_corners(
    image: UInt8,
    others: Sequence[Sequence[tuple[float, float]]] = (),
    without_window: str = _WITHOUT_WINDOW,
) -> Sequence[tuple[float, float]]:
    """Show a frame, let the user draw a polygon on it, and return its corners (pixels); none if nothing was drawn.

    Args:
        image: The frame, RGB.
        others: Polygons that are there already, and are shown.
        without_window: What to do where no window can be opened.

    Raises:
        ConfigError: if no window can be opened.
    """
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(num="cropzoom zones")
    if getattr(figure.canvas, "required_interactive_framework", None) is None:
        pyplot.close(figure)
        raise ConfigError(f"no window can be opened here: {without_window}")
    for corners in others:
        axes.fill(*zip(*corners, strict=True), facecolor="none", edgecolor="#d55e00", linewidth=2)
    selector = show(axes, image)
    pyplot.show()
    pyplot.close(figure)
    return list(selector.verts)


def show(axes: Axes, image: UInt8) -> PolygonSelector:
    """Show a frame, and return the tool that draws a polygon on it."""
    axes.imshow(image)
    axes.set_title(_HOW, fontsize=9)
    return PolygonSelector(axes, _nothing_yet, useblit=False)


def _nothing_yet(*_: Any) -> None:
    """Do nothing: the corners are read when the window is closed."""


def zone_line(corners: Sequence[tuple[float, float]]) -> str:
    """Return a polygon as a line of a rules file, in whole pixels.

    Raises:
        ConfigError: if it is not a zone.
    """
    rounded = [[round(x), round(y)] for x, y in corners]
    problem = "has no corners" if not rounded else zones.polygon(rounded).problem()
    if problem:
        raise ConfigError(f"the polygon {problem}; draw it again")
    return f"  {zone_entry('my_zone', ZoneShape.model_validate({'polygon_px': rounded}))}"
