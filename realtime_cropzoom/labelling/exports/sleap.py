"""One ``.pkg.slp`` for SLEAP: it holds the frames, so that it can be carried to another computer.

All frames are suggestions, SLEAP's list of frames to label. Labels are instances of a person. Predictions are predicted
instances: a double click in SLEAP makes one editable, and only then it is a label.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.errors import SinkError, error_text
from realtime_cropzoom.files.atomic import MAKE_ROOM, write_whole
from realtime_cropzoom.labelling.exports.job import Exported, ExportJob
from realtime_cropzoom.labelling.frame_table import FrameRow


def export_sleap(job: ExportJob) -> Exported:
    """Write a ``.pkg.slp``.

    Args:
        job: What to export.

    Raises:
        SinkError: if it cannot be written.
        ModuleNotFoundError: if sleap-io is not installed.
    """
    import sleap_io

    names = list(job.project.keypoints)
    skeleton = sleap_io.Skeleton(
        nodes=names,
        edges=[(names[a], names[b]) for a, b in job.project.skeleton],
        symmetries=[(names[a], names[b]) for a, b in job.project.symmetric_pairs],
        name="animal",
    )
    frames, suggestions = [], []
    for _, group in groupby(sorted(job.rows, key=lambda row: row.image), key=lambda row: row.folder):
        rows = list(group)
        video = sleap_io.Video.from_filename([str(job.picture(row)) for row in rows])
        for index, row in enumerate(rows):
            instance = _instance(job, row, skeleton)
            suggestions.append(sleap_io.SuggestionFrame(video=video, frame_idx=index))
            if instance is not None:
                frames.append(sleap_io.LabeledFrame(video=video, frame_idx=index, instances=[instance]))
    labels = sleap_io.Labels(labeled_frames=frames, suggestions=suggestions, skeletons=[skeleton])
    path = job.folder / f"{job.project.name}.pkg.slp"
    _write(labels, path)
    return Exported(path)


def _instance(job: ExportJob, row: FrameRow, skeleton: Any) -> Any:
    """Return the instance of a frame; None if it is neither labelled nor predicted."""
    import sleap_io

    if row.image in job.labels:
        return sleap_io.Instance.from_numpy(job.labels[row.image], skeleton)
    if row.image not in job.predictions:
        return None
    likelihood = np.nan_to_num(job.likelihoods[row.image].ravel())
    score = float(likelihood.mean())
    return sleap_io.PredictedInstance.from_numpy(
        job.predictions[row.image], skeleton, point_scores=likelihood, score=score
    )


def _write(labels: Any, path: Path) -> None:
    """Write a file that is complete or absent. sleap-io knows what to embed by the ending of the name."""
    partial = path.with_name(f"partial-{path.name}")
    try:
        labels.save(str(partial), embed="all", verbose=False)
        write_whole(path, partial.read_bytes(), MAKE_ROOM)
    except Exception as error:  # the library has no common base of its errors
        advice = MAKE_ROOM if isinstance(error, OSError) else ""
        raise SinkError(f"cannot write {path}: {error_text(error)}{advice}") from error
    finally:
        partial.unlink(missing_ok=True)
