"""What a run has left: ``draw``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    draw = commands.add_parser("draw", help="draw frames of a session with box, keypoints and trail")
    draw.add_argument("session", type=Path, metavar="SESSION", help="the folder that a run has left")
    draw.add_argument("--source", help="the recording, where it is not where the run found it")
    draw.add_argument("--frames", type=int, default=6, help="how many frames (6)")
    draw.add_argument("--out", type=Path, help="the PNG (SESSION/frames.png)")
    draw.set_defaults(command=_draw)


def _draw(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.draw import contact_sheet, read_session, write_png

    path = arguments.out or arguments.session / "frames.png"
    write_png(path, contact_sheet(read_session(arguments.session), arguments.frames, source=arguments.source))
    print(path)
    return 0
