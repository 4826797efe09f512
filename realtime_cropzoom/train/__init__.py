"""Training of the models that run live. Only this sub-package needs torch.

``train`` reads a Lightning Pose configuration and writes a model directory. ``export_checkpoint`` exports it
to ONNX again. Both are imported at first use, so that reading labels and configurations needs no torch.

In reading order:

* ``config``, ``litpose_only``: the configuration, and what it may not ask for.
* ``dataset``, ``arena_looks``: labelled and rendered frames; ``augmentation``: the random views of them; ``occlusion``,
  ``photometric`` and ``empty`` hide parts, change the light, and take the animal away.
* ``network``, ``device``, ``trainer``: the network, what computes, and one batch.
* ``pace``, ``epochs``, ``loop``: how far a training is, one epoch after the other, and a whole training.
* ``export``, ``files``, ``result``: the files of the model directory.
* ``evaluate``, ``presence``, ``verdict``: measure the exported model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_cropzoom.train.epochs import Epoch, Step
    from realtime_cropzoom.train.export import export_checkpoint
    from realtime_cropzoom.train.loop import TrainReport, train

__all__ = ["Epoch", "Step", "TrainReport", "export_checkpoint", "train"]

_HOMES = {
    "export_checkpoint": "realtime_cropzoom.train.export",
    **dict.fromkeys(("Epoch", "Step"), "realtime_cropzoom.train.epochs"),
    **dict.fromkeys(("TrainReport", "train"), "realtime_cropzoom.train.loop"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
