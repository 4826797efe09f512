"""NWB export of a session, with the poses in the layout of the extension ndx-pose.

``processing/behavior`` holds PoseEstimation, its Skeletons and the boxes; ``intervals/states`` holds the
intervals of the states; ``acquisition`` links to the recording if it is available.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from ndx_pose import PoseEstimation, PoseEstimationSeries, Skeleton, Skeletons
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.epoch import TimeIntervals
from pynwb.image import ImageSeries

from realtime_cropzoom.errors import DataError, quoted
from realtime_cropzoom.sessions.table import SessionTables
from realtime_cropzoom.sources.factory import SYNTHETIC, open_source
from realtime_cropzoom.sources.recording_table import is_recording_of, read_captured_frames, recorded_videos
from realtime_cropzoom.types import Float64

_FRAME = "pixels of the video's frame; (0, 0) is the middle of the top left pixel, x goes right, y goes down"
_CONFIDENCE = "the model's likelihood, from 0 to 1; NaN in frames without a pose"


def write_nwb(file: Path, tables: SessionTables, *, relative_to: Path) -> None:
    """Write an NWB file whose link to the recording is relative to a folder. Raises DataError without frame times."""
    seconds = _timestamps(tables)
    start, how = _session_start(tables, seconds)
    video_name = "an unknown video" if tables.source is None else Path(tables.source).name
    content = NWBFile(
        session_description=f"Poses of {tables.path.stem}, tracked in {video_name}. {how}",
        identifier=_identifier(tables),
        session_start_time=start,
    )
    video = _source_video(tables, seconds, relative_to)
    if video is not None:
        content.add_acquisition(video)
    for recording in _recordings(tables, seconds, relative_to):
        content.add_acquisition(recording)
    behavior = content.create_processing_module(name="behavior", description="poses and boxes of the animal")
    skeleton = Skeleton(name="skeleton", nodes=_series_names(tables.keypoint_names))
    behavior.add(Skeletons(skeletons=[skeleton]))
    poses = _pose_estimation(tables, seconds, skeleton, video)
    behavior.add(poses)
    if np.isfinite(tables.boxes).any():
        behavior.add(_boxes(tables, seconds))
    if spans := tables.state_spans():
        content.add_time_intervals(_states(spans, seconds))
    with NWBHDF5IO(file, "w") as io:
        io.write(content)


def _pose_estimation(
    tables: SessionTables, seconds: Float64, skeleton: Skeleton, video: ImageSeries | None
) -> PoseEstimation:
    series: list[PoseEstimationSeries] = []
    own_names = _series_names(tables.keypoint_names)
    for name, own_name, pose in zip(tables.keypoint_names, own_names, tables.poses.transpose(1, 0, 2), strict=True):
        confidence = np.clip(pose[:, 2], 0, 1).astype(np.float32)
        # A regression model has no likelihood: the field is left out, because any number would be invented.
        given = {} if np.isnan(confidence).all() else {"confidence": confidence, "confidence_definition": _CONFIDENCE}
        series.append(
            PoseEstimationSeries(
                name=own_name,
                description=f"where {quoted(name)} was; NaN in frames without a pose",
                data=pose[:, :2].astype(np.float32),
                unit="pixels",
                reference_frame=_FRAME,
                timestamps=series[0] if series else seconds,
                **given,
            )
        )
    ours = tables.live or tables.frames["state"].notna().any()  # only cropzoom writes states
    return PoseEstimation(
        name="PoseEstimation",
        pose_estimation_series=series,
        description="one value a frame of the video, from the first on",
        scorer=tables.scorer,
        source_software="realtime-cropzoom" if ours else None,
        source_software_version=tables.session.summary.get(
            "version"
        ),  # the version that tracked, not the one that converts
        skeleton=skeleton,
        source_video=video,
    )


def _series_names(keypoints: Sequence[str]) -> list[str]:
    """Return the names of keypoints without ``/`` and ``:``, which names in NWB must not have, each once."""
    names: list[str] = []
    for keypoint in keypoints:
        name = re.sub("[/:]", "_", keypoint)
        while name in names or (name != keypoint and name in keypoints):
            name += "_"
        names.append(name)
    return names


def _boxes(tables: SessionTables, seconds: Float64) -> TimeSeries:
    return TimeSeries(
        name="box",
        description="x, y (top left), width and height of the crop that the pose model saw; NaN where there was none",
        comments=_FRAME,
        data=tables.boxes.astype(np.float32),
        unit="pixels",
        timestamps=seconds,
    )


def _states(spans: list[tuple[str, int, int]], seconds: Float64) -> TimeIntervals:
    table = TimeIntervals(
        name="states", description="whether the animal was found: searching, tracking, coasting or lost"
    )
    table.add_column(name="state", description="the state from start_time on")
    for state, first, after in spans:
        table.add_interval(start_time=seconds[first], stop_time=seconds[min(after, len(seconds) - 1)], state=state)
    return table


def _timestamps(tables: SessionTables) -> Float64:
    """Return frame times (s) without gaps: missing ones are interpolated. Raises DataError if there are none."""
    seconds = tables.seconds
    known = np.flatnonzero(np.isfinite(seconds))
    if not len(known):
        raise DataError(f"{tables.path} has no frame times, which NWB needs; give --video or --fps")
    return np.asarray(np.interp(np.arange(len(seconds)), known, seconds[known]), np.float64)


def _session_start(tables: SessionTables, seconds: Float64) -> tuple[datetime, str]:
    """Return the time of the first frame, as exactly as the files say it, and a sentence about its origin."""
    unix_s = tables.frames["captured_unix_s"].to_numpy()
    if len(known := np.flatnonzero(np.isfinite(unix_s))):
        return _at(unix_s[known[0]] - seconds[known[0]]), "Starts when the first frame was captured."
    named = re.search(r"_(\d{8}-\d{6})(-\d+)?$", tables.path.resolve().parent.name)
    if tables.live and named:
        return datetime.strptime(named[1], "%Y%m%d-%H%M%S").astimezone(), "Starts at the time in the folder's name."
    file = Path(tables.source or tables.path)
    file = file if file.exists() else tables.path
    return _at(file.stat().st_mtime), f"Its start is unknown; the given time is that of the last change of {file.name}."


def _at(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s).astimezone()


def _identifier(tables: SessionTables) -> str:
    """Return an identifier from the run, or from the content of the file: equal poses have equal identifiers."""
    if "run" in tables.session.summary:
        return f"{tables.path.stem}_{tables.session.summary['run']}"
    return f"{tables.path.stem}_{hashlib.sha256(tables.path.read_bytes()).hexdigest()[:12]}"


def _source_video(tables: SessionTables, seconds: Float64, relative_to: Path) -> ImageSeries | None:
    """Return a link to the video that was tracked; None if there is no such file."""
    if tables.source is None or tables.source.startswith(SYNTHETIC) or not Path(tables.source).is_file():
        return None
    return _link("source_video", "the video that was tracked", Path(tables.source), tables, seconds, relative_to)


def _recordings(tables: SessionTables, seconds: Float64, relative_to: Path) -> list[ImageSeries]:
    """Return links to the recordings of the run; one that was tracked is linked as the source."""
    videos = [video for video in recorded_videos(tables.path) if str(video) != tables.source]
    return [
        _link(f"recording_{n}", "frames that the run recorded", video, tables, seconds, relative_to)
        for n, video in enumerate(videos, 1)
    ]


def _link(
    name: str, description: str, video: Path, tables: SessionTables, seconds: Float64, relative_to: Path
) -> ImageSeries:
    """Return a link to a video, with the time (s) of each of its frames: a recording of the run may lack some."""
    source = open_source(str(video))
    source.close()
    if is_recording_of(video, tables.path):
        seconds = seconds[[frame for frame in read_captured_frames(video) or () if frame < len(seconds)]]
    return ImageSeries(
        name=name,
        description=description,
        external_file=[os.path.relpath(video, relative_to)],
        format="external",
        starting_frame=[0],
        dimension=[source.info.width, source.info.height],
        timestamps=seconds,
    )
