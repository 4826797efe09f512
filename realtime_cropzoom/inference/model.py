"""Model: loads and checks a network, prepares its input and decodes its output to keypoints in frame pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import ModelError, advise
from realtime_cropzoom.files.paths import is_folder, is_there
from realtime_cropzoom.inference import crop, heatmaps
from realtime_cropzoom.inference.box_size import ExpectedSide
from realtime_cropzoom.inference.context_window import CONTEXT_RADIUS
from realtime_cropzoom.inference.crop import Edge, Method, Resize
from realtime_cropzoom.inference.engine_cache import sha256
from realtime_cropzoom.inference.model_spec import (
    ModelFile,
    Precision,
    Role,
    find_in_directory,
    from_metadata,
    int8_beside,
    shipped_model,
    with_metadata,
)
from realtime_cropzoom.inference.onnx_session import Session
from realtime_cropzoom.inference.providers import Provider, resolve_provider
from realtime_cropzoom.types import Box, Float32, Keypoints, Picture

Outputs = tuple[Float32, ...]
"""Outputs of the network for one frame, before decoding."""


class Model:
    """A loaded model. After construction, all methods may be called from several threads at once."""

    def __init__(
        self,
        path: Path,
        role: Role | None = None,
        *,
        provider: Provider = "cpu",
        precision: Precision | None = None,
        threads: int = 1,
        method: Method = "fast",
    ) -> None:
        """Load, check and warm up a model.

        Args:
            path: A Lightning Pose model directory, or an .onnx file of cropzoom.
            role: The role in which the model is used; None accepts any role.
            provider: ONNX Runtime provider.
            precision: Precision of the export to choose. None prefers fp32 on the CPU, else fp16; a single file is
                used as it is, unless ``int8`` asks for the export next to it.
            threads: Number of threads of the network.
            method: ``reference`` or ``fast``, for resizing the crop and for decoding heatmaps.

        Raises:
            ModelError: if the model is missing, cannot be loaded, does not fit its description, or has another role.
        """
        if not is_there(path):
            raise ModelError(
                f"no {role or 'model'}{' model' if role else ''} at {path}; "
                "expected a Lightning Pose model directory or an .onnx file"
            )
        target = resolve_provider(provider)
        on_gpu = target.name != "cpu"
        if on_gpu and (precision == "int8" or path.stem.endswith("_int8")):
            raise ModelError(f"{path}: int8 exports are for CPUs; with {target.name} use fp16, or fp32")
        directory = find_in_directory(path, precision, on_gpu=on_gpu) if is_folder(path) else None
        self.path = path
        file = path if directory is None else directory.onnx
        if precision == "int8" and directory is None and not self.is_shipped:
            file = int8_beside(path)
        self.session = Session(file, target, threads)
        metadata = self.session.metadata
        self.file = with_metadata(directory, metadata) if directory else from_metadata(file, metadata)
        if role is not None and self.file.role not in (None, role):
            raise ModelError(
                f"{path} is a {self.file.role} model, but was given as the {role}; "
                + advise("swap --detector and --pose", f"give a {role}")
            )
        _check(self.file, self.session)
        self.size = (int(self.session.input_shape[-1]), int(self.session.input_shape[-2]))
        self.method = method
        self.presence = self.file.presence
        """Limits that tell an animal in its output. Settings may replace them before the first frame."""
        self._warm_up()

    @property
    def is_shipped(self) -> bool:
        """Whether the model comes with the package."""
        return self.path in (shipped_model("detector"), shipped_model("pose"))

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """The names of the K keypoints, in order."""
        return self.file.keypoint_names

    @property
    def trained_crop_size(self) -> int | None:
        """Side of the boxes of the training (frame pixels); None if the model does not state it."""
        return self.file.crop_size

    @property
    def expected_side(self) -> ExpectedSide:
        """Side of the boxes that the model expects; that of its input if the training's is unknown."""
        return ExpectedSide.of(self.file, self.size)

    @property
    def context_radius(self) -> int:
        """Number of frames that it sees on either side of the predicted one: 2 for a context model, else 0."""
        return CONTEXT_RADIUS if self.file.kind == "heatmap_mhcrnn" else 0

    def new_input(self) -> npt.NDArray[Any]:
        """Return an array of zeros for ``prepare`` to fill: (3, H, W) float32, or an (h, w, 3) uint8 image on a GPU."""
        if self.session.takes_image:
            return np.zeros((self.size[1], self.size[0], 3), np.uint8)
        return np.zeros((3, self.size[1], self.size[0]), np.float32)

    def prepare(self, image: Picture, box: Box, edge: Edge, out: npt.NDArray[Any], resize: Resize = "linear") -> Box:
        """Crop ``image`` and fill the model's input.

        Args:
            image: The frame: (H, W, 3) uint8, or a decoded frame.
            box: Region to crop (frame pixels).
            edge: ``pad`` or ``clamp``, for a box that extends beyond the frame, see ``crop.cut``.
            out: Result of ``new_input``, which is filled. An image takes the size of the crop.
            resize: Interpolation.

        Returns:
            The box that was used (frame pixels).
        """
        if not self.session.takes_image:
            return crop.fill_input_from(image, box, edge, out, self.method, resize)
        pixels, used = crop.cut(image, box, edge)
        crop.fill_image(pixels, out, self.size, resize)
        return used

    def infer(self, *window: npt.NDArray[Any]) -> Outputs:
        """Return the outputs for one frame from its prepared input; a context model receives the five around it.

        On a GPU the next call of the same thread overwrites them.
        """
        return self.infer_many([window])[0]

    def infer_many(self, windows: Sequence[Sequence[npt.NDArray[Any]]]) -> list[Outputs]:
        """Return the outputs of several frames, as one batch if the file accepts batches. The numbers are the same."""
        if len(windows) > 1 and self.session.batch == 1:
            return [tuple(output.copy() for output in self.infer(*window)) for window in windows]
        outputs = self.session.run(_batch(windows, self.context_radius))
        return [tuple(output[i] for output in outputs) for i in range(len(windows))]

    def decode(self, outputs: Outputs, box: Box) -> Keypoints:
        """Decode the outputs for one frame.

        A context model gives two sets of heatmaps, from one frame and from five. For each keypoint
        the more likely one counts (Lightning Pose, ``models/heatmap_tracker_mhcrnn.py``,
        ``predict_step``).

        Args:
            outputs: Outputs of ``infer``.
            box: The box that ``prepare`` returned.

        Returns:
            The keypoints in the space of ``box`` (frame pixels). A regression model gives no
            likelihood: it is NaN.
        """
        if self.file.kind == "regression":
            xy = outputs[0].reshape(-1, 2)
            return Keypoints(crop.remap(xy, box, self.size), np.full(len(xy), np.nan, np.float32))
        found = self._decode_maps(outputs[0])
        if self.file.kind == "heatmap_mhcrnn":
            other = self._decode_maps(outputs[1])
            better = other.likelihood > found.likelihood
            found.xy[better], found.likelihood[better] = other.xy[better], other.likelihood[better]
            if found.sharpness is not None and other.sharpness is not None:
                found.sharpness[better] = other.sharpness[better]
        return Keypoints(crop.remap(found.xy, box, self.size), found.likelihood, found.sharpness)

    def predict_still(self, image: Picture, box: Box) -> Keypoints:
        """Return the keypoints of a single image (frame pixels). A context model sees it as all of its five frames."""
        model_input = self.new_input()
        used = self.prepare(image, box, "pad", model_input)
        return self.decode(self.infer(*[model_input] * (2 * self.context_radius + 1)), used)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the model file, and of the file with its weights if there is one."""
        return sha256(self.file.onnx)

    def _decode_maps(self, maps: Float32) -> Keypoints:
        return heatmaps.decode(maps, self.file.downsample_factor, self.method)

    def _warm_up(self, runs: int = 3) -> None:
        black = [self.new_input()] * (2 * self.context_radius + 1)
        for _ in range(runs):
            outputs = self.infer(*black)
        if not all(np.isfinite(output).all() for output in outputs):
            raise ModelError(f"{self.file.onnx} gives values that are not finite on a black image; export it again")
        self.decode(outputs, Box(0, 0, *self.size))


@dataclass(frozen=True, slots=True)
class Models:
    """The detector and the pose model of a run, or of a pass over recordings."""

    detector: Model | None
    """None if the boxes come from a file."""
    pose: Model

    @property
    def context_radius(self) -> int:
        """Larger of the two models' ``context_radius`` (frames)."""
        return max(self.pose.context_radius, 0 if self.detector is None else self.detector.context_radius)


