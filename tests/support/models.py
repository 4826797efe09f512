"""Tiny real ONNX models that find a bright blob."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from realtime_cropzoom.inference.makers.cropzoom import KEY
from realtime_cropzoom.inference.manifest import Coordinates, Decoder, LitposeHeatmaps, Manifest, Role, Stretch
from realtime_cropzoom.inference.normalise import IMAGENET

SHIFTS = {"middle": (0, 0), "right": (1, 0), "left": (-1, 0), "low": (0, 1), "high": (0, -1)}
"""Where the tiny models see each keypoint: so many cells (of 4 px) beside the middle of the bright blob."""
SEES = {"before 2": 0, "before 1": 1, "middle": 2, "after 1": 3, "after 2": 4}
"""Which of its five frames a tiny context model looks at for each keypoint; any other: the middle one."""
ALONE = "alone"
"""The keypoint of which a tiny context model is sure from the middle frame alone; of the others, from the five."""


def tiny_manifest(
    role: Role | None = "pose",
    keypoints: Sequence[str] = ("middle", "right", "low"),
    *,
    kind: str = "heatmap",
    levels: int = 2,
    size: tuple[int, int] = (64, 64),
    **described: Any,
) -> Manifest:
    """What a tiny model says of itself, as ``cropzoom train`` writes it. ``described`` replaces fields."""
    decoder: Decoder = LitposeHeatmaps(levels, context=kind == "heatmap_mhcrnn")
    manifest = Manifest(
        maker=KEY,
        keypoint_names=tuple(keypoints),
        input=msgspec.structs.replace(IMAGENET, size=size),
        geometry=Stretch(),
        decoder=Coordinates() if kind == "regression" else decoder,
        kind=kind,
        role=role,
    )
    return msgspec.structs.replace(manifest, **described)


def onnx_model(
    size: tuple[int, int] = (64, 64),
    keypoints: Sequence[str] = ("middle", "right", "low"),
    *,
    kind: str = "heatmap",
    levels: int = 2,
    input_shape: Sequence[int | str] | None = None,
    input_type: int = TensorProto.FLOAT,
    poison: float = 1.0,
    manifest: Manifest | None = None,
) -> onnx.ModelProto:
    """A network without learned weights, of any kind, that finds the brightest spot of an image.

    Gray → mean over 8×8 px every 4 px (for ``levels`` 2) → one map a keypoint, shifted as
    ``SHIFTS`` says → softmax over each map. A regression model gives the mean position under each
    map. A context model looks for each keypoint in the frame that ``SEES`` names. ``poison``
    multiplies the image: NaN spoils all maps.
    """
    width, height = size
    frames = (5,) if kind == "heatmap_mhcrnn" else ()
    cells = (height >> levels, width >> levels)
    network = _Network(levels, cells)
    network.constant("gray", np.full((1, 3, 1, 1), poison / 3, np.float32))
    pooled = network.pool("images", frames)
    if kind == "regression":
        outputs = {"heatmaps": network.positions(network.maps(pooled, _kernels(keypoints)))}
        shape: tuple[int, ...] = (2 * len(keypoints),)
    else:
        shape = (len(keypoints), *cells)
        outputs = {"heatmaps": network.maps(pooled, _kernels(keypoints, frames, sure_of=(ALONE,)))}
        if frames:
            sure_of = [name for name in keypoints if name != ALONE]
            outputs["heatmaps_mf"] = network.maps(pooled, _kernels(keypoints, frames, sure_of=sure_of))
    for name, value in outputs.items():
        network.node("Cast", [value], name, to=input_type if input_type == TensorProto.FLOAT16 else TensorProto.FLOAT)
    taken = input_shape or (1, *frames, 3, height, width)
    graph = helper.make_graph(
        network.nodes,
        "brightest",
        [helper.make_tensor_value_info("images", input_type, taken)],
        [helper.make_tensor_value_info(name, network.nodes[-1].attribute[0].i, (taken[0], *shape)) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in network.constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if manifest is not None:
        helper.set_model_props(model, {KEY: manifest.to_json()})
    return model


def _kernels(keypoints: Sequence[str], frames: tuple[int, ...] = (), sure_of: Sequence[str] = ()) -> np.ndarray:
    """(K, frames, 3, 3): where each keypoint is seen, and in which frame; without a kernel its map is flat."""
    kernels = np.zeros((len(keypoints), *(frames or (1,)), 3, 3), np.float32)
    for k, name in enumerate(keypoints):
        dx, dy = SHIFTS.get(name, (0, 0))
        if not frames or name in sure_of:
            kernels[k, SEES.get(name, 2) if frames else 0, 1 - dy, 1 - dx] = 12.0
    return kernels


class _Network:
    """The nodes of a tiny model, as they are added."""

    def __init__(self, levels: int, cells: tuple[int, int]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self._scale, self._cells = 1 << levels, cells

    def node(self, kind: str, inputs: Sequence[str], output: str | None = None, **options: Any) -> str:
        output = output or f"{kind} {len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **options))
        return output

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants[name] = values
        return name

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        return self.node("Reshape", [value, self.constant(f"shape {len(self.nodes)}", np.array(shape, np.int64))])

    def pool(self, images: str, frames: tuple[int, ...]) -> str:
        """(N, frames, h, w): how bright each cell is, in a window of two by two cells around it."""
        value = self.node("Cast", [images], to=TensorProto.FLOAT)
        if frames:
            height, width = (cells * self._scale for cells in self._cells)
            value = self.reshape(value, (-1, 3, height, width))
        value = self.node("Conv", [value, "gray"])
        value = self.node(
            "AveragePool", [value], kernel_shape=[2 * self._scale] * 2, strides=[self._scale] * 2,
            pads=[self._scale // 2] * 4, count_include_pad=0,
        )  # fmt: skip
        return self.reshape(value, (-1, *frames, *self._cells)) if frames else value

    def maps(self, pooled: str, kernels: np.ndarray) -> str:
        """(N, K, h, w), each map summing to 1."""
        shifts = self.constant(f"shifts {len(self.nodes)}", kernels)
        value = self.node("Conv", [pooled, shifts], pads=[1, 1, 1, 1])
        value = self.node("Softmax", [self.reshape(value, (0, 0, -1))], axis=-1)
        return self.reshape(value, (0, 0, *self._cells))

    def positions(self, maps: str) -> str:
        """(N, 2K): the mean position under each map, in model pixels."""
        rows, cols = np.indices(self._cells).reshape(2, -1)
        where = (np.stack([cols, rows], axis=1) + 0.5) * self._scale - 0.5
        value = self.node("MatMul", [self.reshape(maps, (0, 0, -1)), self.constant("where", where.astype(np.float32))])
        return self.reshape(value, (0, -1))
