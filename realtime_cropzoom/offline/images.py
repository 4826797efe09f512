"""Labelled images: finds them on disk, with the frames around them for a context model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.inference.context_window import CONTEXT_RADIUS
from realtime_cropzoom.offline.provenance import fingerprint, read_origin
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import UInt8


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Images, with the names that a label file gives them."""

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict, init=False)
    """(W, H) of each image that was read, by its index in ``names``."""
    _sizes: dict[Path, tuple[tuple[int, int], Path]] = field(default_factory=dict, init=False)
    """First size and image of each folder."""

    @classmethod
    def of_labels(cls, csv: Path, names: Sequence[str], data_dir: Path | None) -> ImageFolder:
        """Find the images of a label file.

        They are in ``data_dir``, next to the file, or, for a label file that ``crop`` wrote, in the folder of
        the crops next to it, wherever that was moved to.

        Args:
            csv: The label file.
            names: Path of each image, as the file has it.
            data_dir: Folder that the model's configuration names; None if it names none.

        Raises:
            DataError: if an image is missing.
        """
        roots = [root for root in (data_dir, csv.parent) if root is not None]
        if csv.parent.parent.name == "image_preds":
            roots.append(csv.parents[2] / "cropped_images")
        roots = list(dict.fromkeys(roots))
        root = next((root for root in roots if any((root / name).exists() for name in names)), None)
        if root is None:
            raise DataError(
                f"{csv} labels {names[0]}, which is not in {' nor in '.join(map(str, roots))} "
                f"({len(names)} of {len(names)} are missing)"
            )
        paths = tuple(root / name for name in names)
        missing = [path for path in paths if not path.exists()]
        if missing:
            raise DataError(
                f"{csv} labels {missing[0]}, which is not there ({len(missing)} of {len(paths)} are missing)"
            )
        return cls(tuple(names), paths)

    def read(self, path: Path) -> UInt8:
        """Return the image as (H, W, 3) RGB. Raises DataError."""
        return read_image(path)

    def check_size(self, row: int, size: tuple[int, int]) -> None:
        """Note the (W, H) of image ``row`` and compare it with the other images of its folder.

        The crops of ``crop`` have the sizes of their boxes and are not compared.

        Raises:
            DataError: if it differs, because the image is then from another camera.
        """
        path = self.paths[row]
        self.sizes[row] = size
        if "cropped_images" in path.parts:
            return
        expected, other = self._sizes.setdefault(path.parent, (size, path))
        if size != expected:
            raise DataError(
                f"{path} is {size[0]}x{size[1]}, but {other.name} next to it is {expected[0]}x{expected[1]}; "
                "expected images of the same size in a folder"
            )


def images_sha256(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of the names and contents of images. Raises DataError if one cannot be read."""
    text = "\n".join(f"{path.name} {fingerprint(path)}" for path in paths)
    return hashlib.sha256(text.encode()).hexdigest()


def check_images(csv: Path) -> None:
    """Raise DataError if the images of a cropped label file were cropped again since, as for another label file."""
    note = read_origin(csv)
    images = None if note is None else note.get("images")
    if not isinstance(images, dict):
        return
    paths = [Path(path) for path in images["paths"]]
    if all(path.exists() for path in paths) and images_sha256(paths) != images["sha256"]:
        raise DataError(
            f"the images of {csv} were cropped again since, with other boxes; run cropzoom crop again with the "
            "original label file, and --overwrite"
        )


def below(folder: Path, name: str, csv: Path) -> Path:
    """Return the path in ``folder`` for a file that is made of an image.

    Args:
        folder: Folder of the results.
        name: Path of the image, as the label file has it.
        csv: The label file, for the error text.

    Raises:
        DataError: if the path would be outside ``folder``, where it could replace the image itself.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DataError(f"{csv} labels {name}; expected a path relative to the data_dir, without ..")
    return folder / name


def is_numbered(path: Path) -> bool:
    """Return whether the name of a file contains a number."""
    return re.search(r"\d", path.stem) is not None


def context_images(path: Path) -> list[Path]:
    """Return the paths of the five frames around a labelled one, which takes the place of missing ones.

    The first number in the file name is the number of the frame. Source: Lightning Pose, ``utils/io.py``,
    ``get_context_img_paths``.

    Raises:
        DataError: if the name has no number.
    """
    number = re.search(r"\d+", path.stem)
    if number is None:
        raise DataError(f"{path.name} has no frame number in its name; a context model needs the frames around it")
    digits = number.group()
    middle = int(digits)
    found = []
    for index in range(middle - CONTEXT_RADIUS, middle + CONTEXT_RADIUS + 1):
        other = path.with_stem(path.stem.replace(digits, str(max(index, 0)).zfill(len(digits))))
        found.append(other if other.exists() else path)
    return found
