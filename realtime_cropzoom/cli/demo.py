"""``cropzoom demo``: track the built-in arena, with a subscriber, a report and a picture."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import say_next
from realtime_cropzoom.cli.run import check_view, lacks_view, show_view, stop_pipeline_on_signals, watch_pipeline
from realtime_cropzoom.cli.values import a_path
from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.runtime.signals import signals_held_back

if TYPE_CHECKING:
    from realtime_cropzoom.pipeline.pipeline import Pipeline


def register(commands: Any) -> None:
    """Add the command to the parser."""
    demo = commands.add_parser("demo", help="track the built-in arena, with a subscriber, a report and a picture")
    demo.add_argument("--out", type=a_path, default=Path("sessions"), help="folder for the session folder")
    demo.add_argument("--source", help="another arena, such as synthetic:arena,fps=100,seed=3")
    demo.add_argument("--view", action="store_true", help="show it in the browser, and print the address")
    demo.set_defaults(command=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.cli.demo_run import SOURCE, demo, make_pipeline

    source = arguments.source or SOURCE
    pipeline = make_pipeline(arguments.out, source)
    if arguments.view:
        check_view(pipeline.settings)
    stopped_by = stop_pipeline_on_signals(pipeline, quiet=False)
    columns = terminal.columns(sys.stdout)
    try:
        with ExitStack() as stack:
            watch = partial(_watch, stack=stack, view=arguments.view)
            text = demo(pipeline, source, say=terminal.say, watch=watch, columns=columns)
    except CropzoomError:
        if not stopped_by:
            raise
        terminal.say("cropzoom: stopped")
    else:
        print(terminal.fold(text, columns))
        say_next("draw", pipeline.folder)
        say_next(*_afterwards(pipeline.folder, shown=arguments.view))
    return 128 + stopped_by[0] if stopped_by else 0


def _afterwards(folder: Path | None, *, shown: bool) -> tuple[object, ...]:
    """Return what comes after a demo: its page, the same demo with its page, or cameras where no page can be shown."""
    if lacks_view() is not None:
        return ("cameras",)
    return ("view", folder) if shown else ("demo", "--view")


def _watch(pipeline: Pipeline, *, stack: ExitStack, view: bool) -> None:
    """Show progress until the run ends, and with ``view`` the page, which stays until ``stack`` is closed."""
    if view:
        stack.enter_context(show_view(pipeline.endpoints[:1]))
    watch_pipeline(pipeline, quiet=False)
