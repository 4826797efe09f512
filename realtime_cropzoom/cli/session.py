"""Commands for the files of a run: ``draw``, ``convert``, ``compare``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import add_overwrite, check_free, say_next
from realtime_cropzoom.cli.values import a_path, a_session, frame_rate, number, some_text, whole
from realtime_cropzoom.errors import EXIT_INCOMPLETE, ConfigError, quoted

_SESSION = "folder of a run, 'latest' for the newest one, or a pose file"
FORMATS = ("nwb", "h5", "parquet", "csv", "rrd")


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    draw = commands.add_parser("draw", help="draw a session: frames with box, keypoints and trail, or traces over time")
    draw.add_argument("session", type=a_session, metavar="SESSION", help=_SESSION)
    draw.add_argument("--traces", action="store_true", help="draw x, y and likelihood over time instead of frames")
    draw.add_argument("--source", type=some_text, help="the recording, if it is not where the run found it")
    draw.add_argument("--frames", type=whole(1, (1 << 63) - 1), default=6, help="number of frames (default: 6)")
    draw.add_argument(
        "--out", type=a_path, help="PNG to write (default: SESSION/frames.png or traces.png, which are replaced)"
    )
    add_overwrite(draw)
    draw.set_defaults(command=_draw)

    convert = commands.add_parser("convert", help="convert a session to another format, one row per frame of the video")
    convert.add_argument("run", type=a_session, metavar="SESSION", help=_SESSION)
    convert.add_argument(
        "--to",
        choices=FORMATS,
        required=True,
        help="NWB, H5 of DeepLabCut, one tidy table, or a file for the Rerun viewer",
    )
    convert.add_argument("--out", type=a_path, help="file to write (default: next to the poses)")
    convert.add_argument(
        "--video",
        type=a_path,
        help="the recording, whose frames and times are the rows (default: the one that predict or pipeline noted)",
    )
    convert.add_argument("--fps", type=frame_rate, help="frames per second, if there is neither a run nor a video")
    convert.add_argument(
        "--calibration", type=a_path, help="pixels to cm, if the run had no calibration: csv and parquet"
    )
    convert.add_argument("--overwrite", action="store_true", help="replace an existing file")
    convert.set_defaults(command=_convert)

    compare = commands.add_parser(
        "compare", help="measure how far two runs over the same frames differ, or one from another program"
    )
    compare.add_argument("a", type=a_session, metavar="A", help=_SESSION)
    compare.add_argument(
        "b", type=a_session, nargs="?", metavar="B", help="another session, such as the replay of its recording"
    )
    compare.add_argument(
        "--against", type=a_path, metavar="PREDICTIONS",
        help="instead of B: predictions of the same video by the program that trained the model. SLEAP .slp or .h5, "
        "DeepLabCut .csv or .h5, Lightning Pose .csv, or a table of points (CSV), as of Ultralytics",
    )  # fmt: skip
    compare.add_argument(
        "--out", type=a_path, metavar="PNG",
        help="figure to write, with a CSV next to it (default: B/compare.png; none with --against)",
    )  # fmt: skip
    compare.add_argument("--json", action="store_true", help="print the numbers as JSON")
    compare.add_argument(
        "--max-px", type=number(0, 1e9, "pixels"), metavar="PX", help="exit with 3 if a keypoint differs by more"
    )
    add_overwrite(compare)
    compare.set_defaults(command=_compare)


def _draw(arguments: argparse.Namespace) -> int:
    if arguments.traces:  # first: a library may be missing
        from realtime_cropzoom.plots.traces import write_traces
    from realtime_cropzoom.plots.image_files import write_png
    from realtime_cropzoom.plots.session_pictures import contact_sheet
    from realtime_cropzoom.sessions.files import region_files
    from realtime_cropzoom.sessions.table import read_session

    session, name = arguments.session, "traces.png" if arguments.traces else "frames.png"
    check_free(arguments.out, overwrite=arguments.overwrite)
    path = arguments.out or (session / name if session.is_dir() else session.with_name(f"{session.stem}_{name}"))
    regions = region_files(session) if session.is_dir() else []
    if regions and arguments.traces:
        for poses in regions:
            write_traces(traces := poses.with_name(f"{poses.stem}_traces.png"), read_session(poses))
            print(traces)
        return 0
    tables, *beside = [read_session(poses) for poses in regions or [session]]
    if arguments.traces:
        write_traces(path, tables)
    else:
        write_png(path, contact_sheet(tables, arguments.frames, source=arguments.source, beside=beside))
    print(path)
    say_next(*(("convert", session, "--to", "csv") if arguments.traces else ("draw", session, "--traces")))
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    if arguments.to == "rrd":
        return _convert_to_rerun(arguments)
    from realtime_cropzoom.sessions.convert import convert

    path = convert(
        arguments.run,
        arguments.to,
        arguments.out,
        video=arguments.video if arguments.video or arguments.fps else _video_of_note(arguments.run),
        fps=arguments.fps,
        overwrite=arguments.overwrite,
        calibration=arguments.calibration,
    )
    print(path)
    say_next("draw", arguments.run, "--traces")
    return 0


def _convert_to_rerun(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.view.rerun_file import export_rerun

    for flag, value in (("--fps", arguments.fps), ("--calibration", arguments.calibration)):
        if value is not None:
            raise ConfigError(f"convert --to rrd: got {flag}, which it does not use. Leave it out")
    path, pictures = export_rerun(arguments.run, arguments.out, video=arguments.video, overwrite=arguments.overwrite)
    terminal.say(f"pictures: {pictures}" if not pictures.startswith("no pictures") else pictures)
    print(path)
    return 0


def _video_of_note(run: Path) -> str | None:
    """Return the source of predictions, from the note next to them; None for a live session, or if it is unknown."""
    from realtime_cropzoom.sessions.files import Session, find_video

    session = Session.open(run)
    noted = None if session.live else session.source
    if noted is None:
        return None
    if find_video(noted, session.poses) != noted:
        terminal.say(
            f"WARNING: {session.poses} was made from {noted}, which is not there: frame times are unknown. "
            "Give the video with --video, or its rate with --fps"
        )
        return None
    terminal.say(f"frame times from {noted}")
    return noted


def _compare(arguments: argparse.Namespace) -> int:
    against, out = arguments.against, arguments.out
    if draws := against is None or out is not None:  # first: a library may be missing
        from realtime_cropzoom.plots.comparison import write_comparison
    from realtime_cropzoom.sessions.compare import compare, describe

    if (arguments.b is None) == (against is None):
        raise ConfigError("compare: expected one of B and --against. Give another session, or a file of predictions")
    b = against or arguments.b
    if out is not None:  # the table next to it could overwrite the poses of b
        check_free(out, out.with_suffix(".csv"), overwrite=arguments.overwrite)
    comparison = compare(arguments.a, b, foreign=against is not None)
    summary = comparison.summary()
    print(json.dumps(summary, indent=2) if arguments.json else describe(summary))
    if draws and not comparison.identical:
        png = out or (b / "compare.png" if b.is_dir() else b.with_name(f"{b.stem}_compare.png"))
        csv = write_comparison(png, comparison)
        if not arguments.json:
            print(f"\n{png}\n{csv}")
            say_next("draw", arguments.a if against else b, "--traces")
    return _judge(summary, arguments.max_px)


def _judge(summary: dict[str, Any], max_px: float | None) -> int:
    """Return the exit code, and say in one line if a keypoint differs by more than ``max_px``."""
    if max_px is None or summary["all"]["max"] <= max_px:
        return 0
    worst = summary["worst_frames"][0]
    terminal.say(
        f"cropzoom: {quoted(worst['keypoint'])} differs by {worst['px']:.3g} px in frame {worst['frame']}, more than "
        f"{max_px:g} px"
    )
    return EXIT_INCOMPLETE
