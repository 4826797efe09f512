"""The checkpoint of a training: weights, input size and what the exported files say of themselves.

One file, ``cropzoom_small.pt`` beside ``config.yaml``, from which every export is made.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.model_spec import Precision
from realtime_cropzoom.train.export import Metadata, export_onnx
from realtime_cropzoom.train.network import BACKBONE, CropzoomSmall

FILE = f"{BACKBONE}.pt"


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
