"""Sessions of several animals in one arena, and of several boxes, tracked by real models in frames of the arena."""

from __future__ import annotations

from pathlib import Path

from support.dark_animals import write_dark_animals
from support.pipelines import make_settings, run_to_end

ANIMALS = "synthetic:arena,animals=2,size=320x240,seconds=4,seed=8"
"""Two mice that are apart at first, and walk over each other after two seconds."""
BOXES = "synthetic:arena,boxes=3,empty=1,size=480x120,seconds=1"
"""Three boxes side by side; nobody is in the last one."""
REGIONS = {f"box{k + 1}": {"rectangle_px": [160 * k, 0, 160, 120]} for k in range(3)}


def animals_session(folder: Path, frames: int = 100) -> Path:
    """Track three animals where there are two, and return the folder of the session."""
    detector = write_dark_animals(folder / "dark_animals.onnx", 24)
    chosen = {"detector": str(detector), "pose": "shipped", "crop_size": 120, "pace": "fast", "frames": frames}
    pipeline = run_to_end(make_settings(folder, source=ANIMALS, animals=3, **chosen))
    assert pipeline.folder is not None
    return pipeline.folder


def boxes_session(folder: Path) -> Path:
    """Track three boxes, and return the folder of the session."""
    chosen = {"detector": "shipped", "pose": "shipped", "crop_size": 60, "pace": "fast"}
    pipeline = run_to_end(make_settings(folder, source=BOXES, regions=REGIONS, **chosen))
    assert pipeline.folder is not None
    return pipeline.folder
