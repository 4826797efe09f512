"""Tiny models that carry a manifest, and the same without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import onnx

from realtime_cropzoom.inference.manifest import LitposeHeatmaps, Manifest, Stretch
from realtime_cropzoom.inference.normalise import IMAGENET
from support.models import onnx_model

NAMES = ("middle", "right", "low")
MANIFEST = Manifest(
    maker="cropzoom",
    keypoint_names=NAMES,
    input=msgspec.structs.replace(IMAGENET, size=(64, 64)),
    geometry=Stretch(),
    decoder=LitposeHeatmaps(2),
    kind="heatmap",
    role="pose",
    crop_size=64,
)
BY_HAND = ("--keypoints", ",".join(NAMES), "--set", "decoder=litpose_heatmaps")
"""What makes a file without a manifest usable."""


def write_bare(path: Path, **options: Any) -> Path:
    """Write a tiny model that says nothing of itself."""
    onnx.save(onnx_model(keypoints=NAMES, **options), path)
    return path


def write_described(path: Path, **changes: Any) -> Path:
    """Write a tiny model with a manifest, changed as given."""
    proto = onnx_model(keypoints=NAMES)
    manifest = msgspec.structs.replace(MANIFEST, **changes)
    onnx.helper.set_model_props(proto, {"cropzoom": manifest.to_json()})
    onnx.save(proto, path)
    return path
