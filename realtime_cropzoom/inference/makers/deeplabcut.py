"""DeepLabCut: finds the export in the folder of a model, and reads files that carry its facts without a manifest.

``cropzoom export-deeplabcut`` writes files with a manifest, which the maker ``cropzoom`` reads. Older scripts of ours
wrote the facts alone, in the entry ``deeplabcut``. What the facts mean is said once, in ``export_deeplabcut``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from realtime_cropzoom.errors import ModelError, shorten
from realtime_cropzoom.files.formats import natural_key
from realtime_cropzoom.files.paths import is_there
from realtime_cropzoom.inference.makers import cropzoom
from realtime_cropzoom.inference.makers.export_deeplabcut import CONFIG, NotPossible, describe, find_folder
from realtime_cropzoom.inference.makers.maker import Choice, Described, Maker, Settings, Wanted
from realtime_cropzoom.inference.manifest import read_manifest
from realtime_cropzoom.inference.onnx_file import OnnxFile

KEY = "deeplabcut"
"""Entry of the metadata that holds the facts."""
_MAX_FACTS = 1 << 20
"""Maximum length of the facts (characters). Those of a model have 2 kB."""
_SIGNS = (CONFIG, f"train/{CONFIG}", "pose_cfg.yaml", "train/pose_cfg.yaml", "dlc-models-pytorch", "dlc-models")
"""What tells a folder of DeepLabCut."""


def find(folder: Path, wanted: Wanted) -> Choice | None:
    """Find the export in the folder of a model: ``train``, or the one above.

    Of several the one called -best counts, else the last one by its number. The times of the files are ignored.

    Args:
        folder: The folder.
        wanted: Which precision.

    Raises:
        ModelError: if the folder has no export, or is a project with several models.
    """
    if not any(is_there(folder / sign) for sign in _SIGNS):
        return None
    try:
        place = find_folder(folder)
    except NotPossible as error:
        raise ModelError(str(error)) from None
    int8 = wanted.precision == "int8"
    there = sorted((path for path in place.glob("*.onnx") if not path.name.startswith(".")), key=natural_key)
    exports = [path for path in there if path.stem.endswith("_int8") == int8]
    if not exports:
        make = (
            f"cropzoom quantize {place} --calibrate VIDEO"
            if int8 and there
            else f"cropzoom export-deeplabcut {place} --python PYTHON_OF_DEEPLABCUT"
        )
        raise ModelError(f"{place} is a model of DeepLabCut without an ONNX file; run: {make}")
    onnx = ([path for path in exports if "-best" in path.stem] or exports)[-1]
    return Choice(onnx, f"{place} has {len(exports)} exports; {onnx.name} is taken" if len(exports) > 1 else "")


def read(file: OnnxFile, folder: Path | None, settings: Settings) -> Described | None:
    """Describe a file by the facts that it carries.

    Args:
        file: The file.
        folder: The folder that ``find`` has searched; None if only the file was given.
        settings: Names that replace those of the file.

    Raises:
        ModelError: if it has facts that are not valid, or DeepLabCut would do what cropzoom cannot.
    """
    if cropzoom.is_described(file):
        return None
    text = file.metadata.get(KEY)
    if text is None:
        if folder is not None and any(is_there(folder / sign) for sign in _SIGNS):
            raise ModelError(
                f"{file.path} does not say what its outputs are; make it again with: "
                f"cropzoom export-deeplabcut {folder}"
            )
        return None
    manifest = read_manifest(json.dumps(_described(text, file)), file.path)
    return Described(cropzoom.renamed(manifest, settings, file))


def _described(text: str, file: OnnxFile) -> dict[str, Any]:
    try:
        if len(text) > _MAX_FACTS:
            raise ValueError(f"{len(text)} characters")
        return describe(json.loads(text))
    except NotPossible as error:
        raise ModelError(f"{file.path} cannot be used: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ZeroDivisionError) as error:
        raise ModelError(
            f"{file.path}: its metadata entry {KEY} is not valid ({shorten(repr(error))}); make the file again with "
            "cropzoom export-deeplabcut"
        ) from None


MAKER = Maker("DeepLabCut", read, find, folder="pytorch_config.yaml with an .onnx file")
