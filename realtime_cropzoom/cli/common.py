"""What commands share: flags for settings, and the line about the next command."""

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
"""{flag that needs no value: the value it then has}"""


def say_next(*words: object) -> None:
    """Print the command that comes next, ``cropzoom WORDS``, and how to activate its environment if that is needed."""
    command = shlex.join(["cropzoom", *map(str, words)])
    if shutil.which("cropzoom") is None:
        activate = Path(sys.prefix) / "bin" / "activate"
        here = Path.cwd()
        shown = activate.relative_to(here) if activate.is_relative_to(here) else activate
        command = f". {shlex.quote(str(shown))} && {command}" if activate.is_file() else command
    print(f"Next: {command}", file=sys.stderr)  # not folded, so that it can be copied


def short_path(path: Path | str) -> Path | str:
    """Return a path relative to the current folder, if it is below it."""
    return path.relative_to(Path.cwd()) if isinstance(path, Path) and path.is_relative_to(Path.cwd()) else path


def say_draw(folder: Path, source: str | None) -> None:
    """Print the command that draws a session: its frames, or its coordinates over time if there is no video."""
    from realtime_cropzoom.sessions.files import Session, find_video, region_files

    try:
        has_frames = find_video(source, Session.open(next(iter(region_files(folder)), folder)).poses) is not None
    except DataError:  # the run wrote no pose
        return
    say_next("draw", folder, *(() if has_frames else ("--traces",)))


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add the flag that allows a command to replace files."""
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def check_free(*paths: Path | None, overwrite: bool, flag: str = "--out") -> None:
    """Raise SinkError if a file exists already and may not be replaced; ``flag`` names another one."""
    there = next((path for path in paths if path is not None and path.exists()), None)
    if there is not None and not overwrite:
        raise SinkError(f"{there} exists already; add --overwrite to replace it, or give another file with {flag}")


def add_settings(parser: argparse.ArgumentParser, names: Collection[str] | None = None) -> None:
    """Add a flag for each setting, in groups.

    Args:
        parser: The parser of the command.
        names: The settings that the command has; None for all but the source.
    """
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
    """Return the placeholder of a value in the help: the unit at the end of the setting's name, or its last word."""
    *_, before, last = ["", *name.split("_")]
    return "PX/S" if (before, last) == ("px", "s") else last.upper()


def settings_given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return {setting: value} of the given flags. Raises ConfigError if a flag took the source as its value."""
    from realtime_cropzoom.config.settings import Settings

    given = {name: value for name, value in vars(arguments).items() if name in Settings.model_fields}
    _check_swallowed(given)
    if given.get("source") is None:
        given.pop("source", None)
    return given


def _check_swallowed(given: dict[str, Any]) -> None:
    """Raise ConfigError if a flag that needs no value took the source as its value."""
    from realtime_cropzoom.config.description import literals
    from realtime_cropzoom.config.settings import Settings

    for name in _ALONE.keys() & given:
        value, expected = given[name], literals(Settings.model_fields[name].annotation)
        if value not in expected and (re.search(r"[./\\:]", value) or Path(value).exists()):
            words = " or ".join(expected)
            raise ConfigError(f"{name}: got {value!r}, expected {words}. Write the source first: {value} --{name}")
