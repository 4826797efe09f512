"""Training of the models that run live: the only part that needs torch.

``train`` reads a Lightning Pose configuration and leaves a model directory; ``export_checkpoint``
makes further ONNX files of one.
"""

from realtime_cropzoom.train.checkpoint import export_checkpoint
from realtime_cropzoom.train.loop import Epoch, TrainReport, train

__all__ = ["Epoch", "TrainReport", "export_checkpoint", "train"]
