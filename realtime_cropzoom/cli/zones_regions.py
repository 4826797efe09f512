"""``cropzoom zones --regions``: writes the regions of a run into a file, and draws them over a frame."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import check_free, say_next
from realtime_cropzoom.config.regions import RegionShape, read_regions
from realtime_cropzoom.errors import ConfigError, pluralize
from realtime_cropzoom.files.atomic import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from realtime_cropzoom.types import UInt8

_HEAD = """\
# Regions of a frame, with one animal each: cropzoom run SOURCE --regions THIS_FILE
# Rectangles are [left, top, width, height] in frame pixels, polygons [[x, y], …]. Names are yours.
"""


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
    if not (1 <= columns <= 64 and 1 <= rows <= 64) or spec.count("x") != 1:
        raise ConfigError(f"--grid: got {spec}, expected COLUMNSxROWS such as 4x2")
    w, h = width // columns, height // rows
    return {
        f"box{i + 1}": RegionShape(rectangle_px=(i % columns * w, i // columns * h, w, h))
        for i in range(columns * rows)
    }


def regions_text(shapes: Mapping[str, RegionShape]) -> str:
    """Return the text of a file of regions."""
    lines = []
    for name, shape in shapes.items():
        ((kind, numbers),) = shape.plain().items()
        lines.append(f"  {name}: {{{kind}: {_flow(numbers)}}}\n")
    return f"{_HEAD}regions:\n{''.join(lines)}"


def _flow(numbers: object) -> str:
    if isinstance(numbers, list | tuple):
        return f"[{', '.join(map(_flow, numbers))}]"
    return f"{numbers:g}"


def _drawn(image: UInt8) -> dict[str, RegionShape]:
    """Let the user draw one region after another, until a window is closed without one."""
    from realtime_cropzoom.trigger.process.zone_editor import draw_corners

    shapes: dict[str, RegionShape] = {}
    while True:
        terminal.say(f"draw region box{len(shapes) + 1}, then close the window; close it without corners when done")
        drawn = [shape.corners for shape in shapes.values()]
        corners = draw_corners(image, drawn)
        if not corners:
            break
        edges = tuple((float(max(0, round(x + 0.5))), float(max(0, round(y + 0.5)))) for x, y in corners)
        shapes[f"box{len(shapes) + 1}"] = RegionShape(polygon_px=edges)
    if not shapes:
        raise ConfigError("no region was drawn; nothing is written")
    return shapes


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
