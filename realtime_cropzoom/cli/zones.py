"""``cropzoom zones``: draws the zones of rules over a frame."""

from __future__ import annotations

import argparse
from typing import Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import add_overwrite, check_free, say_next
from realtime_cropzoom.cli.values import a_path, seconds, some_text
from realtime_cropzoom.errors import ConfigError


def register(commands: Any) -> None:
    """Add the command to the parser."""
    zones = commands.add_parser("zones", help="draw the zones of rules, or the regions of a run, over a frame")
    zones.add_argument(
        "rules",
        type=a_path,
        metavar="RULES.yaml",
        help="file with zones; outputs and rules may follow later: docs/reference/rules.md",
    )
    zones.add_argument(
        "frame",
        type=some_text,
        metavar="FRAME",
        help="image, recording, synthetic:arena, or camera such as camera:0",
    )
    zones.add_argument(
        "--at", type=seconds, default=0.0, metavar="S", help="recordings: time of the frame (default: 0)"
    )
    zones.add_argument("--draw", action="store_true", help="draw a polygon in a window, and print it as a zone")
    zones.add_argument(
        "--regions",
        action="store_true",
        help="the file is of regions, with one animal each, for 'cropzoom run --regions': draw them; with --draw or "
        "--grid also make them, and write the file",
    )
    zones.add_argument(
        "--grid", type=some_text, metavar="COLUMNSxROWS", help="with --regions: equal rectangles, such as 4x2"
    )
    zones.add_argument(
        "--out", type=a_path, help="picture to write (default: zones.png next to the rules, which is replaced)"
    )
    add_overwrite(zones)
    zones.set_defaults(command=_zones)


def _zones(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.plots.image_files import write_figure
    from realtime_cropzoom.sources.first_frame import read_first_frame
    from realtime_cropzoom.trigger.engine.factory import load_calibration
    from realtime_cropzoom.trigger.process.zone_picture import ZONES_DPI, check_inside, draw_zones
    from realtime_cropzoom.trigger.rules.zones_file import load_zones

    if arguments.regions:
        from realtime_cropzoom.cli.zones_regions import regions_command

        return regions_command(arguments)
    if arguments.grid is not None:
        raise ConfigError("--grid makes regions of a run, and not zones of rules; add --regions")
    if arguments.draw:
        from realtime_cropzoom.trigger.process.zone_editor import draw_by_hand

        print(draw_by_hand(read_first_frame(arguments.frame, arguments.at)))
        return 0
    check_free(arguments.out, overwrite=arguments.overwrite)
    part = load_zones(arguments.rules)
    image = read_first_frame(arguments.frame, arguments.at)
    calibration = load_calibration(part, arguments.rules)
    if calibration is not None:
        calibration.check_frame(image.shape[1], image.shape[0], arguments.frame)
    out = arguments.out or arguments.rules.with_name("zones.png")
    write_figure(out, draw_zones(image, part.zones, calibration), dpi=ZONES_DPI)
    print(out)
    for line in check_inside(part.zones, calibration, image.shape[1], image.shape[0]):
        terminal.say(f"WARNING: {line}")
    if part.is_whole_file:
        say_next("trigger", arguments.rules, "--dry-run")
    else:
        terminal.say("'cropzoom trigger' also needs outputs and rules in this file: docs/reference/rules.md")
    return 0
