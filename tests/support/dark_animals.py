"""The detector of examples/dark_animals.py, which finds several animals and needs no training."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import onnx

from support.places import ROOT


def write_dark_animals(file: Path, width_px: float = 48) -> Path:
    """Write the detector, for animals of a width in frame pixels, and return its path."""
    spec = importlib.util.spec_from_file_location("dark_animals", ROOT / "examples" / "dark_animals.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    onnx.save(example.detector(105, width_px), file)
    return file
