"""Training of the models that run live: the only part that needs torch.

``train`` reads a Lightning Pose configuration and leaves a model directory.
"""

from realtime_cropzoom.train.loop import Epoch, TrainReport, train

__all__ = ["Epoch", "TrainReport", "train"]
