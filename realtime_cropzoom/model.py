"""A model on disk: a Lightning Pose directory with its ONNX export, or a bare .onnx with our metadata.

Our metadata is one entry ``cropzoom`` in the file's metadata properties, a JSON object:
``keypoint_names``, ``downsample_factor``, ``kind`` ("heatmap"), ``role`` ("detector" or
"pose"), and whatever else its maker wants to say.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from realtime_cropzoom import crop, heatmaps
from realtime_cropzoom.crop import Edge, Method
from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.session import Provider, Session, resolve_provider
from realtime_cropzoom.types import Box, Float32, Keypoints, UInt8

Role = Literal["detector", "pose"]
Precision = Literal["fp32", "fp16"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What must be known of a model to feed it and to read it."""

    onnx: Path
    keypoint_names: tuple[str, ...]
    downsample_factor: int
    scorer: str
    """First header row of the CSV files, as Lightning Pose writes it."""
    size: tuple[int, int] | None
    """The (W, H) its configuration claims, None where only the file itself says."""
    role: str | None = None
    """What it was trained to be, where that can be told."""
    crop_size: int | None = None
    """The side of the boxes it was trained on, in frame pixels, where it says so."""


class Model:
    """A loaded model: pixels in, keypoints in frame space out. Use it from one thread at a time."""

    def __init__(
        self,
        path: Path,
        role: Role,
        *,
        provider: Provider = "cpu",
        precision: Precision | None = None,
        threads: int = 1,
        method: Method = "fast",
    ) -> None:
        """Load, check and warm up the model at ``path``. Raises ModelError, in words."""
        if not path.exists():
            raise ModelError(f"no {role} model at {path}; expected a Lightning Pose model directory or an .onnx file")
        resolved = resolve_provider(provider)
        directory = find_in_directory(path, precision, on_gpu=resolved != "cpu") if path.is_dir() else None
        self.path = path
        self.session = Session(directory.onnx if directory else path, resolved, threads)
        self.file = directory or _from_metadata(path, self.session.metadata)
        if self.file.role not in (None, role):
            raise ModelError(
                f"{path} is a {self.file.role} model, but was given as the {role}; swap --detector and --pose"
            )
        _check(self.file, self.session)
        self.size = (int(self.session.input_shape[3]), int(self.session.input_shape[2]))
        self.method = method
        self._input = np.zeros((1, 3, self.size[1], self.size[0]), np.float32)
        self._warm_up()

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """The names of the K keypoints, in order."""
        return self.file.keypoint_names

    @property
    def trained_crop_size(self) -> int | None:
        """The side of the boxes the model was trained on, None where it does not say."""
        return self.file.crop_size

    def prepare(self, image: UInt8, box: Box, edge: Edge) -> Box:
        """Fill the model's input with what ``box`` shows of ``image``; return the box really used."""
        pixels, used = crop.cut(image, box, edge)
        crop.fill_input(pixels, self._input[0], self.method)
        return used

    def infer(self) -> Float32:
        """Return the heatmaps (K, h, w) of the prepared input."""
        output: Float32 = self.session.run(self._input)[0]
        return output

    def decode(self, maps: Float32, box: Box) -> Keypoints:
        """Return the keypoints of ``maps`` in the space that ``box`` lies in."""
        found = heatmaps.decode(maps, self.file.downsample_factor, self.method)
        return Keypoints(crop.remap(found.xy, box, self.size), found.likelihood)

    def sha256(self) -> str:
        """Return the hash of the model file (and of the weights beside it)."""
        digest = hashlib.sha256()
        for part in (self.file.onnx, self.file.onnx.with_name(self.file.onnx.name + ".data")):
            if part.exists():
                digest.update(part.read_bytes())
        return digest.hexdigest()

    def _warm_up(self, runs: int = 3) -> None:
        for _ in range(runs):
            maps = self.infer()
        if not np.isfinite(maps).all():
            raise ModelError(f"{self.file.onnx} gives values that are not finite on a black image; export it again")
        self.decode(maps, Box(0, 0, *self.size))


def shipped_model(role: Role) -> Path:
    """Return the path of a model that comes with the package."""
    package = Path(__file__).parent
    beside_package = package.parent / "models" / f"{role}.onnx"  # a clone, installed editable
    return beside_package if beside_package.exists() else package / "models" / f"{role}.onnx"


