"""Export: writes a network as one ONNX file with input ``images``, output ``heatmaps`` and metadata.

``cropzoom_small.pt`` next to ``config.yaml`` is the checkpoint of a training: weights, input size, and the metadata
of the exported files. Every export is made from it.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
import torch

import realtime_cropzoom
from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.model_spec import Precision
from realtime_cropzoom.train.network import BACKBONE, DOWNSAMPLE_FACTOR, CropzoomSmall, Heatmaps

OPSET = 18
FILE = f"{BACKBONE}.pt"


@dataclass(frozen=True, slots=True)
class Metadata:
    """Description of a model, stored as JSON in the entry ``cropzoom`` of the file's metadata."""

    role: str
    """``detector`` or ``pose``."""
    keypoint_names: Sequence[str]
    """Names of the keypoints, in the order of the heatmaps."""
    crop_size: int | None
    """Side of the boxes of a pose model's training (frame pixels); None for a detector."""
    trained_on: str
    """Description of the training data."""
    license: str
    """Licence of the model."""
    presence: dict[str, Any] | None = None
    """Limits that tell an animal in its output, see ``Presence``; None if they were not measured."""
    version: int = 1
    kind: str = "heatmap"
    downsample_factor: int = DOWNSAMPLE_FACTOR
    normalization: str = "imagenet"
    created_with: str = f"realtime-cropzoom {realtime_cropzoom.__version__}"


def export_onnx(
    network: CropzoomSmall, size: tuple[int, int], metadata: Metadata, path: Path, precision: Precision = "fp32"
) -> None:
    """Write a network to an ONNX file with its weights inside, for batches of one frame.

    The network is not changed: in the exported copy the normalisations are folded into the convolutions.

    Args:
        network: The network.
        size: (W, H) of the input (pixels).
        metadata: Description of the model.
        path: The file.
        precision: Type of input and weights. The heatmaps are float32 in any case: their values are small.
    """
    dtype = torch.float16 if precision == "fp16" else torch.float32
    model = Heatmaps(copy.deepcopy(network).float().fuse().to(dtype)).eval()
    images = torch.zeros(1, 3, size[1], size[0], dtype=dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), _Quiet("torch.onnx"), _Quiet("onnxscript"), _Quiet("onnx_ir"):
        warnings.simplefilter("ignore")  # about the exporter's own code
        program: Any = torch.onnx.export(
            model,
            (images,),
            input_names=["images"],
            output_names=["heatmaps"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    proto = program.model_proto
    _strip(proto)
    _describe(proto, metadata)
    proto.producer_name = metadata.created_with
    onnx.checker.check_model(proto)
    onnx.save_model(proto, path, save_as_external_data=False)


def describe(path: Path, metadata: Metadata) -> None:
    """Replace the metadata of an exported file."""
    proto = onnx.load(path)
    del proto.metadata_props[:]
    _describe(proto, metadata)
    onnx.save_model(proto, path, save_as_external_data=False)


def _describe(proto: Any, metadata: Metadata) -> None:
    proto.metadata_props.add(key="cropzoom", value=json.dumps(asdict(metadata)))


def _strip(proto: Any) -> None:
    """Delete the exporter's notes about the source code, which include paths of this machine."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


class _Quiet:
    """Silences a logger below errors while it is open. The exporter warns about packages that it does not need."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._level = self._logger.level

    def __enter__(self) -> None:
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained network, and everything that its exports need."""

    network: CropzoomSmall
    size: tuple[int, int]
    """(W, H) of its input (pixels)."""
    metadata: Metadata


def save_checkpoint(directory: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to a model directory."""
    content = {
        "weights": checkpoint.network.state_dict(),
        "size": list(checkpoint.size),
        "metadata": {**asdict(checkpoint.metadata), "keypoint_names": list(checkpoint.metadata.keypoint_names)},
    }
    torch.save(content, directory / FILE)


def load_checkpoint(directory: Path) -> Checkpoint:
    """Read the checkpoint of a model directory. Raises ModelError if it is missing, or of another version."""
    try:
        content: dict[str, Any] = torch.load(directory / FILE, map_location="cpu", weights_only=True)
        metadata = Metadata(**content["metadata"])
        network = CropzoomSmall(len(metadata.keypoint_names)).eval()
        network.load_state_dict(content["weights"])
        width, height = content["size"]
    except Exception as error:  # the errors of pickle, zipfile and torch have no common base
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{directory / FILE} is not a checkpoint of this version ({reason}); train the model again"
        ) from None
    return Checkpoint(network, (width, height), metadata)


def export_checkpoint(directory: Path, precision: Precision) -> Path:
    """Export the checkpoint of a model directory to ``exports_onnx/`` and return the file. Raises ModelError."""
    checkpoint = load_checkpoint(directory)
    path = directory / "exports_onnx" / f"{BACKBONE}_{precision}.onnx"
    export_onnx(checkpoint.network, checkpoint.size, checkpoint.metadata, path, precision)
    return path
