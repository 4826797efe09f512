"""``cropzoom run``: track a source and publish its poses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import add_settings, say_draw, settings_given
from realtime_cropzoom.cli.values import a_path
from realtime_cropzoom.errors import (
    EXIT_BAD_INPUT,
    EXIT_INCOMPLETE,
    ConfigError,
    CropzoomError,
    install_advice,
    pluralize,
)
from realtime_cropzoom.runtime.signals import signals_held_back, stop_on_signals
from realtime_cropzoom.sessions.latest import LATEST, describe_latest, note_session

if TYPE_CHECKING:
    from realtime_cropzoom.config.settings import Settings
    from realtime_cropzoom.pipeline.pipeline import Pipeline


RUN_EXPLAINED = """\
cropzoom run SOURCE tracks the animal in SOURCE and publishes its pose for each frame.

  cropzoom run synthetic:arena                      the built-in arena, with the shipped models
  cropzoom run recording.mp4                        your recording, played as a camera would
  cropzoom run camera:0                             a camera; 'cropzoom cameras' lists all
  cropzoom run rtsp://192.168.1.20/stream1          a stream; docs/how-to/sources.md has all kinds
  cropzoom run recording.mp4 --detector DIR --pose DIR --crop-size 240
                                                    … with your own Lightning Pose models
  cropzoom run camera:0 --project rat_arena         … with the models of your project
  cropzoom run --config configs/openfield.yaml      all settings from a file

Watch it with 'cropzoom listen' in a second terminal.
"""
_STOPPING = "stopping: finishing {files} (usually less than 3 s; a second Ctrl-C does not shorten it) …"
"""Line at the first signal."""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    run = commands.add_parser("run", help="track a source and publish its poses", description=RUN_EXPLAINED,
                              formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    run.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="video, folder of images, camera:0, rtsp://…, or synthetic:arena[,key=value…]",
    )
    run.add_argument("--config", type=a_path, metavar="FILE.yaml", help="settings from a file")
    run.add_argument("--quiet", action="store_true", help="print no progress and no report, only problems")
    run.add_argument("--view", action="store_true", help="show the run in the browser, and print the address")
    run.add_later(lambda: add_settings(run))
    run.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.config.multi_camera import load_cameras
    from realtime_cropzoom.config.resolve import load_settings

    given = settings_given(arguments)
    cameras = None if arguments.config is None else load_cameras(given, arguments.config)
    if cameras is not None:
        from realtime_cropzoom.cli.run_cameras import run_cameras

        return run_cameras(cameras, quiet=arguments.quiet, view=arguments.view)
    settings = load_settings(given, arguments.config)
    if settings.source is None:
        terminal.say(f"{RUN_EXPLAINED}All settings: cropzoom run --help")
        return EXIT_BAD_INPUT
    chosen = _chosen_schedule(given, settings)
    if arguments.view:
        check_view(settings)
    with signals_held_back():
        from realtime_cropzoom.pipeline.pipeline import Pipeline
        from realtime_cropzoom.pipeline.report import nothing_found_line, report

    pipeline = Pipeline(settings)
    stopped_by = stop_pipeline_on_signals(pipeline, quiet=arguments.quiet)
    try:
        pipeline.start()
    except CropzoomError:
        if not stopped_by:
            raise
        terminal.say("cropzoom: stopped")
        return 128 + stopped_by[0]
    if pipeline.folder is not None:
        note_session(pipeline.folder)
    if not arguments.quiet:
        terminal.say("\n".join([*chosen, *pipeline.notes]))
    try:
        with show_view(pipeline.endpoints[:1]) if arguments.view else nullcontext():
            watch_pipeline(pipeline, quiet=arguments.quiet)
            summary = pipeline.join()
    finally:
        if pipeline.summary and not arguments.quiet:
            columns = terminal.columns(sys.stdout)
            print(terminal.fold(report(pipeline.summary, columns=columns), columns))
    for problem in summary["problems"]:
        terminal.say(f"cropzoom: {problem}")
    if not arguments.quiet and Path(summary["folder"]).exists():
        say_draw(Path(summary["folder"]), summary["source"])
    if stopped_by:
        return 128 + stopped_by[0]
    if (nothing := nothing_found_line(summary)) is not None:
        if arguments.quiet:  # otherwise the report says it
            terminal.say(f"cropzoom: {nothing}")
        return EXIT_INCOMPLETE
    return EXIT_INCOMPLETE if summary["problems"] else 0


def _chosen_schedule(given: Mapping[str, Any], settings: Settings) -> list[str]:
    """Return a line about the box file that ``--schedule latest`` stands for."""
    asked = given.get("schedule")
    if asked is None or settings.schedule is None or LATEST not in Path(asked).parts:
        return []
    return [describe_latest(asked, settings.schedule)]


def stop_pipeline_on_signals(pipeline: Pipeline, *, quiet: bool) -> list[int]:
    """Stop the run on each signal that ends a process, and say at the first one what happens now.

    Returns:
        The numbers of the signals that came, in order; it grows when one comes.
    """

    def stop(reason: str) -> None:
        is_first = not pipeline.control.stop.is_set()
        pipeline.stop(reason)
        if is_first and not quiet:
            is_recorded = pipeline.settings.recording or pipeline.settings.record == "copy"
            terminal.say(_STOPPING.format(files="the recording and the files" if is_recorded else "the files"))

    return stop_on_signals(stop)


def check_view(*cameras: Settings) -> None:
    """Check before a run begins that its page can be shown.

    Raises:
        ConfigError: if a library is missing, a run publishes nothing, or it needs a key.
    """
    missing = lacks_view()
    if missing is not None:
        raise ConfigError(install_advice(missing))
    for settings in cameras:
        if settings.publish == "none":
            raise ConfigError("--view: the run publishes nothing that could be shown; let it publish, or show no page")
        if settings.key_folder is not None:
            raise ConfigError("--view: the run asks for a key; start 'cropzoom view' with a key file beside it instead")


def lacks_view() -> str | None:
    """Return a library that the page needs and that is not installed; None if all are."""
    return next((name for name in ("uvicorn", "starlette", "websockets") if find_spec(name) is None), None)


def show_view(endpoints: Sequence[str]) -> AbstractContextManager[object]:
    """Start the page of runs in a process of its own, which ends with the ``with`` block."""
    from realtime_cropzoom.view.beside import ViewBeside

    if not endpoints:
        terminal.say("no page: the run publishes nothing")
        return nullcontext()
    return ViewBeside(endpoints, terminal.say)


def watch_pipeline(pipeline: Pipeline, *, quiet: bool) -> None:
    """Show a line of progress each second until the run ends. On a terminal it replaces the last one."""
    is_writing = False
    while not pipeline.control.stop.is_set() and not pipeline.wait(1.0):
        if quiet:
            continue
        left = pipeline.frames_to_record()
        if left is None:
            terminal.show([_progress(pipeline)])
        elif terminal.is_live() or not is_writing:
            terminal.show([f"writing the recording: {pluralize(left, 'frame')} left"])
            is_writing = True
    terminal.keep()


def _progress(pipeline: Pipeline) -> str:
    from realtime_cropzoom.pipeline.report import expected_frame_count, progress_line

    settings = pipeline.settings
    return progress_line(
        pipeline.progress(),
        expected_frame_count(pipeline.info.frame_count, settings.frames),
        terminal.columns(),
        lockstep=settings.pace == "fast",
        scheduled=settings.schedule is not None,
    )
