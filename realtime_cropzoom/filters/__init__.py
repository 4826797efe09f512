"""Filters: position, velocity and uncertainty of keypoints, from noisy poses at irregular times.

``make_filter`` builds a ``PoseFilter``; ``predict`` extrapolates a keypoint of a message to a later
moment. All of it is plain arithmetic on floats: the same poses at the same times give the same
numbers, live and from the files of a run, and a pose of few keypoints costs microseconds.

In reading order:

* ``pose_filter``: filters all keypoints of an animal, and predicts.
* ``kalman``, ``one_euro``: the filters of one keypoint.
* ``factory``: builds a filter from its name and its settings.
"""

from realtime_cropzoom.filters.factory import FILTERS, build_filter, make_filter
from realtime_cropzoom.filters.pose_filter import MAX_HORIZON_MS, FilteredPoint, FilteredPose, PoseFilter, predict

__all__ = [
    "FILTERS",
    "MAX_HORIZON_MS",
    "FilteredPoint",
    "FilteredPose",
    "PoseFilter",
    "build_filter",
    "make_filter",
    "predict",
]
