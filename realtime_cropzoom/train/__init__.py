"""Training of the models that run live. Only this sub-package needs torch.

``train_project`` trains both models of a project; ``train`` reads a Lightning Pose configuration and writes one model
directory; ``export_checkpoint`` exports it to ONNX again. They are imported at first use, so that reading labels and
configurations needs no torch.

In reading order:

* ``config``, ``litpose_only``: the configuration, and what it may not ask for.
* ``dataset``, ``arena_looks``: labelled and rendered frames; ``augmentation``: the random views of them; ``occlusion``,
  ``photometric`` and ``empty`` hide parts, change the light, and take the animal away.
* ``network``, ``device``, ``trainer``: the network, what computes, and one batch.
* ``pace``, ``epochs``, ``loop``: how far a training is, one epoch after the other, and a whole training.
* ``export``, ``files``, ``result``: the files of the model directory.
* ``project_labels``, ``project_plan``, ``project_split``, ``project_config``: what is trained in a project, and how.
* ``project_training``, ``project_processes``, ``project_messages``, ``project_worker``: both models side by side.
* ``training_state``: an interrupted training goes on, and new models take the place of old ones.
* ``evaluate``, ``presence``, ``verdict``, ``too_short``: measure the exported model, and say what that means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_cropzoom.train.epochs import Epoch, Step
    from realtime_cropzoom.train.export import export_checkpoint
    from realtime_cropzoom.train.loop import TrainReport, train
    from realtime_cropzoom.train.project_training import ProjectReport, train_project

__all__ = ["Epoch", "ProjectReport", "Step", "TrainReport", "export_checkpoint", "train", "train_project"]

_HOMES = {
    "export_checkpoint": "realtime_cropzoom.train.export",
    **dict.fromkeys(("Epoch", "Step"), "realtime_cropzoom.train.epochs"),
    **dict.fromkeys(("TrainReport", "train"), "realtime_cropzoom.train.loop"),
    **dict.fromkeys(("ProjectReport", "train_project"), "realtime_cropzoom.train.project_training"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
