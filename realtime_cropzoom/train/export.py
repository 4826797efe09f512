"""Network → one ONNX file that the runtime reads: input ``images``, output ``heatmaps``, metadata inside.

``cropzoom_small.pt`` beside ``config.yaml`` is the checkpoint of a training: weights, input size, and what the exported
files say of themselves. Every export is made from it.
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
    """What the file says about itself, as JSON under the key ``cropzoom`` of its metadata."""

    role: str
    """``detector`` or ``pose``."""
    keypoint_names: Sequence[str]
    """In the order of the heatmaps."""
    crop_size: int | None
    """Side in frame pixels of the boxes a pose model was trained for; None for a detector."""
    trained_on: str
    """Its data, in words."""
    license: str
    """Its licence, in words."""
    presence: dict[str, Any] | None = None
    """What its answer looks like where there is an animal; None where nobody has measured."""
    version: int = 1
    kind: str = "heatmap"
    downsample_factor: int = DOWNSAMPLE_FACTOR
    normalization: str = "imagenet"
    created_with: str = f"realtime-cropzoom {realtime_cropzoom.__version__}"


def export_onnx(
    network: CropzoomSmall, size: tuple[int, int], metadata: Metadata, path: Path, precision: Precision = "fp32"
) -> None:
    """Write ``network`` to ``path`` for inputs of ``size`` (W, H), batch 1, weights inside.

    The network itself stays as it is; the copy that is written has its normalisations
    folded into the convolutions. With fp16 its input and weights are of that type; the
    heatmaps are float32 all the same, as small shares of a whole.
    """
    dtype = torch.float16 if precision == "fp16" else torch.float32
    model = Heatmaps(copy.deepcopy(network).float().fuse().to(dtype)).eval()
    images = torch.zeros(1, 3, size[1], size[0], dtype=dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), _Quiet("torch.onnx"), _Quiet("onnxscript"), _Quiet("onnx_ir"):
        warnings.simplefilter("ignore")  # the exporter's own, about its own code
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
    """Replace what the exported file at ``path`` says about itself."""
    proto = onnx.load(path)
    del proto.metadata_props[:]
    _describe(proto, metadata)
    onnx.save_model(proto, path, save_as_external_data=False)


def _describe(proto: Any, metadata: Metadata) -> None:
    proto.metadata_props.add(key="cropzoom", value=json.dumps(asdict(metadata)))


def _strip(proto: Any) -> None:
    """Take out what the exporter notes of the source code, paths of this machine among it."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


class _Quiet:
    """Hold back what a logger says below errors, for a while: the exporter warns of packages it does not need."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._level = self._logger.level

    def __enter__(self) -> None:
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained network and all that its exports need."""

    network: CropzoomSmall
    size: tuple[int, int]
    """(W, H) of its input."""
    metadata: Metadata


def save_checkpoint(directory: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of a model directory."""
    content = {
        "weights": checkpoint.network.state_dict(),
        "size": list(checkpoint.size),
        "metadata": {**asdict(checkpoint.metadata), "keypoint_names": list(checkpoint.metadata.keypoint_names)},
    }
    torch.save(content, directory / FILE)


def load_checkpoint(directory: Path) -> Checkpoint:
    """Read the checkpoint of a model directory. Raises ModelError where it is not one of this version."""
    try:
        content: dict[str, Any] = torch.load(directory / FILE, map_location="cpu", weights_only=True)
        metadata = Metadata(**content["metadata"])
        network = CropzoomSmall(len(metadata.keypoint_names)).eval()
        network.load_state_dict(content["weights"])
        width, height = content["size"]
    except Exception as error:  # pickle's, zip's and torch's have no common base
        said = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{directory / FILE} is no checkpoint of this version ({said}); train the model again"
        ) from None
    return Checkpoint(network, (width, height), metadata)


def export_checkpoint(directory: Path, precision: Precision) -> Path:
    """Export a directory's checkpoint to ONNX where models are looked for; returns the file. Raises ModelError."""
    checkpoint = load_checkpoint(directory)
    path = directory / "exports_onnx" / f"{BACKBONE}_{precision}.onnx"
    export_onnx(checkpoint.network, checkpoint.size, checkpoint.metadata, path, precision)
    return path
