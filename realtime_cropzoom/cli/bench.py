"""``cropzoom bench``: measures how fast this machine is, in about two minutes."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import add_overwrite, add_settings, check_free, settings_given
from realtime_cropzoom.cli.values import a_path, frame_rate, number
from realtime_cropzoom.errors import EXIT_INCOMPLETE, ConfigError, error_text
from realtime_cropzoom.runtime.signals import signals_held_back, stop_on_signals

if TYPE_CHECKING:
    from realtime_cropzoom.bench.measure import Result

_SETTINGS = (
    *("project", "detector", "pose", "crop_size", "crop_ratio", "detector_max_fps", "decoder"),
    *("provider", "precision", "detector_threads", "pose_threads"),
)
_EXPLAINED = """\
cropzoom bench measures how fast this machine is: both networks alone, decoding, and a live run on the
synthetic arena whose poses another process receives. It takes about two minutes.

  cropzoom bench                            the shipped models on the CPU, or on a GPU if there is one
  cropzoom bench --provider cpu --fps 30
  cropzoom bench --project rat_arena --video recording.mp4

Leave the machine alone meanwhile: it says if other programs were busy. It prints a line for the table of
docs/how-to/boards.md. Ctrl-C ends it at once with what was measured.
Exit code 0 if the figures count, 3 if not, 2 for bad input.
"""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    bench = commands.add_parser(
        "bench",
        help="measure how fast this machine is, in two minutes",
        description=_EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bench.add_argument("--seconds", type=number(1, 3600, "seconds"), default=100.0, metavar="S",
                       help="time of all measurements together; the start comes on top (default: 100)")  # fmt: skip
    bench.add_argument("--fps", type=frame_rate, default=100.0, help="frames per second of the live run (default: 100)")
    bench.add_argument("--video", type=a_path, metavar="FILE",
                       help="a recording whose first frames are played in place of the arena, for models that do not "
                       "know its mouse")  # fmt: skip
    bench.add_argument("--json", type=a_path, metavar="FILE", help="write all figures to a file, too")
    add_overwrite(bench)
    bench.add_later(lambda: add_settings(bench, _SETTINGS))
    bench.set_defaults(command=_bench)


def _bench(arguments: argparse.Namespace) -> int:
    _check_json(arguments.json, overwrite=arguments.overwrite)
    with signals_held_back():
        from realtime_cropzoom.bench.measure import Plan, measure
        from realtime_cropzoom.config.resolve import load_settings

    given = {name: value for name, value in settings_given(arguments).items() if name in _SETTINGS}
    plan = Plan(load_settings(given), arguments.seconds, arguments.fps, arguments.video)
    stop = threading.Event()
    stopped_by = stop_on_signals(lambda reason: stop.set())
    result = measure(plan, terminal.say, stop)
    _show(result)
    if arguments.json is not None:
        _write(arguments.json, result)
    if stopped_by:
        return 128 + stopped_by[0]
    return EXIT_INCOMPLETE if result.doubts() else 0


def _check_json(path: Path | None, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before two minutes have passed."""
    if path is None:
        return
    if path.is_dir():
        raise ConfigError(f"--json: {path} is a folder, expected a file such as bench.json")
    if not path.parent.is_dir():
        raise ConfigError(f"--json: {path.parent} is no folder, expected one that exists. Make it, or give another")
    check_free(path, overwrite=overwrite, flag="--json")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ConfigError(f"--json: cannot write into {path.parent}: {error_text(error)}. Give another file") from None


def _show(result: Result) -> None:
    from realtime_cropzoom.bench.table import heading, row, text

    columns = terminal.columns(sys.stdout)
    print("\n".join(terminal.fold(line, columns) for line in text(result).splitlines()))
    print()
    for doubt in result.doubts():
        print(terminal.fold(f"This does not count: {doubt}.", columns))
    if not result.doubts():
        print("Your line for the table in docs/how-to/boards.md, below its columns:")
        print(f"{heading()[0]}\n{row(result)}")  # not folded, so that it can be copied


def _write(path: Path, result: Result) -> None:
    from realtime_cropzoom.bench.table import to_dict
    from realtime_cropzoom.files.atomic import to_json, write_whole

    write_whole(path, to_json(to_dict(result)), "; give another file with --json")
    terminal.say(f"all figures: {path}")
