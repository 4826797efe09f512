"""Provenance: a note next to each result says what it was made of, so that results of different inputs are not mixed.

The note of ``clip.csv`` is ``clip.csv.made_of.json``. It has the settings, and each input with the SHA-256 of its
content and the input's own note. A note is ignored if its file has changed since the note was written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from realtime_cropzoom import __version__
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.atomic import Say, replacing

ENDING = ".made_of.json"
_WHOLE_BYTES, _PIECE_BYTES = 64 << 20, 8 << 20
"""Sizes (bytes). Of a file larger than the first, only three pieces of the second are read: begin, middle and end."""

_SHA256_DIGITS = 64

MadeOf = Mapping[str, object]
"""Inputs and settings, by name; an input is what ``input_entry`` returns."""


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file's content; of a large file, that of its size and three pieces.

    Raises:
        DataError: if the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= _WHOLE_BYTES:
                return hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(str(size).encode())
            for begin in (0, size // 2, size - _PIECE_BYTES):
                file.seek(begin)
                digest.update(file.read(_PIECE_BYTES))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    return digest.hexdigest()


def input_entry(path: Path, sha256: str | None = None) -> dict[str, object]:
    """Return the entry of an input in a note: its path, its SHA-256, and what it was made of, if its own note says so.

    Args:
        path: The input.
        sha256: The SHA-256 of its content; None computes it.

    Raises:
        DataError: if the input cannot be read.
    """
    note = read_origin(path)
    return {
        "path": str(path.resolve()),
        "sha256": fingerprint(path) if sha256 is None else sha256,
        "made_of": None if note is None else note["made_of"],
    }


def write_origin(final: Path, command: str, made_of: MadeOf, **further: object) -> None:
    """Write the note of a new file.

    Args:
        final: The file.
        command: The command that made it.
        made_of: Its inputs and settings.
        further: More entries. They are kept, but not compared.

    Raises:
        SinkError: if the note cannot be written.
    """
    note = {"file": fingerprint(final), "command": command, "version": __version__, "made_of": made_of, **further}
    with replacing(_note(final)) as file:
        file.write(json.dumps(note, indent=1, default=str))


def read_origin(final: Path) -> dict[str, Any] | None:
    """Return the note of a file; None if there is none, or the file has changed since."""
    try:
        note = json.loads(_note(final).read_text(encoding="utf-8"))
        if isinstance(note["made_of"], dict) and note["file"] == fingerprint(final):
            return dict(note)
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None
    return None


def find_input(note: Mapping[str, Any] | None, *names: str) -> dict[str, Any] | None:
    """Return the entry of an input, or of an input of that input.

    Args:
        note: The note of a file; None if it has none.
        names: Name of the input, then that of its input, and so on.

    Returns:
        The entry; None if the notes do not say it.
    """
    found: Any = note
    for name in names:
        made_of = found.get("made_of") if isinstance(found, dict) else None
        found = made_of.get(name) if isinstance(made_of, dict) else None
    return found if isinstance(found, dict) else None


def already_made(
    final: Path,
    command: str,
    made_of: MadeOf,
    *,
    overwrite: bool,
    say: Say,
    fits: Callable[[], bool],
    unchecked: str = "it fits as far as its content shows",
) -> bool:
    """Return whether a result exists that was made of the same inputs and settings. All commands ask this one rule.

    Args:
        final: The result.
        command: The command that would make it.
        made_of: Its inputs and settings.
        overwrite: Whether to make it again in any case.
        say: Shows the user a line if the result stays as it is.
        fits: Whether a file without a note, such as one of Lightning Pose, can be the result.

        unchecked: What is not known of a file without a note, and what is not made, for the line.

    Raises:
        DataError: if the file was made of other inputs or settings.
    """
    if overwrite or not final.exists():
        return False
    note = read_origin(final)
    if note is None:
        if not fits():
            raise DataError(
                f"{final} exists and differs from what would be made now. Add --overwrite to replace it, or move it"
            )
        say(f"skipping {final}: another program left or changed it; {unchecked} (--overwrite makes it again)")
        return True
    changed = _changed(note, command, json.loads(json.dumps(made_of, default=str)))
    if changed:
        raise DataError(
            f"{final} exists, but was made with other inputs or settings ({'; '.join(changed)}). "
            "Add --overwrite to make it again"
        )
    say(f"skipping {final}: it is there already, made of the same inputs and settings (--overwrite makes it again)")
    return True


def check_input(of: Path, name: str, path: Path, advice: str) -> None:
    """Check that a file was made of an input as it is now.

    Args:
        of: The file. Its note names the input; without a note nothing is checked.
        name: Name of the input in the note.
        path: The input.
        advice: What to do, for the error text.

    Raises:
        DataError: if the content of the input was another one.
    """
    entry = find_input(read_origin(of), name)
    if entry is not None and entry["sha256"] != fingerprint(path):
        raise DataError(f"{of} was made of another {path.name}: {path} has changed since. {advice}")


def _changed(note: Mapping[str, Any], command: str, now: Mapping[str, Any]) -> list[str]:
    if note.get("command") != command:
        return [f"command: cropzoom {note.get('command')}, now cropzoom {command}"]
    before = note["made_of"]
    return [
        _describe_change(name, before.get(name), now.get(name))
        for name in {**before, **now}
        if _identity(before.get(name)) != _identity(now.get(name))
    ]


def _identity(value: Any) -> Any:
    return value["sha256"] if isinstance(value, dict) and "sha256" in value else value


def _describe_change(name: str, before: Any, now: Any) -> str:
    """Return in words how an input or a setting differs from what it was."""
    if isinstance(before, dict) and isinstance(now, dict):
        was, path = str(before.get("path")), str(now.get("path"))
        is_another = Path(was).name != Path(path).name  # folders may move
        return f"{name}: {was}, now {path}" if is_another else f"{name}: {path} has changed since"
    if isinstance(before, str) and len(before) == _SHA256_DIGITS:
        return f"another {name}"
    return f"{name}: {_value(before)}, now {_value(now)}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("path"))
    return "not given" if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _note(final: Path) -> Path:
    return final.with_name(final.name + ENDING)
