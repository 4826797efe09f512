"""Model description: reads the metadata of a model on disk.

A model is a Lightning Pose directory with its ONNX export, or a single .onnx file of
cropzoom. The metadata of cropzoom are one entry ``cropzoom`` in the file's metadata
properties, a JSON object: ``keypoint_names``, ``downsample_factor``, ``kind`` ("heatmap"),
``role`` ("detector" or "pose"), ``presence`` (limits that tell an animal in the output),
and any other keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal, get_args

from realtime_cropzoom.errors import ConfigError, DataError, ModelError, shorten
from realtime_cropzoom.files.csv_text import Records
from realtime_cropzoom.files.formats import natural_key
from realtime_cropzoom.files.paths import is_there, user_path
from realtime_cropzoom.inference.boxes import MAX_SIDE
from realtime_cropzoom.inference.presence import Presence, read_presence
from realtime_cropzoom.yaml_file import read_yaml

Role = Literal["detector", "pose"]
Precision = Literal["fp32", "fp16", "int8"]
Kind = Literal["heatmap", "regression", "heatmap_mhcrnn"]
"""Kinds of models, as Lightning Pose names them. ``heatmap_mhcrnn`` is the context model, which sees five frames."""
SHIPPED = "shipped"
"""Value of a setting, instead of a path, for the model that comes with the package."""
_MAX_NAME_LENGTH = 255
"""Maximum length of a file name (bytes)."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Description of a model: all that is needed to prepare its input and to decode its output."""

    onnx: Path
    kind: Kind
    keypoint_names: tuple[str, ...]
    downsample_factor: int
    size: tuple[int, int] | None
    """(W, H) of the input in its configuration (pixels); None if only the ONNX file has it."""
    scorer: str
    """Scorer in the first header row of CSV files, as Lightning Pose writes it."""
    role: str | None = None
    """Role of its training (``detector`` or ``pose``); None if unknown."""
    crop_size: int | None = None
    """Side of the boxes of its training (frame pixels); None if it does not state it."""
    trained_side: int | None = None
    """Median side of the boxes that its training images were cut to (frame pixels); None without their file."""
    presence: Presence = field(default_factory=Presence)
    """Limits that tell an animal in its output."""
    chosen: str = ""
    """Sentence that names the chosen export if its directory has several; else empty."""


def model_path(given: str, role: Role) -> Path:
    """Return the path of the model that a setting names.

    Args:
        given: A path, or ``shipped``.
        role: Which of the shipped models is meant.
    """
    return shipped_model(role) if given == SHIPPED else user_path(given)


def shipped_model(role: Role) -> Path:
    """Return the path of a model that comes with the package."""
    package = Path(__file__).parents[1]
    beside_package = package.parent / "models" / f"{role}.onnx"  # a clone, installed in editable mode
    return beside_package if beside_package.exists() else package / "models" / f"{role}.onnx"


def int8_path(onnx: Path) -> Path:
    """Return the path of the int8 export that belongs to an fp32 export."""
    return onnx.with_stem(f"{onnx.stem.removesuffix('_fp32')}_int8")


def int8_beside(path: Path) -> Path:
    """Return the int8 export next to an .onnx file, or the file itself if it is one.

    Raises:
        ModelError: if there is none.
    """
    if path.stem.endswith("_int8"):
        return path
    beside = int8_path(path)
    if not is_there(beside):
        raise ModelError(f"{path} has no int8 export {beside.name}; run: cropzoom quantize {path} --calibrate VIDEO")
    return beside


def find_in_directory(directory: Path, precision: Precision | None, *, on_gpu: bool = False) -> ModelFile:
    """Find the ONNX export in a Lightning Pose model directory.

    Of several checkpoints the one called -best counts, else the last one by name (epoch=9
    before epoch=10). The times of the files are ignored, because copying changes them.

    Args:
        directory: The model directory.
        precision: Precision to choose. None prefers fp32 on the CPU and fp16 elsewhere.
        on_gpu: Whether the model runs on a GPU.

    Raises:
        ModelError: if the directory is not a model directory or has no matching export.
    """
    config_path = directory / "config.yaml"
    if not is_there(config_path):
        raise ModelError(f"{directory} has no config.yaml; expected a Lightning Pose model directory")
    wanted = precision or ("fp16" if on_gpu else "fp32")
    exports = _exports(directory)
    matching = [p for p in exports if p.stem.endswith(f"_{wanted}")]
    if not matching and precision is not None and exports:
        raise ModelError(
            f"{directory} has no {precision} export, only {', '.join(p.name for p in exports)}; "
            f"run: {_export_command(directory, precision)}"
        )
    if not (matching or exports):
        raise ModelError(f"{directory} has no ONNX export in exports_onnx/; run: {_export_command(directory, wanted)}")
    candidates = matching or exports
    best = [p for p in candidates if re.sub(r"_(fp\d+|int8)$", "", p.stem).endswith("-best")]
    onnx = (best or candidates)[-1]
    chosen = f"{directory} has {len(candidates)} exports; {onnx.name} is taken" if len(candidates) > 1 else ""
    return replace(_from_config(config_path, onnx), chosen=chosen)


def _exports(directory: Path) -> list[Path]:
    """Return the ONNX files of a model directory in natural order. Raises ModelError if it cannot be read."""
    folder = directory / "exports_onnx"
    try:
        names = [path for path in folder.iterdir() if path.suffix == ".onnx" and not path.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror or error}") from error
    return sorted(names, key=natural_key)


