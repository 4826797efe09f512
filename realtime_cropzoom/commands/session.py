"""What is done with the files that a run has left: ``draw``, ``convert``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

FORMATS = ("nwb", "h5", "parquet", "csv")


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    draw = commands.add_parser("draw", help="draw a session: frames with box, keypoints and trail, or traces over time")
    draw.add_argument("session", type=Path, metavar="SESSION", help="the folder that a run has left, or a pose file")
    draw.add_argument("--traces", action="store_true", help="draw x, y and likelihood over time instead of frames")
    draw.add_argument("--source", help="the recording, where it is not where the run found it")
    draw.add_argument("--frames", type=int, default=6, help="how many frames (6)")
    draw.add_argument("--out", type=Path, help="the PNG (SESSION/frames.png or traces.png)")
    draw.set_defaults(command=_draw)

    convert = commands.add_parser("convert", help="write a session in another format, a row a frame of the video")
    convert.add_argument("run", type=Path, metavar="RUN", help="the folder that a run has left, or a pose file")
    convert.add_argument("--to", choices=FORMATS, required=True, help="NWB, DeepLabCut's H5, or one tidy table")
    convert.add_argument("--out", type=Path, help="the file to write (beside the poses)")
    convert.add_argument("--video", type=Path, help="the recording: its frames, and their times, are the rows")
    convert.add_argument("--fps", type=float, help="frames a second, where there is neither a run nor a video")
    convert.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    convert.set_defaults(command=_convert)


def _draw(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.draw import contact_sheet, write_png
    from realtime_cropzoom.session_table import read_session

    session, name = arguments.session, "traces.png" if arguments.traces else "frames.png"
    path = arguments.out or (session / name if session.is_dir() else session.with_name(f"{session.stem}_{name}"))
    tables = read_session(session)
    if arguments.traces:
        from realtime_cropzoom.traces import write_traces

        write_traces(path, tables)
    else:
        write_png(path, contact_sheet(tables, arguments.frames, source=arguments.source))
    print(path)
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.convert import convert

    print(
        convert(
            arguments.run,
            arguments.to,
            arguments.out,
            video=arguments.video,
            fps=arguments.fps,
            overwrite=arguments.overwrite,
        )
    )
    return 0
