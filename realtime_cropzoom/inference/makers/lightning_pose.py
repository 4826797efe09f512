"""Lightning Pose: reads a model directory with ``config.yaml`` and its exports.

``cropzoom train`` writes such directories, too. Its exports carry a manifest; then the configuration counts for
the names of the keypoints, and the manifest for what only cropzoom knows: role, side of the boxes, presence, skeleton
and training data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal, get_args

import msgspec

from realtime_cropzoom.errors import ConfigError, DataError, ModelError, shorten
from realtime_cropzoom.files.csv_text import Records
from realtime_cropzoom.files.formats import natural_key
from realtime_cropzoom.files.paths import is_there, user_path
from realtime_cropzoom.inference.makers.maker import Choice, Described, Maker, Precision, Settings, Wanted
from realtime_cropzoom.inference.makers.names import choose_names
from realtime_cropzoom.inference.manifest import (
    MAX_SIDE,
    Coordinates,
    Decoder,
    LitposeHeatmaps,
    Manifest,
    Role,
    Stretch,
    check_names,
    read_manifest,
)
from realtime_cropzoom.inference.normalise import IMAGENET
from realtime_cropzoom.inference.onnx_file import OnnxFile
from realtime_cropzoom.yaml_file import read_yaml

Kind = Literal["heatmap", "regression", "heatmap_mhcrnn"]
"""Kinds of models, as Lightning Pose names them. ``heatmap_mhcrnn`` is the context model, which sees five frames."""


def find(folder: Path, wanted: Wanted) -> Choice | None:
    """Find the export in a model directory.

    Of several checkpoints the one called -best counts, else the last one by name (epoch=9
    before epoch=10). The times of the files are ignored, because copying changes them.

    Args:
        folder: The model directory.
        wanted: Which precision.

    Raises:
        ModelError: if the directory has no matching export.
    """
    if not is_there(folder / "config.yaml"):
        return None
    precision = wanted.precision or ("fp16" if wanted.on_gpu else "fp32")
    exports = _exports(folder)
    matching = [p for p in exports if p.stem.endswith(f"_{precision}")]
    if not matching and wanted.precision is not None and exports:
        raise ModelError(
            f"{folder} has no {precision} export, only {', '.join(p.name for p in exports)}; "
            f"run: {_export_command(folder, precision)}"
        )
    if not (matching or exports):
        raise ModelError(f"{folder} has no ONNX export in exports_onnx/; run: {_export_command(folder, precision)}")
    candidates = matching or exports
    best = [p for p in candidates if re.sub(r"_(fp\d+|int8)$", "", p.stem).endswith("-best")]
    onnx = (best or candidates)[-1]
    note = f"{folder} has {len(candidates)} exports; {onnx.name} is taken" if len(candidates) > 1 else ""
    return Choice(onnx, note)


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


def read(file: OnnxFile, folder: Path | None, settings: Settings) -> Described | None:
    """Describe an export by the configuration of its model directory.

    Args:
        file: The export.
        folder: The model directory; None if only the file was given.
        settings: Names that replace those of the configuration.

    Raises:
        ModelError: if the configuration is not one of Lightning Pose, or is not valid.
    """
    config_path = None if folder is None else folder / "config.yaml"
    if config_path is None or not is_there(config_path):
        return None
    config = _read_config(config_path)
    names, _ = choose_names(file.path, len(config.keypoint_names), settings.keypoint_names, config.keypoint_names)
    config = replace(config, keypoint_names=names)
    manifest = config.manifest(file)
    if "cropzoom" in file.metadata:
        manifest = _with_training(manifest, read_manifest(file.metadata["cropzoom"], file.path))
    side = _trained_side(config_path, config.csv_file)
    return Described(manifest, scorer=f"{config.kind}_tracker", trained_side=side)


def _with_training(manifest: Manifest, described: Manifest) -> Manifest:
    """Return the manifest of a configuration with what only the export of ``cropzoom train`` says.

    The export has the names of the training; the keypoints may have been renamed in the configuration since.
    """
    presence, names = described.presence, manifest.keypoint_names
    if presence is not None and len(described.keypoint_names) == len(names):
        new = dict(zip(described.keypoint_names, names, strict=True))
        distances = [[new.get(a, a), new.get(b, b), *limits] for a, b, *limits in presence.get("distances", ())]
        presence = {**presence, "distances": distances}
    return msgspec.structs.replace(
        manifest,
        role=described.role or manifest.role,
        crop_size=described.crop_size,
        presence=presence,
        skeleton=described.skeleton if len(described.keypoint_names) == len(names) else (),
        trained_on=described.trained_on,
        trained=described.trained,
        license=described.license,
    )


@dataclass(frozen=True, slots=True)
class _Config:
    """What a ``config.yaml`` says of a model."""

    path: Path
    keypoint_names: tuple[str, ...]
    size: tuple[int, int]
    kind: Kind
    downsample_factor: int
    csv_file: Any
    role: Role | None

    def manifest(self, file: OnnxFile) -> Manifest:
        """Return the manifest of an export."""
        _check_size(file, self.size)
        return Manifest(
            maker="Lightning Pose",
            keypoint_names=self.keypoint_names,
            input=msgspec.structs.replace(IMAGENET, size=self.size),
            geometry=Stretch(),
            decoder=self._decoder(),
            kind=self.kind,
            role=self.role,
            score="none" if self.kind == "regression" else "share of the softmax within two pixels",
        )

    def _decoder(self) -> Decoder:
        if self.kind == "regression":
            return Coordinates()
        return LitposeHeatmaps(self.downsample_factor, context=self.kind == "heatmap_mhcrnn")


def _read_config(path: Path) -> _Config:
    try:
        config: dict[str, Any] = read_yaml(path)
        data, model = config["data"], config["model"]
        # The older app writes its own list beside the one that counts.
        names = tuple(str(name) for name in data.get("keypoint_names") or data["keypoints"])
        size = (int(data["image_resize_dims"]["width"]), int(data["image_resize_dims"]["height"]))
        kind = _known_kind(path, model["model_type"])
        factor = int(data.get("downsample_factor", 2))
        # litpose train --detector_model points data_dir at the detector's crops; a detector sees whole frames.
        role: Role | None = "pose" if Path(str(data.get("data_dir", ""))).name == "cropped_images" else None
    except ConfigError as error:
        raise ModelError(f"{path} is not a Lightning Pose config ({error})") from error
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{path} is not a Lightning Pose config ({error!r})") from error
    check_names(names, path)
    if not all(1 <= pixels <= MAX_SIDE for pixels in size) or factor not in (1, 2, 3):
        raise ModelError(
            f"{path}: image_resize_dims are {shorten(size)} and downsample_factor is {shorten(factor)}; "
            f"expected 1 to {MAX_SIDE} pixels, and 1, 2 or 3"
        )
    return _Config(path, names, size, kind, factor, data.get("csv_file"), role)


def _check_size(file: OnnxFile, size: tuple[int, int]) -> None:
    """Raise ModelError if an export takes images of another size than its configuration says."""
    shape = file.inputs[0].shape if file.inputs else ()
    taken = tuple(shape[:-3:-1])
    if len(taken) == 2 and all(isinstance(side, int) for side in taken) and taken != size:
        raise ModelError(
            f"{file.path} takes {taken[0]}x{taken[1]} images, but its config says {size[0]}x{size[1]}; export it again"
        )


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


def _known_kind(described_by: Path, kind: Any) -> Kind:
    if kind not in get_args(Kind):
        raise ModelError(
            f"{described_by} says model_type {shorten(str(kind))}; expected one of {', '.join(get_args(Kind))}"
        )
    known: Kind = kind
    return known


MAKER = Maker("Lightning Pose", read, find, folder="config.yaml with exports_onnx/")
