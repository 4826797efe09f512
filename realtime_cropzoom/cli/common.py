"""What the commands share: exit codes, and flags for settings."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from realtime_cropzoom.errors import ConfigError, DataError, SinkError

_ALONE = {"record": "h264"}
"""Flags that need no value, and which one they stand for then."""


def say_next(*words: object) -> None:
    """Say what to do next: ``cropzoom WORDS``, and how to make that command known where the shell does not know it."""
    command = shlex.join(["cropzoom", *map(str, words)])
    if shutil.which("cropzoom") is None:
        activate = Path(sys.prefix) / "bin" / "activate"
        here = Path.cwd()
        shown = activate.relative_to(here) if activate.is_relative_to(here) else activate
        command = f". {shlex.quote(str(shown))} && {command}" if activate.is_file() else command
    print(f"Next: {command}", file=sys.stderr)  # in one piece, so that it can be copied


def say_draw(folder: Path, source: str | None) -> None:
    """Say how to look at a session: at its frames, or, where they were not recorded, at its coordinates over time."""
    from realtime_cropzoom.sessions.files import Session, find_video

    try:
        has_frames = find_video(source, Session.open(folder).poses) is not None
    except DataError:  # no pose was written
        return
    say_next("draw", folder, *(() if has_frames else ("--traces",)))


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add the flag that lets a command replace the files it is told to write."""
    parser.add_argument("--overwrite", action="store_true", help="replace what is there already")


def check_free(*paths: Path | None, overwrite: bool) -> None:
    """Raise SinkError where a file that the user has named is there already: it may be anything."""
    there = next((path for path in paths if path is not None and path.exists()), None)
    if there is not None and not overwrite:
        raise SinkError(f"{there} is there already; add --overwrite to replace it, or give another file with --out")


def add_settings(parser: argparse.ArgumentParser, names: Collection[str] | None = None) -> None:
    """One flag a setting, from the one documented set; with ``names`` only these."""
    from realtime_cropzoom.config.description import GROUPS, group_of, literals
    from realtime_cropzoom.config.settings import Settings

    chosen = [name for name in Settings.model_fields if name != "source" and (names is None or name in names)]
    present = {group_of(name) for name in chosen}
    groups = {title: parser.add_argument_group(title) for title in GROUPS if title in present}
    for name in chosen:
        field = Settings.model_fields[name]
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": name}
        if field.annotation is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["metavar"] = "|".join(literals(field.annotation)) or _unit(name)
        if name in _ALONE:
            options.update(nargs="?", const=_ALONE[name])
        default = "" if field.default in (None, False) else f" (default: {field.default})"
        text = f"{field.description}{default}".replace("%", "%%")
        action = groups[group_of(name)].add_argument(f"--{name.replace('_', '-')}", help=text, **options)
        if words := literals(field.annotation):
            action.completer = lambda words=words, **_: words  # type: ignore[attr-defined]


def _unit(name: str) -> str:
    """What stands for the value in the help: the unit at the end of the setting's name, or its last word."""
    *_, before, last = ["", *name.split("_")]
    return "PX/S" if (before, last) == ("px", "s") else last.upper()


def settings_given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given as flags."""
    from realtime_cropzoom.config.settings import Settings

    given = {name: value for name, value in vars(arguments).items() if name in Settings.model_fields}
    _check_swallowed(given)
    if given.get("source") is None:
        given.pop("source", None)
    return given


def _check_swallowed(given: dict[str, Any]) -> None:
    """Raise ConfigError where a flag that needs no value has taken the source for it."""
    from realtime_cropzoom.config.description import literals
    from realtime_cropzoom.config.settings import Settings

    for name in _ALONE.keys() & given:
        value, expected = given[name], literals(Settings.model_fields[name].annotation)
        if value not in expected and (re.search(r"[./\\:]", value) or Path(value).exists()):
            words = " or ".join(expected)
            raise ConfigError(f"{name}: got {value!r}, expected {words}. Write the source first: {value} --{name}")
