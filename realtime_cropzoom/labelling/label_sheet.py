"""Contact sheet of labels: each labelled frame around its animal, those with a suspicion first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import DataError, pluralize
from realtime_cropzoom.files.atomic import MAKE_ROOM, write_whole
from realtime_cropzoom.files.atomic_images import encode_image
from realtime_cropzoom.labelling.checks import Finding
from realtime_cropzoom.labelling.label_table import Labels
from realtime_cropzoom.plots.contact_sheet import Tile, contact_sheet
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import Box, Float64, UInt8

MOST = 100
"""Maximum number of frames on a sheet."""
_ROOM = 1.6
"""Side of a tile, as a multiple of the animal's larger span."""
_LEAST_PX = 48
_EMPTY: UInt8 = np.full((240, 240, 3), 60, np.uint8)
"""In place of a picture that cannot be read."""


def write_label_sheet(
    project: Project, labels: Labels, findings: Sequence[Finding] = (), recent: Sequence[str] = (),
    warn: Callable[[str], None] = lambda line: None,
) -> Path:  # fmt: skip
    """Draw labels into their frames. A frame that cannot be read has an empty tile.

    Args:
        project: The project.
        labels: Its labels, at least one.
        findings: What checks have found. Their frames come first.
        recent: Frames that come next, such as those that are new.
        warn: Is called with a line about frames that cannot be read.

    Returns:
        The picture: ``labels/contact_sheet.png``.

    Raises:
        SinkError: if the picture cannot be written.
    """
    words = {image: text for finding in reversed(findings) for image, text in finding.images.items()}
    suspicious = [image for finding in findings for image in finding.images]
    order = [image for image in dict.fromkeys([*suspicious, *recent, *sorted(labels)]) if image in labels]
    side, unread = max(_side(labels[image]) for image in order), list[str]()
    tiles = [_tile(project, image, labels[image], words.get(image, ""), side, unread) for image in order[:MOST]]
    if unread:
        warn(f"{pluralize(len(unread), 'picture')} cannot be read, so an empty tile is shown: first {unread[0]}")
    path = project.labels_folder / "contact_sheet.png"
    write_whole(path, encode_image(path, contact_sheet(tiles, names=project.keypoints)[:, :, ::-1]), MAKE_ROOM)
    return path


def _tile(project: Project, image: str, xy: Float64, words: str, side: int, unread: list[str]) -> Tile:
    middle = (np.nanmin(xy, axis=0) + np.nanmax(xy, axis=0)) / 2
    x, y = (round(float(value) - side / 2) for value in middle)
    _, folder, name = image.split("/")
    caption = f"{folder} {int(name.removeprefix('img').removesuffix('.png')) if name[3:-4].isdigit() else name}"
    try:
        picture = read_image(project.folder / image)
    except DataError as error:
        unread.append(str(error))
        return Tile(_EMPTY, f"{caption}\nno picture")
    return Tile(
        picture,
        f"{caption}\n{words}".strip(),
        xy=xy,
        skeleton=project.skeleton,
        box=Box(x, y, side, side) if side < max(picture.shape[:2]) else None,
    )


def _side(xy: Float64) -> int:
    """Return the side of a square around an animal (pixels)."""
    span = float((np.nanmax(xy, axis=0) - np.nanmin(xy, axis=0)).max())
    return max(_LEAST_PX, round(_ROOM * span))
