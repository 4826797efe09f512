"""Tiny exports as sleap-nn writes them: networks without learned weights that find a bright spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NAMES = ("nose", "tail")
"""Keypoints of the exports: the bright spot, and the cell to its right."""
STRIDE = 2
SIDE = 32
"""Side of the crops."""
CONFIG = """
data_config:
  preprocessing: {max_height: 96, max_width: 128}
  skeletons:
  - nodes: [{name: nose}, {name: tail}]
    edges: [{source: {name: nose}, destination: {name: tail}}]
model_config:
  backbone_config: {unet: {max_stride: 8}, convnext: null}
  head_configs:
    centroid: {confmaps: {output_stride: 2}}
"""


def described(kind: str, **changed: Any) -> dict[str, Any]:
    """What sleap-nn writes of an export."""
    return {
        "model_type": kind, "node_names": list(NAMES), "output_stride": STRIDE, "input_scale": 1.0, "input_channels": 1,
        "edge_inds": [], "crop_size": None if kind in ("centroid", "single_instance") else [SIDE, SIDE],
        "peak_threshold": 0.2, "anchor_part": None, "normalization": "0_to_1", "sleap_nn_version": "0.3.5",
    } | changed  # fmt: skip


def write_export(
    folder: Path,
    kind: str,
    *,
    scale: float = 1.0,
    channels: int = 1,
    config: str | None = CONFIG,
    last: str | None = None,
    **changed: Any,
) -> Path:
    """Write an export into a folder of its own, and return the folder.

    Args:
        folder: The folder, which is made.
        kind: Kind of the model.
        scale: Scale of the images of 128x96 for which it is exported.
        channels: Number of channels of the images.
        config: Configuration of the training; None for none.
        last: Operator between the maps and their peaks, which hides the maps; None for none.
        changed: Entries of the description that differ; None removes one.
    """
    folder.mkdir(parents=True)
    entries = described(kind, **({"input_scale": scale, "input_channels": channels} | changed))
    text = json.dumps({name: value for name, value in entries.items() if value is not None or name not in changed})
    (folder / "export_metadata.json").write_text(text)
    model = export(kind, scale=scale, channels=channels, last=last)
    if config is not None and kind == "topdown":
        config = json.dumps({"centroid": config, "centered_instance": config})
    properties = {"sleap_nn_metadata": text} | ({} if config is None else {"training_config": config})
    helper.set_model_props(model, properties)
    onnx.save(model, folder / "model.onnx")
    return folder


def export(kind: str, *, scale: float = 1.0, channels: int = 1, last: str | None = None) -> onnx.ModelProto:
    """The network of an export, see ``write_export``."""
    graph = _Export(channels)
    picture = graph.node("Div", graph.node("Cast", "image", to=TensorProto.FLOAT), graph.constant(np.float32(255)))
    maps = graph.network(graph.resized(picture, scale), 1 if kind in ("centroid", "topdown") else 2, last)
    if kind in ("centroid", "topdown"):
        outputs = graph.slots(maps, scale)
        if kind == "topdown":
            outputs |= graph.posed(picture, last)
    else:
        outputs = graph.peaks(maps, scale)
    taken = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", channels, "height", "width"])
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    weights = [numpy_helper.from_array(values, name) for name, values in graph.weights.items()]
    made = helper.make_graph(graph.nodes, "export", [taken], given, weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class _Export:
    """The nodes of an export, as they are added."""

    def __init__(self, channels: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self._channels = channels

    def node(self, kind: str, *inputs: str, name: str | None = None, **options: Any) -> str:
        name = name or f"{kind} {len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **options))
        return name

    def constant(self, value: Any) -> str:
        name = f"constant {len(self.weights)}"
        self.weights[name] = np.asarray(value)
        return name

    def resized(self, picture: str, scale: float) -> str:
        if scale == 1:
            return picture
        sizes = self.constant(np.array([1, self._channels, 96 * scale, 128 * scale], np.int64))
        return self.node("Resize", picture, "", "", sizes, mode="linear")

    def network(self, picture: str, maps: int, last: str | None) -> str:
        """Maps of stride 2: the mean of 2x2 pixels; the second map is the first, one cell to the right."""
        kernel = self.constant(np.full((1, self._channels, 2, 2), 1 / 4 / self._channels, np.float32))
        cells = self.node("Relu", self.node("Conv", picture, kernel, strides=[STRIDE, STRIDE]))
        shifts = np.zeros((maps, 1, 3, 3), np.float32)
        for number in range(maps):
            shifts[number, 0, 1, 1 - number] = 1
        head = self.node("Conv", cells, self.constant(shifts), pads=[1, 1, 1, 1])
        return head if last is None else self.node(last, head)

    def peaks(self, maps: str, scale: float) -> dict[str, list[Any]]:
        """The highest cell of each map, for images of 128x96 or crops."""
        flat = self.node("Reshape", maps, self.constant(np.array([0, 0, -1], np.int64)))
        self.node("ReduceMax", flat, name="peak_vals", axes=[2], keepdims=0)
        best = self.node("Cast", self.node("ArgMax", flat, axis=2, keepdims=0), to=TensorProto.FLOAT)
        self._place(best, self.node("Cast", self._width(maps), to=TensorProto.FLOAT), scale, "peaks")
        return {"peaks": ["batch", 2, 2], "peak_vals": ["batch", 2]}

    def slots(self, maps: str, scale: float) -> dict[str, list[Any]]:
        """The highest cell, and one slot without a centroid."""
        flat = self.node("Reshape", maps, self.constant(np.array([0, -1], np.int64)))
        best = self.node("ArgMax", flat, axis=1, keepdims=1)
        found = self.node("ReduceMax", flat, axes=[1], keepdims=1)
        nothing = self.node("Sub", found, self.constant(np.float32(1e9)))
        self.node("Concat", nothing, found, name="centroid_vals", axis=1)
        twice = self.node("Cast", self.node("Concat", best, best, axis=1), to=TensorProto.FLOAT)
        self._place(twice, self.node("Cast", self._width(maps), to=TensorProto.FLOAT), scale, "centroids")
        return {"centroids": ["batch", 2, 2], "centroid_vals": ["batch", 2]}

    def posed(self, picture: str, last: str | None) -> dict[str, list[Any]]:
        """Peaks in a crop of the middle of images of 128x96, for two slots of which one is empty."""
        step_x, step_y = (2 * (np.arange(SIDE) - SIDE / 2 + 0.5) / side for side in (128, 96))
        grid = np.stack(np.meshgrid(step_x, step_y), -1)[None].astype(np.float32)
        crops = self.node("GridSample", picture, self.constant(grid), mode="bilinear", align_corners=0)
        for shape in ([1, 1, self._channels, SIDE, SIDE], [1, self._channels, SIDE, SIDE]):
            crops = self.node("Reshape", crops, self.constant(np.array(shape, np.int64)))
        maps = self.network(crops, 2, last)
        flat = self.node("Reshape", maps, self.constant(np.array([1, 2, -1], np.int64)))
        values = self.node("ReduceMax", flat, axes=[2], keepdims=0)
        best = self.node("Cast", self.node("ArgMax", flat, axis=2, keepdims=0), to=TensorProto.FLOAT)
        inside = self._place(best, self.node("Cast", self._width(maps), to=TensorProto.FLOAT), 1.0, None)
        corner = self.constant(np.array([128 / 2 - SIDE / 2, 96 / 2 - SIDE / 2], np.float32))
        for name, one in (("peaks", self.node("Add", inside, corner)), ("peak_vals", values)):
            slot = self.node("Unsqueeze", one, self.constant(np.array([1], np.int64)))
            empty = self.node("Mul", slot, self.constant(np.float32(0)))
            self.node("Concat", empty, slot, name=name, axis=1)
        return {"peaks": ["batch", 2, 2, 2], "peak_vals": ["batch", 2, 2]}

    def _width(self, maps: str) -> str:
        return self.node("Gather", self.node("Shape", maps), self.constant(np.int64(3)))

    def _place(self, cells: str, width: str, scale: float, name: str | None) -> str:
        """(…, 2) x and y in pixels of numbers of cells."""
        row = self.node("Floor", self.node("Div", cells, width))
        column = self.node("Sub", cells, self.node("Mul", row, width))
        last = self.constant(np.array([-1], np.int64))
        both = [self.node("Unsqueeze", one, last) for one in (column, row)]
        return self.node(
            "Mul", self.node("Concat", *both, axis=-1), self.constant(np.float32(STRIDE / scale)), name=name
        )
