"""``cropzoom check``: tries everything that a run needs, before an experiment."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import add_settings, say_next, settings_given
from realtime_cropzoom.cli.values import a_path
from realtime_cropzoom.errors import EXIT_BAD_INPUT, ConfigError
from realtime_cropzoom.runtime.signals import signals_held_back

if TYPE_CHECKING:
    from realtime_cropzoom.checks.checks import CheckResult
    from realtime_cropzoom.config.settings import Settings

CHECK_EXPLAINED = """\
cropzoom check CONFIG tries everything that 'cropzoom run --config CONFIG' needs:
one line each, green or red.

  cropzoom check configs/openfield.yaml --hours 2
  cropzoom check camera:0 --camera-fps 60           the flags of run work as well

It measures every source for two seconds, loads and times the models, and
tries endpoints, output folder, disk and clock. Exit code 0 if all lines are
green, else 2. It leaves no files.
"""
_GREEN, _RED, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"


def register(commands: Any) -> None:
    """Add the command to the parser."""
    raw = argparse.RawDescriptionHelpFormatter
    try_out = "before an experiment: try everything that a run needs"
    check = commands.add_parser("check", help=try_out, description=CHECK_EXPLAINED, formatter_class=raw)
    check.add_argument("what", nargs="?", metavar="CONFIG", help="settings file (.yaml), or a source such as camera:0")
    check.add_argument("--config", type=a_path, metavar="FILE.yaml", help="settings from a file, if CONFIG is a source")
    check.add_argument(
        "--hours", default="1", help="planned length of the run, to check the free disk space (default: 1)"
    )
    check.add_argument("--json", action="store_true", help="print the lines as JSON")
    check.add_later(lambda: add_settings(check))
    check.set_defaults(command=_check)


def _check(arguments: argparse.Namespace) -> int:
    results = _Results(as_json=arguments.json)
    try:
        hours = _hours(arguments.hours)
        cameras = _cameras(arguments)
    except ConfigError as error:
        results.add_errors(str(error))
        return results.finish()
    with signals_held_back():
        from realtime_cropzoom.checks.checks import check

    for line in check(cameras, hours=hours):
        results.show(line, several=len(cameras) > 1)
    code = results.finish()
    if code == 0 and not arguments.json:
        is_config = arguments.what is not None and arguments.what.endswith((".yaml", ".yml"))
        source = ("--config", arguments.what) if is_config else (arguments.what,) if arguments.what else ()
        config = ("--config", arguments.config) if arguments.config is not None else ()
        say_next("run", *source, *config, *_flags(settings_given(arguments)))
    return code


def _flags(given: Mapping[str, Any]) -> list[object]:
    """Return the words of the flags that were given, so that the run has the same settings."""
    words: list[object] = []
    for name, value in given.items():
        flag = name.replace("_", "-")
        if name != "source":
            words += [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", value]
    return words


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours < 1e6:
        raise ConfigError(f"hours: got {text!r}, expected a number of hours, such as 2.5")
    return hours


def _cameras(arguments: argparse.Namespace) -> Mapping[str, Settings]:
    """Return the settings by the name of their camera. Raises ConfigError."""
    from realtime_cropzoom.config.multi_camera import load_cameras
    from realtime_cropzoom.config.resolve import load_settings

    given, config = settings_given(arguments), arguments.config
    if arguments.what is not None and arguments.what.endswith((".yaml", ".yml")):
        if config is not None:
            raise ConfigError(f"got two config files, {arguments.what} and {config}, expected one")
        config = Path(arguments.what)
    elif arguments.what is not None:
        given["source"] = arguments.what
    cameras = None if config is None else load_cameras(given, config)
    if cameras is not None:
        return cameras.settings
    settings = load_settings(given, config)
    if settings.source is None:
        raise ConfigError("got no source. Give a config with a source, or a source, as in 'cropzoom check camera:0'")
    return {settings.camera: settings}


class _Results:
    """Results of the check: prints each one at once, or all of them as JSON at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._lines: list[dict[str, Any]] = []

    def show(self, line: CheckResult, *, several: bool) -> None:
        """Print a result, or keep it for JSON."""
        camera = f"{line.camera or '':<8}  " if several else ""
        self._add(line.as_dict(), f"{camera}{line.check:<9}  {line.text}")

    def add_errors(self, text: str) -> None:
        """Print the errors of the settings, one line each, or keep them for JSON."""
        for line in text.splitlines():
            self._add({"check": "config", "camera": None, "ok": False, "text": line}, f"{'config':<9}  {line}")

    def finish(self) -> int:
        """Print the JSON, if ``as_json`` is set, and return the exit code."""
        failed = sum(not line["ok"] for line in self._lines)
        if self._as_json:
            print(json.dumps({"ok": not failed, "lines": self._lines}, indent=2, ensure_ascii=False))
        return EXIT_BAD_INPUT if failed else 0

    def _add(self, line: dict[str, Any], text: str) -> None:
        self._lines.append(line)
        if self._as_json:
            return
        mark = "ok  " if line["ok"] else "FAIL"
        text = terminal.fold(f"{mark}  {text}", terminal.columns(sys.stdout))
        if self._coloured:
            text = text.replace(mark, f"{_GREEN if line['ok'] else _RED}{mark}{_PLAIN}", 1)
        print(text, flush=True)