def _export_command(directory: Path, precision: Precision) -> str:
    """Return the command that exports the model, of the program that trained it."""
    if precision == "int8":
        return f"cropzoom quantize {directory} --calibrate VIDEO"
    if any(directory.glob("cropzoom_*.pt")):
        return f"cropzoom export {directory} --onnx-precision {precision}"
    return f"litpose export {directory} --runtime onnx --onnx-precision {precision}"


def with_metadata(file: ModelFile, metadata: dict[str, str]) -> ModelFile:
    """Return ``file`` with the role, crop size and presence that only cropzoom's metadata hold. Raises ModelError."""
    try:
        described = json.loads(metadata["cropzoom"])
    except (KeyError, ValueError):  # an export of Lightning Pose has none
        return file
    # The metadata use the names of the training; the keypoints may have been renamed in the configuration since.
    names = described.get("keypoint_names")
    same_order = isinstance(names, list) and len(names) == len(file.keypoint_names)
    presence = _presence(file.onnx, described, names if same_order else file.keypoint_names)
    return replace(file, role=described.get("role", file.role), crop_size=described.get("crop_size"), presence=presence)


def _presence(onnx: Path, described: dict[str, Any], names: Sequence[str]) -> Presence:
    try:
        return read_presence(described, names)
    except ValueError as error:
        raise ModelError(f"{onnx}: {error}; export it again") from None


def _from_config(config_path: Path, onnx: Path) -> ModelFile:
    try:
        config: dict[str, Any] = read_yaml(config_path)
        data, model = config["data"], config["model"]
        names = tuple(str(name) for name in data["keypoint_names"])
        size = (int(data["image_resize_dims"]["width"]), int(data["image_resize_dims"]["height"]))
        kind = _known_kind(config_path, model["model_type"])
        factor = int(data.get("downsample_factor", 2))
    except ConfigError as error:
        raise ModelError(f"{config_path} is not a Lightning Pose config ({error})") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{config_path} is not a Lightning Pose config ({error!r})") from error
    _check_names(config_path, names)
    if not all(1 <= pixels <= MAX_SIDE for pixels in size) or factor not in (1, 2, 3):
        raise ModelError(
            f"{config_path}: image_resize_dims are {shorten(size)} and downsample_factor is {shorten(factor)}; "
            f"expected 1 to {MAX_SIDE} pixels, and 1, 2 or 3"
        )
    # litpose train --detector_model points data_dir at the detector's crops; a detector sees whole frames.
    role = "pose" if Path(str(data.get("data_dir", ""))).name == "cropped_images" else None
    side = _trained_side(config_path, data.get("csv_file"))
    return ModelFile(onnx, kind, names, factor, size, f"{kind}_tracker", role, trained_side=side)


def _trained_side(config_path: Path, csv_file: Any) -> int | None:
    """Return the median side (frame pixels) of the boxes next to the cropped label file of the config, or None.

    Lightning Pose gives the path relative to the folder in which the training started, above the model's folder.
    """
    csv_path = user_path(str(csv_file[0] if isinstance(csv_file, list) and csv_file else csv_file))
    if not csv_path.name.startswith("cropped_"):
        return None
    folder = config_path.resolve().parent
    side_by_side = folder.parent / "/".join(csv_path.parts[-4:-1])  # detector and pose model in one folder
    for place in (side_by_side, *(above / csv_path.parent for above in (Path(), *folder.parents))):
        try:
            sides = [max(float(row["w"]), float(row["h"])) for row in Records(place / "bbox.csv")]
        except (DataError, ValueError, KeyError, TypeError):
            continue
        return round(median(sides)) if sides else None
    return None


def _check_names(described_by: Path, names: tuple[str, ...]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ModelError(f"{described_by}: two keypoints have the name {twice}; rename one of them in keypoint_names")
    if not names or any(len(name) > _MAX_NAME_LENGTH for name in names):
        raise ModelError(f"{described_by}: expected keypoint_names of 1 to {_MAX_NAME_LENGTH} characters each")
    if not all(name.strip() for name in names):
        raise ModelError(f"{described_by}: a keypoint has no name; give it one in keypoint_names")


def _known_kind(described_by: Path, kind: Any) -> Kind:
    if kind not in get_args(Kind):
        raise ModelError(
            f"{described_by} says model_type {shorten(str(kind))}; expected one of {', '.join(get_args(Kind))}"
        )
    known: Kind = kind
    return known


def from_metadata(path: Path, metadata: dict[str, str]) -> ModelFile:
    """Read the description of a single .onnx file of cropzoom.

    Args:
        path: The file.
        metadata: Its metadata properties.

    Raises:
        ModelError: if the metadata of cropzoom are missing or not valid.
    """
    try:
        described = json.loads(metadata["cropzoom"])
        names = tuple(str(name) for name in described["keypoint_names"])
        factor = int(described["downsample_factor"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} carries no cropzoom metadata; give a Lightning Pose model directory (config.yaml next to "
            "exports_onnx/) or an .onnx made by cropzoom train"
        ) from error
    kind = _known_kind(path, described.get("kind", "heatmap"))
    _check_names(path, names)
    return ModelFile(
        path, kind, names, factor, None, "cropzoom_tracker", described.get("role"), described.get("crop_size"),
        presence=_presence(path, described, names),
    )  # fmt: skip
