"""Changes one key of ``project.yaml``, and leaves the rest as it is: comments, order, spaces."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.files.atomic import MAKE_ROOM, write_whole
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.project.in_use import project_in_use
from realtime_cropzoom.yaml_file import compose_yaml, end_of, parse_mapping, read_text

_KEY = "recordings"


def save_recordings(project: Project, recordings: Sequence[str]) -> None:
    """Write the recordings into ``project.yaml``. All other lines stay as they are.

    Args:
        project: The project.
        recordings: Paths of all recordings that the file has afterwards.

    Raises:
        ConfigError: if the file was written in a form that cannot be changed here, or another command works on the
            frames or labels; nothing has changed then.
        SinkError: if the file cannot be written.
    """
    with project_in_use(project.folder, "frames"):
        _save(project.project_file, recordings)


def _save(path: Path, recordings: Sequence[str]) -> None:
    text = read_text(path)
    new = with_recordings(text, recordings)
    if new == text:
        return
    mode = path.stat().st_mode
    write_whole(path, new, MAKE_ROOM)
    with suppress(OSError):  # of another owner
        os.chmod(path, mode)


def with_recordings(text: str, recordings: Sequence[str]) -> str:
    """Return the text of ``project.yaml`` with other recordings. Raises ConfigError if its form does not allow it."""
    content = parse_mapping(text, "project.yaml")
    wanted = [*recordings]
    if (content.get(_KEY) or []) == wanted:
        return text
    new = _edited(text, wanted)
    try:
        exact = parse_mapping(new, "the result") == content | {_KEY: wanted}
    except ConfigError:
        exact = False
    if not exact:
        by_hand = f"write it by hand as {yaml_list(wanted)}" if len(wanted) < 4 else "write it as a list of lines"
        raise ConfigError(f"project.yaml: {_KEY} has a form that cannot be changed here; {by_hand}")
    return new


def yaml_list(texts: Sequence[str]) -> str:
    """Return texts as a list of YAML in one line."""
    return f"[{', '.join(yaml_text(text) for text in texts)}]"


def yaml_text(text: str) -> str:
    """Return a text as YAML in one line, in quotes if it needs them."""
    written = yaml.safe_dump([text], default_flow_style=True, allow_unicode=True, width=float("inf"))
    return written.strip()[1:-1]


def _edited(text: str, recordings: Sequence[str]) -> str:
    """Return the text with a line for each recording. Comments behind the key stay, and those between lines, too."""
    eol = "\r\n" if "\r\n" in text else "\n"
    root = compose_yaml(text)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    key, value = next(((k, v) for k, v in pairs if k.value == _KEY), (None, None))
    if key is None or value is None:
        gap = "" if not text or text.endswith("\n") else eol
        return f"{text}{gap}{_KEY}:{eol}{_lines(recordings, eol)}"
    begin, end = key.end_mark.index, max(end_of(value), key.end_mark.index + 1)
    if not recordings:
        return f"{text[:begin]}: []{text[end:]}"
    if isinstance(value, yaml.SequenceNode) and not value.flow_style:
        there = [item.value for item in value.value]
        if there == [*recordings[: len(there)]]:
            rest, _, after = text[end:].partition("\n")
            indent = " " * value.start_mark.column
            return f"{text[:end]}{rest.rstrip()}{eol}{_lines(recordings[len(there) :], eol, indent)}{after}"
    comment, _, after = text[end:].partition("\n")
    of_key = re.match(r":(\s+#[^\n]*)?", text[begin:end])
    kept = (of_key[1] or "").rstrip() if of_key and "\n" in text[begin:end] else ""
    return f"{text[:begin]}:{kept}{comment.rstrip()}{eol}{_lines(recordings, eol)}{after}"


def _lines(recordings: Sequence[str], eol: str, indent: str = "  ") -> str:
    return "".join(f"{indent}- {yaml_text(path)}{eol}" for path in recordings)
