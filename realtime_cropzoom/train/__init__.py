"""Training of the models that run live: the only part that needs torch.

``train`` reads a Lightning Pose configuration and leaves a model directory; ``export_checkpoint``
makes further ONNX files of one. Both are imported when first used, so that what reads labels and
configurations here works without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_cropzoom.train.export import export_checkpoint
    from realtime_cropzoom.train.loop import Epoch, Step, TrainReport, train

__all__ = ["Epoch", "Step", "TrainReport", "export_checkpoint", "train"]

_HOMES = {
    "export_checkpoint": "realtime_cropzoom.train.export",
    **dict.fromkeys(("Epoch", "Step", "TrainReport", "train"), "realtime_cropzoom.train.loop"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
