"""COCO keypoints: a ``.json`` file, or a ``.zip`` or folder that holds one, as CVAT exports it.

A keypoint is x, y, flag. Flag 2 is a visible one, 1 one that is hidden behind something and was placed nevertheless;
both are labels. Flag 0 is one that was not placed. Nothing of a ``.zip`` is unpacked to the disk.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from realtime_cropzoom.errors import DataError, error_text, shorten
from realtime_cropzoom.files.formats import is_image
from realtime_cropzoom.labelling.formats import json_text
from realtime_cropzoom.labelling.formats.label_file import Entry, LabelFile, Point
from realtime_cropzoom.types import UInt8

_MAX_BYTES = 1 << 28
"""Maximum size of a file within a ``.zip``, unpacked."""
_NAMES_OF_ANIMALS = ("track_id", "animal", "instance_id")
"""Attributes of an annotation that may tell animals apart. The first one is CVAT's."""


def is_coco(tree: Any) -> bool:
    """Return whether the content of a JSON file has the parts of a COCO file."""
    return isinstance(tree, dict) and {"images", "annotations", "categories"} <= tree.keys()


def read_coco(path: Path, tree: Mapping[str, Any]) -> LabelFile:
    """Read the content of a COCO file.

    Args:
        path: The file, for error texts.
        tree: Its content.

    Raises:
        DataError: if it has no keypoints, or its parts do not fit together.
    """
    images = {image.get("id"): image for image in json_text.records(tree["images"]) if _is_id(image.get("id"))}
    categories = {
        category.get("id"): json_text.texts(category.get("keypoints"))
        for category in json_text.records(tree["categories"])
        if _is_id(category.get("id"))
    }
    names = dict.fromkeys(name for keypoints in categories.values() for name in keypoints)
    if not names:
        raise DataError(
            f"{path}: its categories have no keypoints; expected COCO keypoints. In CVAT export as COCO Keypoints 1.0"
        )
    entries = []
    for annotation in json_text.records(tree["annotations"]):
        image = images.get(annotation.get("image_id")) if _is_id(annotation.get("image_id")) else None
        keypoints = categories.get(annotation.get("category_id")) if _is_id(annotation.get("category_id")) else None
        if image is None or keypoints is None or not isinstance(image.get("file_name"), str):
            raise DataError(f"{path}: annotation {shorten(annotation.get('id'))} names an image or category it lacks")
        points = _points(path, annotation, keypoints)
        if points:
            entries.append(_entry(image, annotation, points))
    return LabelFile(path, "COCO", tuple(names), tuple(entries))


def read_zip(path: Path) -> list[LabelFile]:
    """Read each COCO file in a ``.zip``. Pictures that it holds can be read from its entries.

    Args:
        path: The file.

    Raises:
        DataError: if it cannot be read, or holds no COCO file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            trees = [
                json_text.parse(path, _member(path, archive, info))
                for info in members
                if info.filename.lower().endswith(".json")
            ]
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"cannot read {path}: it is damaged, or no .zip ({shorten(error_text(error))})") from error
    files = [read_coco(path, tree) for tree in trees if is_coco(tree)]
    if not files:
        raise DataError(
            f"{path}: got a .zip without COCO keypoints, expected annotations/person_keypoints_….json in it"
        )
    pictures = [info.filename for info in members if is_image(Path(info.filename))]
    return [_with_pictures(file, path, pictures) for file in files]


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str)


def _points(path: Path, annotation: Mapping[str, Any], names: Sequence[str]) -> dict[str, Point]:
    values = annotation.get("keypoints")
    if not isinstance(values, list):  # a box or an outline
        return {}
    numbers = [json_text.number(value) for value in values]
    if len(values) != 3 * len(names) or None in numbers:
        raise DataError(
            f"{path}: annotation {shorten(annotation.get('id'))} has keypoints of {len(values)} values; "
            f"expected {3 * len(names)} finite numbers"
        )
    triples = zip(names, numbers[::3], numbers[1::3], numbers[2::3], strict=True)
    return {name: (x, y) for name, x, y, flag in triples if flag and x is not None and y is not None}


def _entry(image: Mapping[str, Any], annotation: Mapping[str, Any], points: dict[str, Point]) -> Entry:
    attributes = annotation.get("attributes")
    known = {**(attributes if isinstance(attributes, dict) else {}), **annotation}
    animal = next((str(known[name]) for name in _NAMES_OF_ANIMALS if known.get(name) is not None), "")
    return Entry(
        image["file_name"],
        points,
        animal=animal,
        size=json_text.size(image.get("width"), image.get("height")),
        predicted="score" in annotation,
    )


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _MAX_BYTES:
        raise DataError(f"{path}: {shorten(info.filename)} in it has {info.file_size >> 20} MB, more than expected")
    with archive.open(info) as file:
        return file.read(_MAX_BYTES)


def _with_pictures(file: LabelFile, path: Path, members: Sequence[str]) -> LabelFile:
    """Return the file with a reader of each picture that the ``.zip`` holds."""
    by_end = {f"/{member}": member for member in members}
    entries = []
    for entry in file.entries:
        member = next((by_end[end] for end in by_end if end.endswith(f"/{entry.image}")), None)
        reader = None if member is None else partial(_picture, path, member)
        entries.append(
            Entry(entry.image, entry.points, None, entry.animal, entry.size, entry.predicted, picture=reader)
        )
    return LabelFile(file.path, file.program, file.keypoint_names, tuple(entries), file.notes)


def _picture(path: Path, member: str) -> UInt8:
    """Return a picture in a ``.zip``, (H, W, 3) RGB. Raises DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = _member(path, archive, archive.getinfo(member))
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except (OSError, zipfile.BadZipFile, cv2.error) as error:
        raise DataError(f"{path}: cannot read {member} in it: {shorten(error_text(error))}") from error
    if image is None:
        raise DataError(f"{path}: cannot read {member} in it: it is no image")
    return np.asarray(image[:, :, ::-1], np.uint8)