def _batch(windows: Sequence[Sequence[npt.NDArray[Any]]], context_radius: int) -> npt.NDArray[Any]:
    """Return the input of N frames: (N, 3, H, W), (1, h, w, 3) for an image, or (N, 5, 3, H, W) for a context model."""
    if context_radius == 0:
        inputs = [window[0] for window in windows]
        return inputs[0][None] if len(inputs) == 1 else np.stack(inputs)
    return np.stack([np.stack(window) for window in windows])


def _check(file: ModelFile, session: Session) -> None:
    """Raise ModelError if the model's inputs and outputs do not fit its description."""
    shape, context = session.input_shape, file.kind == "heatmap_mhcrnn"
    layout = "(N, 5, 3, H, W)" if context else "(N, 3, H, W)"
    frames_fit = len(shape) == 5 and shape[1] == 2 * CONTEXT_RADIUS + 1 if context else len(shape) == 4
    if len(session.inputs) != 1 or not frames_fit or shape[-3] != 3 or not session.supports_input():
        raise ModelError(f"{file.onnx} takes {session.input_type} of shape {shape}; expected one float image {layout}")
    if not all(isinstance(side, int) for side in shape[-2:]):
        raise ModelError(f"{file.onnx} leaves its image size open ({shape}); export it with a fixed height and width")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise ModelError(f"{file.onnx} takes batches of {shape[0]}; export it with batch 1 or an open batch size")
    width, height = int(shape[-1]), int(shape[-2])
    if file.size is not None and file.size != (width, height):
        raise ModelError(
            f"{file.onnx} takes {width}x{height} images, but its config says {file.size[0]}x{file.size[1]}; "
            "export it again"
        )
    if file.kind == "regression":
        _check_coordinates(file, session)
    else:
        _check_heatmaps(file, session, width, height)


