"""Where a keypoint is, where it is going, and how sure that is: from noisy poses at irregular times.

``make_filter`` gives a ``PoseFilter``; ``predict`` carries what a message says of a keypoint to a
later moment. All of it is plain arithmetic on floats: the same poses at the same times give the
same numbers, live and from the files of a run, and a pose of few keypoints costs microseconds.
"""

from realtime_cropzoom.filters.factory import FILTERS, chosen_filter, make_filter
from realtime_cropzoom.filters.pose_filter import MAX_HORIZON_MS, FilteredPoint, FilteredPose, PoseFilter, predict

__all__ = [
    "FILTERS",
    "MAX_HORIZON_MS",
    "FilteredPoint",
    "FilteredPose",
    "PoseFilter",
    "chosen_filter",
    "make_filter",
    "predict",
]
