"""``cropzoom latency``: measures the latency of the closed loop."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli.common import add_settings, settings_given
from realtime_cropzoom.cli.values import a_path, frame_rate, whole
from realtime_cropzoom.errors import EXIT_INCOMPLETE, ConfigError

if TYPE_CHECKING:
    from realtime_cropzoom.latency.report import LatencyReport

_SETTINGS = (
    *("project", "detector", "pose", "crop_size", "crop_ratio", "detector_max_fps", "max_lag", "decoder"),
    *("provider", "precision", "detector_threads", "pose_threads"),
)
_EXPLAINED = """\
cropzoom latency measures the time from a captured frame to a trigger output that is written.

  cropzoom latency                          the software loop, with a simulated trigger board
  cropzoom latency --serial /dev/ttyACM0    the same with your board
  cropzoom latency --led camera:0 --serial /dev/ttyACM0
                                            the hardware: the camera sees a light that the board switches

docs/how-to/measure-latency.md says what is measured, and how to write it into a paper.
"""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    latency = commands.add_parser("latency", help="measure the loop, from frame to trigger output",
                                  description=_EXPLAINED,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    latency.add_argument("--trials", type=whole(1, 1_000_000), default=100, help="trials per condition (default: 100)")
    latency.add_argument("--fps", type=frame_rate, default=100.0, help="frames per second (default: 100)")
    latency.add_argument("--size", default="640x480", help="frame size (default: 640x480)")
    latency.add_argument("--busy", type=whole(0, 10_000),
                         help="processes that each keep a core busy in the conditions under load (default: the number "
                         "of cores); 0 leaves these conditions out")  # fmt: skip
    latency.add_argument("--serial", metavar="PORT", help="a trigger board, such as /dev/ttyACM0 or COM3")
    latency.add_argument("--led", metavar="SOURCE", help="measure the hardware, with a camera that sees a light")
    latency.add_argument(
        "--channel", type=whole(0, 255), default=1, help="the board's channel that switches the light (default: 1)"
    )
    latency.add_argument("--out", type=a_path, default=Path("latency"), help="folder for the measurement's own folder")
    latency.add_later(lambda: add_settings(latency, _SETTINGS))
    latency.set_defaults(command=_latency)


def _latency(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.sessions.folder import make_session_folder

    if arguments.trials < 1:
        raise ConfigError(f"--trials: got {arguments.trials}, expected 1 or more")
    if arguments.led is not None and arguments.serial is None:
        raise ConfigError("--led needs the board that switches the light; give its port with --serial")

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    if arguments.led is not None:
        from realtime_cropzoom.latency.hardware import measure_and_report as measure_hardware

        folder = make_session_folder(arguments.out, "light")
        board = {"serial": arguments.serial, "channel": arguments.channel}
        return _print(measure_hardware(arguments.led, board, arguments.trials, folder, say))
    from realtime_cropzoom.latency.software import Plan, measure_and_report
    from realtime_cropzoom.runtime.tuning import usable_cores

    size = _size(arguments.size)
    given = {name: value for name, value in settings_given(arguments).items() if name in _SETTINGS}
    flags = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    busy = usable_cores() if arguments.busy is None else arguments.busy
    folder = make_session_folder(arguments.out, "loop")
    plan = Plan(folder, arguments.trials, arguments.fps, size, busy, arguments.serial, tuple(flags))
    return _print(measure_and_report(plan, say))


def _print(report: LatencyReport) -> int:
    print(report.text)
    for problem in report.problems:
        print(f"cropzoom: {problem}", file=sys.stderr)
    return EXIT_INCOMPLETE if report.problems else 0


def _size(text: str) -> tuple[int, int]:
    width, x, height = text.partition("x")
    if not (x and width.isdigit() and height.isdigit()):
        raise ConfigError(f"--size: got {text!r}, expected WIDTHxHEIGHT such as 640x480")
    return int(width), int(height)