def find_in_directory(directory: Path, precision: Precision | None, *, on_gpu: bool = False) -> ModelFile:
    """Find the ONNX export in a Lightning Pose model directory.

    Of several precisions fp32 counts on the CPU and fp16 elsewhere, unless ``precision``
    says otherwise; of several checkpoints the newest file. Raises ModelError.
    """
    config_path = directory / "config.yaml"
    if not config_path.exists():
        raise ModelError(f"{directory} has no config.yaml; expected a Lightning Pose model directory")
    wanted = precision or ("fp16" if on_gpu else "fp32")
    exports = sorted(directory.glob("exports_onnx/*.onnx"), key=lambda p: p.stat().st_mtime)
    matching = [p for p in exports if p.stem.endswith(f"_{wanted}")]
    if not matching and precision is not None and exports:
        raise ModelError(
            f"{directory} has no {precision} export, only {', '.join(p.name for p in exports)}; "
            f"run: litpose export {directory} --runtime onnx --onnx-precision {precision}"
        )
    if not (matching or exports):
        raise ModelError(
            f"{directory} has no ONNX export in exports_onnx/; "
            f"run: litpose export {directory} --runtime onnx --onnx-precision {wanted}"
        )
    return _from_config(config_path, (matching or exports)[-1])


def _from_config(config_path: Path, onnx: Path) -> ModelFile:
    try:
        config: dict[str, Any] = yaml.safe_load(config_path.read_text(encoding="utf-8"))
        data, model = config["data"], config["model"]
        names = tuple(str(name) for name in data["keypoint_names"])
        size = (int(data["image_resize_dims"]["width"]), int(data["image_resize_dims"]["height"]))
        kind = str(model["model_type"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{config_path} is no Lightning Pose config ({error!r})") from error
    if kind != "heatmap":
        raise ModelError(f"{config_path} says model_type {kind}; only heatmap models can be run so far")
    # litpose train --detector_model points data_dir at the detector's crops; a detector sees whole frames.
    role = "pose" if Path(str(data.get("data_dir", ""))).name == "cropped_images" else None
    return ModelFile(onnx, names, int(data.get("downsample_factor", 2)), f"{kind}_tracker", size, role)


def _from_metadata(path: Path, metadata: dict[str, str]) -> ModelFile:
    try:
        described = json.loads(metadata["cropzoom"])
        names = tuple(str(name) for name in described["keypoint_names"])
        factor = int(described["downsample_factor"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} carries no cropzoom metadata; give a Lightning Pose model directory (config.yaml beside "
            "exports_onnx/) or an .onnx made by cropzoom train"
        ) from error
    return ModelFile(path, names, factor, "cropzoom_tracker", None, described.get("role"), described.get("crop_size"))


def _check(file: ModelFile, session: Session) -> None:
    """Refuse a model whose inputs and outputs are not what its description says."""
    shape, names = session.input_shape, file.keypoint_names
    if len(session.inputs) != 1 or len(shape) != 4 or shape[1] != 3 or not session.supports_input():
        raise ModelError(
            f"{file.onnx} takes {session.input_type} of shape {shape}; expected one float image (N, 3, H, W)"
        )
    if not all(isinstance(side, int) for side in shape[2:]):
        raise ModelError(f"{file.onnx} leaves its image size open ({shape}); export it with a fixed height and width")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise ModelError(f"{file.onnx} takes batches of {shape[0]}; export it with batch 1 or an open batch size")
    width, height = int(shape[3]), int(shape[2])
    if file.size is not None and file.size != (width, height):
        raise ModelError(
            f"{file.onnx} takes {width}x{height} images, but its config says {file.size[0]}x{file.size[1]}; "
            "export it again"
        )
    if file.downsample_factor not in heatmaps.GRID_OFFSET:
        raise ModelError(f"{file.onnx} has downsample_factor {file.downsample_factor}; expected 1, 2 or 3")
    output, scale = session.output_shapes[0], 1 << file.downsample_factor
    expected = [len(names), height // scale, width // scale]
    if output[1:] != expected:
        raise ModelError(
            f"{file.onnx} gives an output of shape {output}; {len(names)} keypoints ({', '.join(names)}) at "
            f"downsample_factor {file.downsample_factor} need heatmaps (N, {', '.join(map(str, expected))})"
        )
