"""cropzoom: files that carry a manifest, or have one beside them as ``<name>.json``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.files.paths import is_there
from realtime_cropzoom.inference.makers.maker import Described, Maker, Settings
from realtime_cropzoom.inference.manifest import MAX_BYTES, Manifest, check_names, read_manifest
from realtime_cropzoom.inference.onnx_file import OnnxFile

KEY = "cropzoom"
"""Entry of the metadata that holds the manifest."""
SCORER = "cropzoom_tracker"


def read(file: OnnxFile, folder: Path | None, settings: Settings) -> Described | None:
    """Read the manifest of a file. One beside the file counts more than one inside.

    Args:
        file: The file.
        folder: Not used.
        settings: Names that replace those of the manifest.

    Raises:
        ModelError: if the manifest is not valid.
    """
    beside = file.path.with_suffix(".json")
    if is_there(beside):
        try:
            with beside.open("rb") as text:
                manifest = read_manifest(text.read(MAX_BYTES + 1), beside)
        except OSError as error:
            raise ModelError(f"{beside} cannot be read: {error.strerror or error}") from error
    elif KEY in file.metadata:
        manifest = read_manifest(file.metadata[KEY], file.path)
    else:
        return None
    return Described(renamed(manifest, settings, file), scorer=SCORER if manifest.maker == KEY else "")


def is_described(file: OnnxFile) -> bool:
    """Return whether a file carries a manifest, or has one beside it."""
    return KEY in file.metadata or is_there(file.path.with_suffix(".json"))


def renamed(manifest: Manifest, settings: Settings, file: OnnxFile) -> Manifest:
    """Return a manifest with the names that the user gives, if any. Raises ModelError if their number differs."""
    names = settings.keypoint_names
    if not names:
        return manifest
    if len(names) != len(manifest.keypoint_names):
        raise ModelError(f"{file.path} has {len(manifest.keypoint_names)} keypoints, but {len(names)} names were given")
    check_names(names, "the given names")
    return msgspec.structs.replace(manifest, keypoint_names=names, presence=None)


MAKER = Maker(KEY, read)
