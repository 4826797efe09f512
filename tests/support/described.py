"""Tiny models that carry a manifest, and the same without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import onnx

from support.models import onnx_model, tiny_manifest

NAMES = ("middle", "right", "low")
MANIFEST = tiny_manifest(crop_size=64)
BY_HAND = ("--keypoints", ",".join(NAMES), "--set", "decoder=litpose_heatmaps")
"""What makes a file without a manifest usable."""


def write_bare(path: Path, **options: Any) -> Path:
    """Write a tiny model that says nothing of itself."""
    onnx.save(onnx_model(keypoints=NAMES, **options), path)
    return path


def write_described(path: Path, **changes: Any) -> Path:
    """Write a tiny model with a manifest, changed as given."""
    onnx.save(onnx_model(keypoints=NAMES, manifest=msgspec.structs.replace(MANIFEST, **changes)), path)
    return path
