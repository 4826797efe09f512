"""Model: loads and checks a network of any maker, prepares its input and decodes its output to frame pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import ModelError, advise
from realtime_cropzoom.files.paths import is_there
from realtime_cropzoom.inference import crop, decoders, geometries
from realtime_cropzoom.inference.box_size import ExpectedSide
from realtime_cropzoom.inference.context_window import CONTEXT_RADIUS
from realtime_cropzoom.inference.crop import Edge, Method, Resize
from realtime_cropzoom.inference.decoders.instances import Instance
from realtime_cropzoom.inference.engine_cache import sha256
from realtime_cropzoom.inference.free_batch import free_batch
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.makers.maker import Precision, Settings, Wanted
from realtime_cropzoom.inference.manifest import Role, Rows, Stretch
from realtime_cropzoom.inference.memory_need import check_memory
from realtime_cropzoom.inference.model_check import check_network, check_outputs, input_shape, whole_shape
from realtime_cropzoom.inference.model_file import find_model
from realtime_cropzoom.inference.model_paths import is_shipped
from realtime_cropzoom.inference.normalise import normalise, values_of
from realtime_cropzoom.inference.onnx_session import Session
from realtime_cropzoom.inference.providers import Provider, resolve_provider
from realtime_cropzoom.types import Box, Float32, Keypoints, Picture

Outputs = tuple[Float32, ...]
"""Outputs of the network for one frame, before decoding."""
_BRIGHTEST = 2.0
"""Largest value of the inputs with which two networks are compared: about the white of a normalised picture."""
_USUAL_REGION = (640, 480)
"""(width, height) of the region for which a network of any size is prepared, if nobody says which (frame pixels)."""


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
        settings: Settings | None = None,
    ) -> None:
        """Load, check and warm up a model.

        Args:
            path: A model folder, or an .onnx file, of any maker.
            role: The role in which the model is used; None accepts any role.
            provider: ONNX Runtime provider.
            precision: Precision of the export to choose. None prefers fp32 on the CPU, else fp16; a single file is
                used as it is, unless ``int8`` asks for the export next to it.
            threads: Number of threads of the network.
            method: ``reference`` or ``fast``, for resizing the crop and for decoding heatmaps.
            settings: What the user says of a file that does not say it itself.

        Raises:
            ModelError: if the model is missing, cannot be loaded, does not fit its description, or has another role.
        """
        if not is_there(path):
            raise ModelError(
                f"no {role or 'model'}{' model' if role else ''} at {path}; expected a model folder or an .onnx file"
            )
        target = resolve_provider(provider)
        on_gpu = target.name != "cpu"
        if on_gpu and (precision == "int8" or path.stem.endswith("_int8")):
            raise ModelError(f"{path}: int8 exports are for CPUs; with {target.name} use fp16, or fp32")
        self.path = path
        self.file = find_model(path, Wanted(precision, on_gpu), replace(settings or Settings(), role=role))
        manifest = self.manifest = self.file.manifest
        if role is not None and manifest.role not in (None, role):
            raise ModelError(
                f"{path} is a {manifest.role} model, but was given as the {role}; "
                + advise("swap --detector and --pose", f"give a {role}")
            )
        region = (manifest.crop_size,) * 2 if manifest.crop_size and not manifest.whole_frame else _USUAL_REGION
        self.size = geometries.choose_size(manifest, region, self.file.onnx)
        """(W, H) of the input in pixels, for the region that it was made ready for."""
        check_memory(self.file, (1, *whole_shape(manifest, self.size)))
        resizes = manifest.geometry == Stretch() and manifest.input.channels == "rgb" and not manifest.context
        self._target = target
        self.session = Session(
            self.file.onnx, target, threads, network=self.file.network, outputs=manifest.outputs,
            image_input=manifest.input if resizes else None,
        )  # fmt: skip
        self._fused = (resizes and manifest.input.layout == "nchw") or manifest.context
        """Whether the resize and the normalisation are one pass, as Lightning Pose computes them in float32."""
        check_network(self.file, self.session, self.size)
        self.method = method
        self.presence = self.file.presence
        """Limits that tell an animal in its output. Settings may replace them before the first frame."""
        self._warm_up()

    @property
    def is_shipped(self) -> bool:
        """Whether the model comes with the package."""
        return is_shipped(self.path)

    @property
    def title(self) -> str:
        """Who made it and its kind, and the file that runs if a folder was given; for a line of text."""
        kind = f"{self.manifest.maker} {self.manifest.kind}".strip()
        return kind if self.path == self.file.onnx else f"{kind}, {self.file.onnx.name}"

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """The names of the K keypoints, in order."""
        return self.manifest.keypoint_names

    @property
    def trained_crop_size(self) -> int | None:
        """Side of the boxes of the training (frame pixels); None if the model does not state it."""
        return self.manifest.crop_size

    @property
    def expected_side(self) -> ExpectedSide:
        """Side of the boxes that the model expects; that of its input if the training's is unknown."""
        return ExpectedSide.of(self.file, self.size)

    @property
    def context_radius(self) -> int:
        """Number of frames that it sees on either side of the predicted one: 2 for a context model, else 0."""
        return CONTEXT_RADIUS if self.manifest.context else 0

    def make_ready(self, region: tuple[int, int]) -> None:
        """Run a network that takes any size once at the size for ``region`` (frame pixels), as the first run is slow.

        Call it before the first frame. Raises ModelError if the network cannot take that size.
        """
        size = geometries.choose_size(self.manifest, region, self.file.onnx)
        if size != self.size:
            check_memory(self.file, (1, *whole_shape(self.manifest, size)))
            self.size = size
            check_network(self.file, self.session, size)
            self._warm_up()

    def new_input(self) -> npt.NDArray[Any]:
        """Return an array of zeros for ``prepare`` to fill: (C, H, W) or (H, W, C), or an (h, w, 3) image on a GPU."""
        if self.session.takes_image:
            return np.zeros((self.size[1], self.size[0], 3), np.uint8)
        dtype = np.uint8 if self.session.input_type == "tensor(uint8)" else np.float32
        return np.zeros(input_shape(self.manifest.input, self.size), dtype)

    def prepare(self, image: Picture, box: Box, edge: Edge, out: npt.NDArray[Any], resize: Resize = "linear") -> View:
        """Show a region of a frame to the model: fill its input.

        Args:
            image: The frame: (H, W, 3) uint8, or a decoded frame.
            box: The region (frame pixels).
            edge: ``pad`` or ``clamp``, for a box that extends beyond the frame, see ``crop.cut``.
            out: Result of ``new_input``, which is filled. It takes another shape if the region asks for it.
            resize: Interpolation of Lightning Pose's models.

        Returns:
            Where the input lies in the frame.
        """
        if not self._fused:
            return self._show(image, box, edge, out)
        if self.session.takes_image:
            pixels, used = crop.cut(image, box, edge)
            crop.fill_image(pixels, out, self.size, resize)
        else:
            values = values_of(self.manifest.input)
            used = crop.fill_input_from(image, box, edge, out, self.method, values, resize)
        return View.of(used, self.size)

    def _show(self, image: Picture, box: Box, edge: Edge, out: npt.NDArray[Any]) -> View:
        """Fill the input of a network that wants its picture in uint8."""
        given, geometry = self.manifest.input, self.manifest.geometry
        size = geometries.choose_size(self.manifest, (box.w, box.h), self.file.onnx)
        if out.shape != (shape := input_shape(given, size)):
            out.resize(shape, refcheck=False)
        picture, view = geometries.show(geometry, size, image, box, edge)
        normalise(picture, given, out)
        return view

    def infer(self, *window: npt.NDArray[Any]) -> Outputs:
        """Return the outputs for one frame from its prepared input; a context model receives the five around it.

        On a GPU the next call of the same thread overwrites them.
        """
        return self.infer_many([window])[0]

    def infer_many(self, windows: Sequence[Sequence[npt.NDArray[Any]]]) -> list[Outputs]:
        """Return the outputs of several frames, as one batch if the file accepts batches. The numbers are the same."""
        one_size = all(window[0].shape == windows[0][0].shape for window in windows)
        if len(windows) > 1 and (self.session.batch == 1 or not one_size):
            return [tuple(output.copy() for output in self.infer(*window)) for window in windows]
        outputs = self.session.run(_batch(windows, self.context_radius))
        return [tuple(output[i] for output in outputs) for i in range(len(windows))]

    def take_batches(self) -> None:
        """Let a network that takes one frame at a time take any number, if each frame then has the same numbers.

        It stays as it is on a GPU, and if a number differs. Call it before other threads use the model.
        """
        if (
            self.session.batch != 1
            or self._target.name != "cpu"
            or self.file.network is not None
            or self.context_radius
        ):
            return
        network = free_batch(self.file.onnx)
        if network is None:
            return
        random, shape = np.random.default_rng(0), self.new_input()
        frames = [[(random.random(shape.shape) * _BRIGHTEST).astype(shape.dtype)] for _ in range(3)]
        alone, given = self.infer_many(frames), self.session
        try:
            self.session = Session(
                self.file.onnx, self._target, given.threads, network=network, outputs=self.manifest.outputs
            )
            both = [self.infer_many(frames), [self.infer(*frame) for frame in frames]]
        except ModelError:
            both = []
        if not both or not all(
            np.array_equal(a, b) for way in both for one, other in zip(alone, way, strict=True)
            for a, b in zip(one, other, strict=True)
        ):  # fmt: skip
            self.session = given

    def decode(self, outputs: Outputs, view: View) -> Keypoints:
        """Decode the outputs for one frame.

        Args:
            outputs: Outputs of ``infer``.
            view: What ``prepare`` returned.

        Returns:
            The keypoints in frame pixels. A regression model gives no likelihood: it is NaN.
        """
        return self._in_frame(decoders.decode(self.manifest.decoder, outputs, view.size, self.method), view)

    @property
    def finds_several(self) -> bool:
        """Whether it can find several animals in a picture."""
        return decoders.finds_several(self.manifest)

    def decode_all(self, outputs: Outputs, view: View) -> list[Instance]:
        """Decode all animals in the outputs for one frame; only if it ``finds_several``.

        Args:
            outputs: Outputs of ``infer``.
            view: What ``prepare`` returned.

        Returns:
            The animals in frame pixels, the surest first.
        """
        found = decoders.decode_all(self.manifest.decoder, outputs, view.size, self.method)
        return [Instance(self._in_frame(keypoints, view), score) for keypoints, score in found]

    def _in_frame(self, found: Keypoints, view: View) -> Keypoints:
        """Return keypoints in input pixels as keypoints in frame pixels."""
        xy, corners = view.to_frame(found.xy), None if found.corners is None else view.to_frame(found.corners)
        if isinstance(self.manifest.decoder, Rows):  # as its maker writes them: inside the picture
            edges = np.array([[view.box.x, view.box.y]]), np.array([[view.box.x + view.box.w, view.box.y + view.box.h]])
            xy = np.clip(xy, *edges, dtype=np.float32)
            corners = None if corners is None else np.clip(corners, *edges, dtype=np.float32)
        return Keypoints(xy, found.likelihood, found.sharpness, corners, found.spoilt)

    def predict_still(self, image: Picture, box: Box) -> Keypoints:
        """Return the keypoints of a single image (frame pixels). A context model sees it as all of its five frames."""
        model_input = self.new_input()
        view = self.prepare(image, box, "pad", model_input)
        return self.decode(self.infer(*[model_input] * (2 * self.context_radius + 1)), view)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the model file, and of the file with its weights if there is one."""
        return sha256(self.file.onnx)

    def _warm_up(self, runs: int = 3) -> None:
        black = [self.new_input()] * (2 * self.context_radius + 1)
        for _ in range(runs):
            outputs = self.infer(*black)
        # A file may leave these shapes open.
        check_outputs(self.file, [(1, *output.shape) for output in outputs], self.size)
        if self.decode(outputs, View.of(Box(0, 0, *self.size), self.size)).spoilt:
            raise ModelError(f"{self.file.onnx} gives values that are not finite on a black image; export it again")


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