def _check_coordinates(file: ModelFile, session: Session) -> None:
    names = file.keypoint_names
    if session.output_shapes[0][1:] != [2 * len(names)]:
        raise ModelError(
            f"{file.onnx} gives an output of shape {session.output_shapes[0]}; a regression model of {len(names)} "
            f"keypoints ({', '.join(names)}) gives (N, {2 * len(names)})"
        )


def _check_heatmaps(file: ModelFile, session: Session, width: int, height: int) -> None:
    if file.downsample_factor not in heatmaps.GRID_OFFSET:
        raise ModelError(f"{file.onnx} has downsample_factor {file.downsample_factor}; expected 1, 2 or 3")
    needed = 2 if file.kind == "heatmap_mhcrnn" else 1
    if len(session.outputs) < needed:
        raise ModelError(f"{file.onnx} has one output; a context model has two, from one frame and from five")
    names, scale = file.keypoint_names, 1 << file.downsample_factor
    expected = [len(names), height // scale, width // scale]
    for output in session.output_shapes[:needed]:
        if output[1:] != expected:
            raise ModelError(
                f"{file.onnx} gives an output of shape {output}; {len(names)} keypoints ({', '.join(names)}) at "
                f"downsample_factor {file.downsample_factor} need heatmaps (N, {', '.join(map(str, expected))})"
            )
