"""``cropzoom demo``: track the built-in arena, with a subscriber, a report and a picture."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import say_next
from realtime_cropzoom.cli.run import stop_pipeline_on_signals, watch_pipeline
from realtime_cropzoom.cli.values import a_path
from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.runtime.signals import signals_held_back


def register(commands: Any) -> None:
    """Add the command to the parser."""
    demo = commands.add_parser("demo", help="track the built-in arena, with a subscriber, a report and a picture")
    demo.add_argument("--out", type=a_path, default=Path("sessions"), help="folder for the session folder")
    demo.add_argument("--source", help="another arena, such as synthetic:arena,fps=100,seed=3")
    demo.set_defaults(command=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.cli.demo_run import SOURCE, demo, make_pipeline

    source = arguments.source or SOURCE
    pipeline = make_pipeline(arguments.out, source)
    stopped_by = stop_pipeline_on_signals(pipeline, quiet=False)
    columns = terminal.columns(sys.stdout)
    try:
        text = demo(pipeline, source, say=terminal.say, watch=partial(watch_pipeline, quiet=False), columns=columns)
    except CropzoomError:
        if not stopped_by:
            raise
        terminal.say("cropzoom: stopped")
    else:
        print(terminal.fold(text, columns))
        say_next("draw", pipeline.folder)
    return 128 + stopped_by[0] if stopped_by else 0
