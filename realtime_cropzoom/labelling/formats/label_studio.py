"""JSON of Label Studio: tasks with annotations, as *JSON* exports them, and the short form of *JSON-MIN*.

Label Studio writes positions as percentages of the picture's size. Here they become pixels, rounded to a millionth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.formats import is_image
from realtime_cropzoom.labelling.formats import json_text
from realtime_cropzoom.labelling.formats.label_file import Entry, LabelFile, Point

_DIGITS = 6
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of a file that was uploaded."""


def is_label_studio(tree: Any) -> bool:
    """Return whether the content of a JSON file is a list of Label Studio's tasks."""
    tasks = json_text.records(tree)
    return bool(tasks) and all(_image_of(task) is not None for task in tasks)


def read_label_studio(path: Path, tree: Any) -> LabelFile:
    """Read the content of an export of Label Studio.

    Args:
        path: The file, for error texts.
        tree: Its content.

    Raises:
        DataError: if no task has a keypoint.
    """
    entries, names, notes, several = [], dict[str, None](), [], 0
    for task in json_text.records(tree):
        results, count = _results(task)
        several += count > 1
        image = _image_of(task) or ""
        for animal, points, size in _animals(results):
            names.update(dict.fromkeys(points))
            entries.append(Entry(image, points, animal=animal, size=size))
    if not entries:
        raise DataError(f"{path}: no task has a keypoint; expected annotations of KeyPointLabels")
    if several:
        notes.append(f"{several} tasks were annotated more than once; in each the newest annotation counts")
    return LabelFile(path, "Label Studio", tuple(names), tuple(entries), tuple(notes))


def _image_of(task: Mapping[str, Any]) -> str | None:
    """Return the path of the picture of a task; None if it has none."""
    data = task.get("data", task)
    for value in data.values() if isinstance(data, dict) else ():
        if isinstance(value, str):
            address = urlsplit(value)
            inner = parse_qs(address.query).get("d", [unquote(address.path)])[0]  # ?d= names a file of a local folder
            if is_image(Path(inner)):
                folder, slash, name = inner.rpartition("/")
                return f"{folder}{slash}{_UPLOADED.sub('', name, count=1)}"
    return None


def _results(task: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], int]:
    """Return what was drawn in a task, and the number of its annotations."""
    if "data" not in task:  # JSON-MIN: a list for each tool
        return [{"value": value, **value} for lists in task.values() for value in json_text.records(lists)], 1
    given = json_text.records(task.get("annotations", task.get("completions")))
    kept = [annotation for annotation in given if not annotation.get("was_cancelled")]
    newest = max(kept, key=lambda annotation: str(annotation.get("updated_at", "")), default={})
    return json_text.records(newest.get("result")), len(kept)


def _animals(results: list[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Point], tuple[int, int] | None]]:
    """Yield name, keypoints and size of the picture of each animal.

    Keypoints that are related to a box, or lie in it, belong to its animal. A name that comes twice begins another.
    """
    owner = {link.get("from_id"): link.get("to_id") for link in results if link.get("type") == "relation"}
    animals: dict[str, tuple[dict[str, Point], tuple[int, int] | None]] = {}
    for result in results:
        value = result.get("value")
        labels = json_text.texts(value.get("keypointlabels")) if isinstance(value, dict) else []
        size = json_text.size(result.get("original_width"), result.get("original_height"))
        if not labels or not isinstance(value, dict) or size is None:
            continue
        x, y = json_text.number(value.get("x")), json_text.number(value.get("y"))
        if x is None or y is None:
            continue
        animal = str(owner.get(result.get("id")) or result.get("parentID") or "")
        while labels[0] in animals.get(animal, ({}, None))[0]:
            animal = f"{animal}+"
        points = animals.setdefault(animal, ({}, size))[0]
        points[labels[0]] = (round(x * size[0] / 100, _DIGITS), round(y * size[1] / 100, _DIGITS))
    for animal, (points, size) in animals.items():
        yield animal, points, size
