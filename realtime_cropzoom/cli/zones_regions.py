"""``cropzoom zones --regions``: writes the regions of a run into a file, and draws them over a frame."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import check_free, say_next
from realtime_cropzoom.config.regions import MAX_REGIONS, RegionShape, read_regions
from realtime_cropzoom.errors import ConfigError, pluralize
from realtime_cropzoom.files.atomic import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from realtime_cropzoom.types import UInt8

_HEAD = """\
# Regions of a frame, with one animal each: cropzoom run SOURCE --regions THIS_FILE
# Rectangles are [left, top, width, height] in frame pixels, polygons [[x, y], …]. Names are yours.
# frame_px is the [width, height] of the frame on which a region was drawn: a run over other frames refuses it.
"""


_WITHOUT_WINDOW = (
    "write the regions into the file, or make equal rectangles with --grid 4x2; see them with 'cropzoom zones FILE "
    "FRAME --regions'"
)
"""What to do where no window can be opened."""


def regions_command(arguments: argparse.Namespace) -> int:
    """Do what ``cropzoom zones --regions`` asks: make the regions if that is asked for, and draw them.

    Args:
        arguments: The arguments of the command.

    Raises:
        ConfigError: if the regions cannot be used for this frame.
    """
    from realtime_cropzoom.plots.image_files import write_figure
    from realtime_cropzoom.sources.first_frame import read_first_frame
    from realtime_cropzoom.trigger.process.zone_picture import ZONES_DPI

    path: Path = arguments.rules
    makes = arguments.draw or arguments.grid is not None
    out = arguments.out or path.with_suffix(".png")
    check_free(path if makes else None, arguments.out, overwrite=arguments.overwrite)
    image = read_first_frame(arguments.frame, arguments.at)
    height, width = image.shape[:2]
    if makes:
        shapes = _drawn(image) if arguments.draw else grid(arguments.grid, width, height)
        _check(shapes, width, height)
        write_whole(path, regions_text(shapes).encode())
        print(path)
    shapes = {name: RegionShape.model_validate(shape) for name, shape in read_regions(path).items()}
    _check(shapes, width, height)
    write_figure(out, _picture(image, shapes), dpi=ZONES_DPI)
    print(out)
    terminal.say(f"{pluralize(len(shapes), 'region')}: {', '.join(shapes)}. Look at the picture, then:")
    say_next("run", arguments.frame, "--regions", path)
    return 0


def grid(spec: str, width: int, height: int) -> dict[str, RegionShape]:
    """Return equal rectangles that cover a frame, box1, box2 … row by row.

    Args:
        spec: COLUMNSxROWS.
        width: Width of the frame (pixels).
        height: Height of the frame (pixels).

    Raises:
        ConfigError: if ``spec`` is not of that form.
    """
    columns, rows = (int(part) if part.isascii() and part.isdigit() else 0 for part in (*spec.split("x"), "", "")[:2])
    if not 1 <= columns * rows <= MAX_REGIONS or spec.count("x") != 1:
        raise ConfigError(f"--grid: got {spec}, expected COLUMNSxROWS such as 4x2, at most {MAX_REGIONS} regions")
    w, h = width // columns, height // rows
    return {
        f"box{i + 1}": RegionShape(rectangle_px=(i % columns * w, i // columns * h, w, h), frame_px=(width, height))
        for i in range(columns * rows)
    }


def regions_text(shapes: Mapping[str, RegionShape]) -> str:
    """Return the text of a file of regions."""
    lines = []
    for name, shape in shapes.items():
        entries = (f"{kind}: {_flow(numbers)}" for kind, numbers in shape.plain().items())
        lines.append(f"  {name}: {{{', '.join(entries)}}}\n")
    return f"{_HEAD}regions:\n{''.join(lines)}"


def _flow(numbers: object) -> str:
    if isinstance(numbers, list | tuple):
        return f"[{', '.join(map(_flow, numbers))}]"
    return f"{numbers:g}"


def _drawn(image: UInt8) -> dict[str, RegionShape]:
    """Let the user draw one region after another, until a window is closed without one.

    A region that no run would take is drawn again; those before it are kept.
    """
    from realtime_cropzoom.trigger.process.zone_editor import draw_corners

    height, width = image.shape[:2]
    shapes: dict[str, RegionShape] = {}
    while len(shapes) < MAX_REGIONS:
        name = f"box{len(shapes) + 1}"
        terminal.say(f"draw region {name}, then close the window; close it without corners when done")
        corners = draw_corners(image, [shape.corners for shape in shapes.values()], _WITHOUT_WINDOW)
        if not corners:
            break
        try:
            shape = _shape(corners, width, height)
            _check({**shapes, name: shape}, width, height)
        except ConfigError as error:
            terminal.say(f"{error}. Draw {name} again")
        else:
            shapes[name] = shape
    if not shapes:
        raise ConfigError("no region was drawn; nothing is written")
    return shapes


def _shape(corners: Sequence[tuple[float, float]], width: int, height: int) -> RegionShape:
    """Return a drawn polygon as a region; what lies beyond the frame is moved to its edge.

    Args:
        corners: Its corners, in pixels whose middles are whole numbers.
        width: Width of the frame (pixels).
        height: Height of the frame (pixels).

    Raises:
        ConfigError: if there are fewer than three.
    """
    if len(corners) < 3:
        raise ConfigError(f"got {pluralize(len(corners), 'corner')}, expected 3 or more")
    edges = tuple((_edge(x, width), _edge(y, height)) for x, y in corners)
    return RegionShape(polygon_px=edges, frame_px=(width, height))


def _edge(middle: float, end: int) -> float:
    return float(min(end, max(0, round(middle + 0.5))))


def _check(shapes: Mapping[str, RegionShape], width: int, height: int) -> None:
    from realtime_cropzoom.pipeline.regions import make_regions
    from realtime_cropzoom.sources.base import SourceInfo

    make_regions(shapes, SourceInfo("frame", width, height, None, None))


def _picture(image: UInt8, shapes: Mapping[str, RegionShape]) -> Figure:
    from realtime_cropzoom.trigger.process.zone_picture import draw_zones
    from realtime_cropzoom.trigger.rules.rules import ZoneShape

    def zone(shape: RegionShape) -> ZoneShape:
        return ZoneShape.model_validate({"polygon_px": [(x - 0.5, y - 0.5) for x, y in shape.corners]})

    return draw_zones(image, {name: zone(shape) for name, shape in shapes.items()}, None)
