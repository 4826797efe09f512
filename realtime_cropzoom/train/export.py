"""Export: writes a network as one ONNX file with input ``images``, output ``heatmaps`` and a manifest.

``cropzoom_small.pt`` next to ``config.yaml`` is the checkpoint of a training: weights, and the manifest of
the exported files. Every export is made from it.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import onnx
import torch

import realtime_cropzoom
from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.files.atomic import MAKE_ROOM, write_whole
from realtime_cropzoom.inference.makers.cropzoom import KEY
from realtime_cropzoom.inference.makers.maker import Precision
from realtime_cropzoom.inference.manifest import LitposeHeatmaps, Manifest, Role, Stretch, read_manifest
from realtime_cropzoom.inference.normalise import IMAGENET
from realtime_cropzoom.train.network import BACKBONE, DOWNSAMPLE_FACTOR, CropzoomSmall, Heatmaps

OPSET = 18
FILE = f"{BACKBONE}.pt"


CREATED_WITH = f"realtime-cropzoom {realtime_cropzoom.__version__}"


def new_manifest(role: Role, keypoint_names: Sequence[str], size: tuple[int, int]) -> Manifest:
    """Return the manifest of a network of this package.

    Args:
        role: ``detector`` or ``pose``.
        keypoint_names: Names of the keypoints, in the order of the heatmaps.
        size: (W, H) of the input (pixels).
    """
    return Manifest(
        maker=KEY,
        keypoint_names=tuple(keypoint_names),
        input=msgspec.structs.replace(IMAGENET, size=size),
        geometry=Stretch(),
        decoder=LitposeHeatmaps(DOWNSAMPLE_FACTOR),
        maker_version=realtime_cropzoom.__version__,
        kind="heatmap",
        role=role,
        whole_frame=role == "detector",
        score="share of the softmax within two pixels",
        created_with=CREATED_WITH,
    )


def export_onnx(network: CropzoomSmall, manifest: Manifest, path: Path, precision: Precision = "fp32") -> None:
    """Write a network to an ONNX file with its weights inside, for batches of one frame.

    The network is not changed: in the exported copy the normalisations are folded into the convolutions.

    Args:
        network: The network.
        manifest: Description of the model.
        path: The file.
        precision: Type of input and weights. The heatmaps are float32 in any case: their values are small.
    """
    dtype = torch.float16 if precision == "fp16" else torch.float32
    model = Heatmaps(copy.deepcopy(network).float().fuse().to(dtype)).eval()
    assert manifest.input.size is not None
    width, height = manifest.input.size
    images = torch.zeros(1, 3, height, width, dtype=dtype)
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
    _describe(proto, manifest)
    proto.producer_name = manifest.created_with
    onnx.checker.check_model(proto)
    onnx.save_model(proto, path, save_as_external_data=False)


def describe(path: Path, manifest: Manifest) -> None:
    """Replace the manifest of an exported file."""
    proto = onnx.load(path)
    del proto.metadata_props[:]
    _describe(proto, manifest)
    onnx.save_model(proto, path, save_as_external_data=False)


def _describe(proto: Any, manifest: Manifest) -> None:
    proto.metadata_props.add(key=KEY, value=manifest.to_json())


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
    manifest: Manifest


def save_checkpoint(directory: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to a model directory. Raises SinkError if it cannot be written."""
    content = {
        "widths": checkpoint.network.widths,
        "stem": checkpoint.network.stem_width,
        "weights": checkpoint.network.state_dict(),
        "manifest": checkpoint.manifest.to_json(),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(directory / FILE, buffer.getvalue(), MAKE_ROOM)


def load_checkpoint(directory: Path) -> Checkpoint:
    """Read the checkpoint of a model directory. Raises ModelError if it is missing, or of another version."""
    try:
        content: dict[str, Any] = torch.load(directory / FILE, map_location="cpu", weights_only=True)
        manifest = read_manifest(content["manifest"], directory / FILE)
        network = CropzoomSmall(len(manifest.keypoint_names), content["widths"], content["stem"]).eval()
        network.load_state_dict(content["weights"])
    except Exception as error:  # the errors of pickle, zipfile and torch have no common base
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{directory / FILE} is not a checkpoint of this version ({reason}); train the model again"
        ) from None
    return Checkpoint(network, manifest)


def export_checkpoint(directory: Path, precision: Precision) -> Path:
    """Export the checkpoint of a model directory to ``exports_onnx/`` and return the file. Raises ModelError."""
    checkpoint = load_checkpoint(directory)
    path = directory / "exports_onnx" / f"{BACKBONE}_{precision}.onnx"
    export_onnx(checkpoint.network, checkpoint.manifest, path, precision)
    return path
