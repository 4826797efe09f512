"""What an import has not brought: frames without labels, and a newer export that was perhaps meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from realtime_cropzoom.files.paths import is_folder
from realtime_cropzoom.labelling.frame_table import FrameRow
from realtime_cropzoom.labelling.label_table import Labels
from realtime_cropzoom.project.folder import Project

_MOST_NAMED = 5
"""Maximum number of recordings that are named."""


def without_labels(
    project: Project, path: Path, rows: Sequence[FrameRow], brought: Collection[str], labels: Labels
) -> list[str]:
    """Return a line about the frames that still have no labels; none if all have some.

    Of an export that is imported, these are the frames that it has no labels of: one that was not labelled, or not
    saved. Of another file, they are the other frames of its recordings.

    Args:
        project: The project.
        path: What is imported.
        rows: The pictures that the project had before.
        brought: Images that the import has labels of.
        labels: All labels after it.
    """
    images = {row.image for row in rows}
    if is_folder(path) and (exported := images & _pictures_in(path)):
        return _line(exported, exported - {*brought}, "exported frames", "in it")
    if path.absolute().parent.parent == project.exports_folder.absolute():  # a package of all frames
        return _line(images, images - {*brought}, "frames of the project", "in it")
    recordings = {_recording(image) for image in brought}
    there = {image for image in images if _recording(image) in recordings}
    return _line(there, there - {*labels}, "frames of these recordings", "yet")


def newer_export(project: Project, path: Path) -> list[str]:
    """Return a line if an export is imported, and a newer one for the same program is there; none otherwise.

    Args:
        project: The project.
        path: What is imported.
    """
    exports = project.exports_folder.absolute()
    if not path.absolute().is_relative_to(exports) or path.absolute() == exports:
        return []
    given = path.absolute().relative_to(exports).parts[0]
    program, number = _numbered(given)
    newest = max(
        (
            n
            for folder in exports.iterdir()
            if is_folder(folder)
            for name, n in [_numbered(folder.name)]
            if name == program
        ),
        default=0,
    )
    if newest <= number:
        return []
    newer = (exports / f"{program}-{newest}").relative_to(project.folder.absolute()).as_posix()
    return [f"nothing has changed, and {newer} is newer: import that one?"]


def _pictures_in(folder: Path) -> set[str]:
    """Return the pictures of an export for DeepLabCut, as the project calls them."""
    inner = folder / "labeled-data"
    found = inner.glob("*/*.png") if is_folder(inner) else folder.absolute().glob("*.png")
    return {f"frames/{path.parent.name}/{path.name}" for path in found}


def _line(all_frames: Collection[str], without: Collection[str], what: str, where: str) -> list[str]:
    if not without:
        return []
    counts = Counter(map(_recording, without))
    named = [f"{name} ({counts[name]})" for name in sorted(counts)[:_MOST_NAMED]]
    more = ", …" if len(counts) > _MOST_NAMED else ""
    have = "has" if len(without) == 1 else "have"
    return [f"{len(without)} of the {len(all_frames)} {what} {have} no labels {where}: {', '.join(named)}{more}"]


def _recording(image: str) -> str:
    return image.split("/")[1]


def _numbered(folder: str) -> tuple[str, int]:
    """Return the program and the number of an export by the name of its folder: ``deeplabcut-2``."""
    found = re.fullmatch(r"(.+?)(?:-(\d+))?", folder)
    return (found[1], int(found[2] or 1)) if found else (folder, 1)
